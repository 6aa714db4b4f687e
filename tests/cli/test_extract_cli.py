import signal
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import ventralstream as vs
from ventralstream import cli
from ventralstream.features.extraction import open_features, weights_sha256


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for i in range(3):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(tmp_path / f"images/{i}.png")
    return tmp_path / "images"


@pytest.fixture
def ventral(monkeypatch, capsys, folder, tmp_path):
    """Runs `ventral extract`; gives the exit code, stdout and stderr."""

    def run(*arguments, **options):
        given = {"--images": folder, "--areas": "conv3,conv5", "--out": tmp_path / "f.zarr"} | {
            f"--{k.replace('_', '-')}": v for k, v in options.items()
        }
        flat = [str(x) for pair in given.items() if pair[1] is not None for x in pair]
        model, *rest = arguments or ("rgc_shallow_cifar",)
        monkeypatch.setattr(sys, "argv", ["ventral", "extract", str(model), *flat, *rest])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        out, err = capsys.readouterr()
        return exit_.value.code or 0, out, err

    return run


def test_extracts_and_says_what(ventral, tmp_path):
    code, out, err = ventral(steps=8, reduce="mean", device="cpu")
    assert code == 0
    assert "rgc_shallow_cifar: the weights are untrained (random, seed 0)" in err
    assert "first drives area 'conv5' at step 4" in err and "'conv3' at step 2" in err
    assert "f.zarr: 3 images" in out and "conv5: stimulus 3, step 8, channel 128; driven" in out
    assert 'xarray.open_zarr("' in out
    features = open_features(tmp_path / "f.zarr", "conv5")
    assert features.shape == (3, 8, 128)
    assert features.attrs["weights_sha256"] == weights_sha256(vs.create_model("rgc_shallow_cifar", seed=0))
    code, _, err = ventral(steps=8, reduce="mean")
    assert code == 2 and "is there already" in err
    assert ventral("rgc_shallow_cifar", "--overwrite", steps=8, reduce="mean")[0] == 0


def test_all_options_arrive(ventral, tmp_path):
    code, _, err = ventral(
        areas="conv4",
        steps=7,
        record_steps="3,5-6",
        reduce="flatten",
        of="state",
        presentation="flash:2",
        batch_size=2,
        dtype="float16",
        size=16,
        resize="squash",
        seed=3,
    )
    assert code == 0, err
    features = open_features(tmp_path / "f.zarr", "conv4")
    assert features.step.values.tolist() == [3, 5, 6] and features.dtype == np.float16
    assert "same for every image" not in err
    attributes = features.attrs
    assert attributes["presentation"] == vs_json(vs.Flash(2))
    assert '"size": 16' in attributes["preprocessing"] and '"squash"' in attributes["preprocessing"]
    assert (attributes["of"], attributes["batch_size"], attributes["steps"]) == ("state", 2, 7)
    assert attributes["weights_sha256"] == weights_sha256(vs.create_model("rgc_shallow_cifar", seed=3))


def vs_json(presentation):
    import json

    return json.dumps(presentation.to_json())


def test_a_saved_network_keeps_its_weights(ventral, tmp_path):
    net = vs.create_model("ff_shallow_cifar", seed=5)
    vs.save_network(net, tmp_path / "run")
    code, _, err = ventral(tmp_path / "run", reduce="max", record_steps="5")
    assert code == 0 and "untrained" not in err
    features = open_features(tmp_path / "f.zarr", "conv5")
    assert features.attrs["weights_sha256"] == weights_sha256(net)
    code, _, err = ventral(tmp_path / "run", out=tmp_path / "g.zarr", seed=1)
    assert code == 2 and "has its own" in err


def test_areas_are_reduced_each_in_its_way_and_the_whole_image_is_shown(ventral, tmp_path):
    code, _, err = ventral(areas="conv2,conv3,conv5", reduce="conv2=max, conv5=mean", steps=6)
    assert code == 0, err
    shapes = {area: open_features(tmp_path / "f.zarr", area).dims[2:] for area in ("conv2", "conv3", "conv5")}
    assert shapes == {"conv2": ("channel",), "conv3": ("channel", "y", "x"), "conv5": ("channel",)}
    attributes = open_features(tmp_path / "f.zarr", "conv5").attrs
    assert '"squash"' in attributes["preprocessing"] and attributes["reduce"] == "mean"


def test_options_from_a_file(ventral, tmp_path):
    config = tmp_path / "extract.yaml"
    config.write_text("areas: conv2\nreduce: mean\nrecord-steps: 2-3\nsteps: 4\n")
    assert ventral(config=config, areas=None, steps=5)[0] == 0
    features = open_features(tmp_path / "f.zarr", "conv2")
    assert features.sizes["step"] == 2 and features.attrs["steps"] == 5


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("rgc_shalow_cifar",), {}, "did you mean 'rgc_shallow_cifar'"),
        ((), {"areas": "conv3,covn5"}, "did you mean 'conv5'"),
        ((), {"areas": "conv3,"}, "unknown area ''"),
        ((), {"record_steps": "3,16"}, "step 16, which does not exist"),
        ((), {"record_steps": "5-3"}, "cannot read the steps '5-3'"),
        ((), {"record_steps": "last"}, "cannot read the steps 'last'"),
        ((), {"images": "nowhere"}, "'nowhere' does not exist"),
        ((), {"steps": 0}, "steps is 0"),
        ((), {"batch_size": 0}, "--batch-size is 0"),
        ((), {"reduce": "meen"}, "did you mean 'mean'"),
        ((), {"reduce": "conv3=mean,max"}, "cannot read the reductions"),
        ((), {"reduce": "conv4=mean"}, "unknown area 'conv4' in --reduce"),
        ((), {"of": "stat"}, "did you mean 'state'"),
        ((), {"dtype": "float61"}, "did you mean 'float16'"),
        ((), {"presentation": "flash"}, "expected 'constant', 'neural', or e.g. 'flash:12'"),
        ((), {"presentation": "flash:0"}, "expected a whole number from 1"),
        ((), {"presentation": "flsh:3"}, "did you mean 'flash'"),
        ((), {"device": "tpu0"}, "unknown device 'tpu0'"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_2(ventral, tmp_path, arguments, options, message):
    code, out, err = ventral(*arguments, **options)
    lines = [x for x in err.splitlines() if "untrained" not in x]
    assert code == 2 and out == "" and len(lines) == 1 and message in lines[0], err
    assert [p.name for p in tmp_path.iterdir()] == ["images"]


def test_no_readable_image(ventral, folder):
    for path in folder.iterdir():
        path.write_text("text")
    code, _, err = ventral()
    assert code == 2 and "none of the 3 images" in err


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_is_one_line_and_an_exit_code(ventral, tmp_path, monkeypatch, name, code):
    forward = vs.Network.forward

    def interrupted(*args, **kwargs):
        signal.raise_signal(getattr(signal, name))
        return forward(*args, **kwargs)

    monkeypatch.setattr(vs.Network, "forward", interrupted)
    given, _, err = ventral(batch_size=2, reduce="mean", steps=5)
    assert given == code and "Traceback" not in err
    assert err.splitlines()[-1] == "interrupted after 2 of 3 images; the same request will carry on"
    monkeypatch.setattr(vs.Network, "forward", forward)
    given, _, err = ventral(batch_size=2, reduce="mean", steps=5)
    assert given == 0 and "carrying on after 2 of 3 files" in err


def test_interrupted_and_carried_on(ventral, tmp_path, monkeypatch):
    assert ventral(out=tmp_path / "whole.zarr", batch_size=1, reduce="mean")[0] == 0
    with monkeypatch.context() as patch:
        calls = []

        def forward(self, *args, **kwargs):
            calls.append(1)
            if len(calls) > 2:
                raise KeyboardInterrupt
            return original(self, *args, **kwargs)

        original = vs.Network.forward
        patch.setattr(vs.Network, "forward", forward)
        code, _, err = ventral(batch_size=1, reduce="mean")
        assert code == 130 and not (tmp_path / "f.zarr").exists()
    code, _, err = ventral(batch_size=1, reduce="max")
    assert code == 2 and "another reduce" in err and "--no-resume" in err
    code, _, err = ventral(batch_size=1, reduce="mean")
    assert code == 0 and "carrying on after 2 of 3 files" in err
    ours, whole = (open_features(tmp_path / name, "conv5").values for name in ("f.zarr", "whole.zarr"))
    assert np.array_equal(ours, whole)
    assert torch.tensor(ours).isfinite().all()
