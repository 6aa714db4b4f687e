import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray
from small_features import contents, pictures, tiny

import ventralstream as vs
from ventralstream.data import Preprocessing, read_batches
from ventralstream.errors import VentralError
from ventralstream.features import journal, writer
from ventralstream.features.extraction import open_features, weights_sha256

BAD = ("03.png", "04.png", "10.png")  # one in the second batch of 3, one at its end, one in the last


@pytest.fixture
def folder(tmp_path):
    """11 pictures, three of them broken, two in a folder of their own."""
    images = pictures(tmp_path / "images", 11, broken=[int(name[:2]) for name in BAD])
    (images / "sub").mkdir()
    for name in ("01.png", "02.png"):
        (images / name).rename(images / "sub" / name)
    return images


def run(net, folder, out, record=None, **options):
    record = record or vs.Record(["v1", "it"])
    return vs.extract(net, folder, record, out, batch_size=3, progress=False, **options)


def assert_same(one, other):
    assert_equal(contents(one), contents(other))


def assert_equal(one, other):
    (values, attributes), (expected, expected_attributes) = one, other
    assert values.keys() == expected.keys()
    for key, value in values.items():
        np.testing.assert_array_equal(value, expected[key], strict=True)
    assert attributes == expected_attributes


@pytest.mark.filterwarnings("error")
def test_stores_what_the_network_gives_named_and_in_order(tmp_path, folder):
    net = tiny()
    done = run(net, folder, tmp_path / "f.zarr")
    ids = [f"{i:02}.png" for i in (0, 5, 6, 7, 8, 9)] + ["sub/01.png", "sub/02.png"]
    assert done.images == 8 and done.path == tmp_path / "f.zarr"
    assert [s.id for s in done.skipped] == list(BAD) and all("cannot read" in s.reason for s in done.skipped)
    assert not (tmp_path / "f.zarr.part").exists()

    images = next(iter(read_batches(folder, ids, 8, Preprocessing(16, resize="squash")))).images
    out = net(images, record=vs.Record(["v1", "it"]))
    v1 = xarray.open_zarr(tmp_path / "f.zarr", group="v1").activations  # the promised one line
    assert v1.dims == ("stimulus", "step", "channel", "y", "x") and v1.dtype == np.float32
    assert v1.stimulus_id.values.tolist() == ids
    assert v1.step.values.tolist() == [0, 1, 2, 3] and v1.time_ms.values.tolist() == [0, 10, 20, 30]
    it = open_features(tmp_path / "f.zarr", "it")
    assert it.dims == ("stimulus", "step", "channel")
    for area, stored in (("v1", v1), ("it", it)):
        np.testing.assert_allclose(stored.values, out[area].values.detach(), atol=1e-6)
    assert it.sel(time_ms=30).sel(stimulus_id="sub/01.png").values.tolist() == it.values[6, 3].tolist()

    attributes = xarray.open_datatree(tmp_path / "f.zarr", engine="zarr").attrs
    assert [s["id"] for s in attributes["skipped"]] == list(BAD)
    assert attributes["complete"] and attributes["images_done"] == 11
    assert (v1.attrs["first_step"], it.attrs["first_step"]) == (1, 2)
    assert vs.spec_from_json(it.attrs["model_spec"]) == net.spec
    assert vs.spec.from_json(json.loads(it.attrs["presentation"])) == net.spec.presentation
    assert it.attrs["weights_sha256"] == weights_sha256(net)
    assert it.attrs["dt_ms"] == 10 and it.attrs["ventralstream_version"] == vs.__version__


def test_features_are_read_lazily_and_can_become_netcdf(tmp_path, folder):
    run(tiny(), folder, tmp_path / "f.zarr")
    features = open_features(tmp_path / "f.zarr", "v1")
    assert not features.variable._in_memory
    features.isel(stimulus=slice(0, 2)).values  # noqa: B018
    assert not features.variable._in_memory
    features.to_netcdf(tmp_path / "f.nc")
    with xarray.open_dataarray(tmp_path / "f.nc") as again:
        np.testing.assert_array_equal(again.values, features.values)
        assert again.stimulus_id.values.tolist() == features.stimulus_id.values.tolist()


@pytest.mark.parametrize(
    ("reduce", "dims", "sizes"),
    [("mean", "channel", 4), ("max", "channel", 4), ("flatten", "feature", 4 * 64)],
)
def test_reductions_steps_and_dtype(tmp_path, folder, reduce, dims, sizes):
    net = tiny()
    run(net, folder, tmp_path / "none.zarr")
    record = vs.Record("v1", steps=[1, 3], reduce=reduce)
    run(net, folder, tmp_path / "f.zarr", record, dtype="float16")
    features = open_features(tmp_path / "f.zarr", "v1")
    assert features.dims == ("stimulus", "step", dims) and features.dtype == np.float16
    assert features.sizes[dims] == sizes and features.time_ms.values.tolist() == [10, 30]
    whole = open_features(tmp_path / "none.zarr", "v1").isel(step=[1, 3])
    flat = whole.values.reshape(8, 2, 4, 64)
    expected = {"mean": flat.mean(-1), "max": flat.max(-1), "flatten": flat.reshape(8, 2, -1)}[reduce]
    np.testing.assert_allclose(features.values, expected, rtol=1e-3, atol=1e-3)


def test_state_of_cells_and_own_size_and_presentation(tmp_path, folder):
    net = vs.create_model("rgc_shallow_cifar", seed=0)
    record = vs.Record(["conv4"], reduce="mean", of="state")
    run(net, folder, tmp_path / "f.zarr", record, size=16, steps=6, presentation=vs.Flash(2))
    features = open_features(tmp_path / "f.zarr", "conv4")
    preprocessing = Preprocessing(16, net.spec.mean, net.spec.std, "squash")
    images = next(iter(read_batches(folder, ["00.png"], 1, preprocessing))).images
    out = net(images, 6, presentation=vs.Flash(2), record=record)
    np.testing.assert_allclose(features.values[:1], out["conv4"].values.detach(), rtol=1e-5, atol=1e-6)
    assert features.attrs["of"] == "state" and features.attrs["first_step"] == 3


def test_runs_in_evaluation_mode_and_leaves_the_network_as_it_was(tmp_path, folder):
    net = tiny()
    run(net, folder, tmp_path / "f.zarr")
    net.train()
    before = weights_sha256(net)  # of the running statistics, too
    run(net, folder, tmp_path / "g.zarr")
    assert net.training and weights_sha256(net) == before
    assert_same(tmp_path / "f.zarr", tmp_path / "g.zarr")


def test_no_more_steps_are_run_than_recorded(tmp_path, folder, monkeypatch):
    net, run_steps = tiny(), []
    forward = type(net).forward
    monkeypatch.setattr(
        type(net),
        "forward",
        lambda self, x, steps, **kw: (run_steps.append(steps), forward(self, x, steps, **kw))[1],
    )
    run(net, folder, tmp_path / "f.zarr", vs.Record("v1", steps=1))
    assert set(run_steps) == {2}


def test_says_what_is_recorded_too_early_and_what_was_skipped(tmp_path, folder, capsys):
    vs.extract(tiny(), folder, vs.Record("it", steps=[0, 1, 3]), tmp_path / "f.zarr")
    lines = capsys.readouterr().err.splitlines()
    assert sum("'it' at step 2" in x and "steps 0, 1 is the same for every image" in x for x in lines) == 1
    assert any("skipped 3 of 11 files" in x for x in lines)
    early = open_features(tmp_path / "f.zarr", "it").sel(step=[0, 1]).values
    assert (early == early[:1]).all()
    vs.extract(tiny(), folder, vs.Record("it", steps=[2, 3]), tmp_path / "g.zarr")
    assert "same for every image" not in capsys.readouterr().err


def test_the_hash_is_that_of_the_saved_file(tmp_path):
    net = tiny()
    vs.save_network(net, tmp_path)
    assert weights_sha256(net) == hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()


class Killed(BaseException):
    """Ends a run as SIGKILL does: nothing catches it and nothing is cleaned up."""


def killed_at(monkeypatch, rename):
    """Dies just before a file gets its name, for the `rename`-th time: what is written is `.partial`."""
    left, replace = [rename], Path.replace

    def dying(self, target):
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", dying)


def test_killed_at_any_write_it_carries_on_to_the_same_numbers(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(writer, "CHUNK_BYTES", 2048)  # two images and one step a chunk
    net, whole, out = tiny(), tmp_path / "whole.zarr", tmp_path / "f.zarr"
    record = vs.Record("v1", steps=[1, 3])
    run(net, folder, whole, record)
    expected = contents(whole)
    deaths = 0
    while True:
        with monkeypatch.context() as patch:
            killed_at(patch, deaths)
            try:
                run(net, folder, out, record)
                break
            except Killed:
                deaths += 1
        if not out.exists():
            run(net, folder, out, record)
        assert_equal(contents(out), expected)
        assert [p.name for p in sorted(tmp_path.iterdir())] == ["f.zarr", "images", "whole.zarr"]
        assert not list(out.rglob("*.partial"))
        shutil.rmtree(out)
    assert deaths > 15
    assert_equal(contents(out), expected)


def test_nothing_is_written_behind_the_back_of_a_failed_extraction(tmp_path, folder, monkeypatch):
    """zarr writes chunks side by side; when one fails, the others go on after the error has been raised."""
    monkeypatch.setattr(writer, "CHUNK_BYTES", 2048)
    replace, chunks = Path.replace, []

    def slow(self, target):
        if "/c/" in str(self):
            chunks.append(self)
            if len(chunks) == 2:  # of the second batch, the first of whose three images can be read, the first chunk
                raise OSError(28, "No space left on device")
            time.sleep(0.2)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", slow)
    with pytest.raises(VentralError, match="no space left"):
        run(tiny(), folder, tmp_path / "f.zarr", vs.Record("v1", steps=[1, 3]))
    left = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    time.sleep(0.5)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == left


def test_overwriting_replaces_only_by_something_whole(tmp_path, folder, monkeypatch):
    net, old, out = tiny(), tmp_path / "old.zarr", tmp_path / "f.zarr"
    run(net, folder, old, vs.Record("v1"))
    run(net, folder, tmp_path / "new.zarr", vs.Record("it"))
    run(net, folder, out, vs.Record("v1"))
    with pytest.raises(VentralError, match=r"f\.zarr' is there already.*--overwrite"):
        run(net, folder, out, vs.Record("it"))
    deaths = 0
    while True:
        with monkeypatch.context() as patch:
            killed_at(patch, deaths)
            try:
                run(net, folder, out, vs.Record("it"), overwrite=True)
                raise AssertionError("it was to die between the two renames")
            except Killed:
                deaths += 1
        if not out.exists():
            break
        assert_same(out, old)
    assert_same(tmp_path / "f.zarr.replaced", old)  # died between the two renames: both are whole
    run(net, folder, out, vs.Record("it"), overwrite=True)
    assert_same(out, tmp_path / "new.zarr")
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["f.zarr", "images", "new.zarr", "old.zarr"]


def interrupted(tmp_path, folder, monkeypatch, net, **options):
    """Leaves an unfinished f.zarr.part with at least one batch done."""
    out = tmp_path / "f.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(writer.FeatureWriter, "finish", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            run(net, folder, out, **options)
    return out


def test_another_request_does_not_carry_on(tmp_path, folder, monkeypatch):
    net = tiny()
    out = interrupted(tmp_path, folder, monkeypatch, net)
    other = tiny()
    with torch.no_grad():
        next(other.parameters()).add_(1)
    for change, word in (
        ({"net": other}, "weights_sha256"),
        ({"steps": 5}, "steps"),
        ({"record": vs.Record("v1")}, "areas"),
        ({"record": vs.Record(["v1", "it"], steps=3)}, "record_steps"),
        ({"record": vs.Record(["v1", "it"], reduce="mean")}, "reduce"),
        ({"presentation": vs.Flash(2)}, "presentation"),
        ({"size": 20}, "preprocessing"),
        ({"resize": "crop"}, "preprocessing"),
        ({"dtype": "float16"}, "dtype"),
    ):
        with pytest.raises(VentralError, match=rf"unfinished.*another request \(another {word}\).*--no-resume"):
            run(**({"net": net, "folder": folder, "out": out} | change))
    run(other, folder, out, resume=False)
    assert open_features(out, "it").attrs["weights_sha256"] == weights_sha256(other)


def test_killed_while_it_deletes(tmp_path, folder, monkeypatch):
    net, rmtree = tiny(), shutil.rmtree
    out = interrupted(tmp_path, folder, monkeypatch, net)
    with monkeypatch.context() as patch:
        deleted = []

        def dying(path):
            if deleted:
                raise Killed
            deleted.append(path)
            rmtree(path)

        patch.setattr(writer.shutil, "rmtree", dying)
        with pytest.raises(Killed):
            run(net, folder, out, resume=False)
    assert not deleted[0].exists() and len(list((tmp_path / "f.zarr.part").glob("*/activations"))) == 1
    assert run(net, folder, out).images == 8


def test_what_is_not_ours_is_left_alone(tmp_path, folder):
    for name in ("f.zarr", "g.zarr.part"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.tex").touch()
    with pytest.raises(VentralError, match="holds no features of ventralstream, so it is not replaced"):
        run(tiny(), folder, tmp_path / "f.zarr", overwrite=True)
    with pytest.raises(VentralError, match="is no unfinished store of features"):
        run(tiny(), folder, tmp_path / "g.zarr", resume=False)
    assert (tmp_path / "f.zarr" / "thesis.tex").exists() and (tmp_path / "g.zarr.part" / "thesis.tex").exists()
    (tmp_path / "file").touch()
    with pytest.raises(VentralError, match="cannot write"):
        run(tiny(), folder, tmp_path / "file" / "f.zarr")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"record": vs.Record("v2")}, "did you mean 'v1'"),
        ({"record": vs.Record("v1", steps=4)}, "step 4, which does not exist; steps 0 to 3 are run"),
        ({"record": vs.Record("v1", of="state")}, "no cell"),
        ({"steps": 0}, "steps is 0; expected a whole number"),
        ({"workers": -1}, "workers is -1"),
        ({"dtype": "float61"}, "did you mean 'float16'"),
        ({"size": 0}, "'size' of 'preprocessing' is 0"),
        ({"resize": "cropp"}, "did you mean 'crop'"),
        ({"device": "gpu"}, "unknown device 'gpu'; did you mean"),
        ({"presentation": vs.Masked(1, 1)}, "cannot show a 'mask'"),
        ({"folder": "nowhere"}, "'nowhere' does not exist"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(tmp_path, folder, options, message):
    with pytest.raises(VentralError, match=message):
        run(**({"net": tiny(), "folder": folder, "out": tmp_path / "f.zarr"} | options))
    assert [p.name for p in tmp_path.iterdir()] == ["images"]


def test_no_readable_image_is_an_error_and_leaves_nothing(tmp_path):
    (tmp_path / "images").mkdir()
    for i in range(5):
        (tmp_path / "images" / f"{i}.jpg").write_text("text")
    with pytest.raises(VentralError, match="none of the 5 images"):
        run(tiny(), tmp_path / "images", tmp_path / "f.zarr")
    assert [p.name for p in tmp_path.iterdir()] == ["images"]


def test_numbers_beyond_float16_are_refused(tmp_path, folder):
    net = tiny()
    with torch.no_grad():
        next(net.parameters()).mul_(1e6)
    with pytest.raises(VentralError, match="'v1' has activations beyond 65504"):
        run(net, folder, tmp_path / "f.zarr", dtype="float16")


def test_opening_what_is_not_there(tmp_path, folder, monkeypatch):
    with pytest.raises(VentralError, match="holds no features"):
        open_features(tmp_path / "f.zarr", "v1")
    out = interrupted(tmp_path, folder, monkeypatch, tiny())
    with pytest.raises(VentralError, match="not finished"):
        open_features(f"{out}.part", "v1")
    run(tiny(), folder, out)
    with pytest.raises(VentralError, match="did you mean 'v1'"):
        open_features(out, "v11")


def linked(folder, target, copies):
    target.mkdir()
    for copy in range(copies):
        for path in folder.rglob("*.png"):
            (target / f"{copy:03}-{path.name}").symlink_to(path)
    return target


def extract_many(folder, out):
    torch.set_num_threads(1)
    net = vs.create_model("ff_shallow_cifar", seed=0)
    vs.extract(net, folder, vs.Record(["conv1", "conv3"]), out, batch_size=4, steps=6, progress=False)


def in_another_process(code, *arguments):
    here = Path(__file__).parent
    lines = f"import sys; sys.path[:0] = {[str(here), str(here.parent)]!r}; from test_extraction import *\n{code}"
    command = [sys.executable, "-c", lines, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_sigkill_and_again(tmp_path, folder):
    many, out = linked(folder, tmp_path / "many", 15), tmp_path / "f.zarr"
    child = in_another_process("extract_many(*sys.argv[1:])", many, out)
    part, limit = tmp_path / "f.zarr.part", time.monotonic() + 100
    while (found := journal.read(part)) is None or found.done < 40:
        assert child.poll() is None and time.monotonic() < limit
        time.sleep(0.001)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL and not out.exists()
    extract_many(many, out)
    extract_many(many, tmp_path / "whole.zarr")
    assert_same(out, tmp_path / "whole.zarr")
    assert open_features(out, "conv1").sizes["stimulus"] == 15 * 8


PEAKS = """
from resource import RUSAGE_SELF, getrusage
for folder in sys.argv[1:]:
    extract_many(folder, folder + ".zarr")
    print(getrusage(RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_number_of_images(tmp_path, folder):
    folders = [linked(folder, tmp_path / f"times{n}", n) for n in (5, 40)]
    few, many = map(int, in_another_process(PEAKS, *folders).communicate()[0].split())
    stored = sum(open_features(f"{folders[1]}.zarr", area).nbytes for area in ("conv1", "conv3")) / 1024
    assert many - few < 0.2 * stored  # in KiB; all of it, if it were held in memory


def test_real_photographs(tmp_path):
    root = os.environ.get("VENTRALSTREAM_DATA")
    if not root:
        pytest.skip("VENTRALSTREAM_DATA is unset: no folder of real data")
    done = run(tiny(), Path(root) / "imagenet-samples", tmp_path / "f.zarr", vs.Record("it"))
    features = open_features(tmp_path / "f.zarr", "it")
    assert done.images == features.sizes["stimulus"] == 60
    assert features.stimulus_id.values[0] == "n01440764_tench.JPEG"
    assert len(np.unique(features.sel(step=3).values, axis=0)) == 60
