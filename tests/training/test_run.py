import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import ventralstream as vs
from ventralstream.data import Loader, load_set
from ventralstream.data.augment import Augment
from ventralstream.errors import VentralError
from ventralstream.layers.specs import GlobalPool, Linear
from ventralstream.models import build
from ventralstream.training import (
    SGD,
    AdamW,
    DecisionLoss,
    MeanLoss,
    Muon,
    Place,
    RandomDurationLoss,
    RandomStepLoss,
    Recipe,
    Schedule,
    WeightedLoss,
)
from ventralstream.training.checkpoint import position_name
from ventralstream.training.folder import open_run
from ventralstream.training.metrics import read_rows
from ventralstream.training.run import resume, train
from ventralstream.training.split import load_sets


def assert_same_weights(a, b):
    assert list(a) == list(b)
    for name in a:
        assert torch.equal(a[name], b[name]), name


@pytest.fixture
def whole(tmp_path, spec, recipe, place):
    """A run that was never interrupted."""
    train(spec, recipe, tmp_path / "whole", place=place)
    return tmp_path / "whole"


def test_a_run_leaves_what_it_takes_to_understand_and_use_it(whole, spec, recipe, place):
    network = vs.load_network(whole)
    assert network.spec.areas == spec.areas and network.spec.steps == 5
    assert network.spec.mean == (0.3,) and network.spec.input_shape == (1, 16, 16)
    norm = network.areas["v1"].drive_layers.layers[1].norms[0]
    assert norm.num_batches_tracked == 12 * 3  # it runs at 3 of the 5 steps: later ones reach no logits
    first = build(network.spec, recipe.seed).state_dict()
    assert not torch.equal(
        first["areas.it.cell.candidate.conv.weight"],
        network.state_dict()["areas.it.cell.candidate.conv.weight"],
    )
    run = open_run(whole)
    assert run.recipe == recipe and run.place == place and run.complete
    assert run.data.classes == tuple("0123456789")
    (session,) = json.loads((whole / "run.json").read_text())["sessions"]
    assert torch.__version__.startswith(session["packages"]["torch"]) and session["command"] == sys.argv
    assert session["threads"] == 1 and session["cores"] >= 1 and session["cpu"] and session["folder"] == str(Path.cwd())
    assert any((whole / "tensorboard").glob("events.out.tfevents.*"))
    assert not [p for p in whole.rglob("*") if p.suffix in (".ckpt", ".pt", ".pkl", ".part")]


def test_metrics(whole):
    rows = read_rows(whole / "metrics.csv")
    assert [(row["step"], row["epoch"]) for row in rows] == [("6", "1"), ("10", "2"), ("12", "2")]
    assert float(rows[1]["lr"]) > 0 and float(rows[1]["train_loss"]) > 0 and rows[1]["val_accuracy"] == ""
    assert rows[2]["train_loss"] == "" and 1 < float(rows[2]["train_loss_epoch"]) < 4
    by_step = [float(rows[2][f"val_accuracy/step_0{t}"]) for t in (2, 3, 4)]
    assert float(rows[2]["val_accuracy"]) == by_step[-1]
    assert "val_accuracy/step_01" not in rows[2] and "val_accuracy/step_05" not in rows[2]


@pytest.mark.parametrize("after", [1, 4, 6, 7, 12])
def test_an_interrupted_run_goes_on_exactly(tmp_path, after, whole, spec, recipe, place, stop, weights):
    out = tmp_path / "run"
    with pytest.raises(BaseException, match="the power went out"):
        train(spec, recipe, out, place=place, after_batch=stop(after))
    assert not open_run(out).complete
    result = resume(out)
    assert not result.was_complete and result.epochs == 2
    assert_same_weights(weights(out), weights(whole))
    assert (out / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()
    assert len(json.loads((out / "run.json").read_text())["sessions"]) == 2


def test_an_epoch_without_checkpoints_is_begun_again(tmp_path, spec, recipe, place, stop, weights):
    """The row that was logged after the last checkpoint is logged once more, not twice."""
    place = place.replace(checkpoint_every=3600.0)
    train(spec, recipe, tmp_path / "whole", place=place)
    out = tmp_path / "run"
    for after, position in ((5, (0, 0)), (11, (1, 0))):
        with pytest.raises(BaseException, match="power"):
            if after == 5:
                train(spec, recipe, out, place=place, after_batch=stop(after))
            else:
                resume(out, after_batch=stop(after))
        assert open_run(out).position == position
    resume(out)
    assert_same_weights(weights(out), weights(tmp_path / "whole"))
    assert (out / "metrics.csv").read_text() == (tmp_path / "whole" / "metrics.csv").read_text()


def test_training_is_what_a_plain_loop_does(tmp_path, spec, recipe, place, weights):
    it = spec.area("it").replace(drive=spec.area("it").drive[:1])  # without dropout
    spec = spec.replace(areas=(spec.area("v1"), it, spec.area("decoder")))
    recipe = recipe.replace(optimizer=SGD(lr=0.3, weight_decay=0.01), clip=0.5, loss=DecisionLoss(label_smoothing=0.1))
    train(spec, recipe, tmp_path / "run", place=place)

    network = build(spec.replace(input_shape=(1, 16, 16)), seed=0).train()
    decayed = [p for p in network.parameters() if p.dim() > 1]
    others = [p for p in network.parameters() if p.dim() == 1]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": others}]
    optimizer = torch.optim.SGD(groups, momentum=0.9, nesterov=True)
    loader = Loader(load_set("scenes", size=16, subset=50), 8, train=True)
    for step in range(12):
        if step % 6 == 0:
            loader.set_epoch(step // 6)
            batches = iter(loader)
        images, labels = next(batches)
        for group in optimizer.param_groups:
            group["lr"] = 0.3 * min((step + 1) / 3.6, (1 - step / 12) / 0.7, 1)
        loss = F.cross_entropy(network(images).output, labels, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 0.5)
        optimizer.step()
    for name, value in weights(tmp_path / "run").items():
        torch.testing.assert_close(value, network.state_dict()[name], rtol=1e-5, atol=1e-6)


def test_a_run_interrupted_again_and_again_goes_on_exactly(tmp_path, whole, spec, recipe, place, stop, weights):
    out = tmp_path / "run"
    with pytest.raises(BaseException, match="power"):
        train(spec, recipe, out, place=place, after_batch=stop(2))
    for after in (3, 6, 8, 11):
        with pytest.raises(BaseException, match="power"):
            resume(out, after_batch=stop(after))
    resume(out)
    assert_same_weights(weights(out), weights(whole))
    assert (out / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": AdamW(), "clip": 0.0, "schedule": Schedule("cosine", warmup=1.0)},
        {"optimizer": SGD(momentum=0.0), "schedule": Schedule("step", drop_every=0.5), "remat": True},
        {"precision": "bf16", "loss": MeanLoss(label_smoothing=0.1)},
        {"optimizer": Muon(), "ema_decay": 0.9, "loss": RandomDurationLoss(), "remat": True},
        {"optimizer": Muon(), "ema_decay": 0.9, "loss": RandomStepLoss(), "accumulate": 2, "precision": "bf16"},
        {"optimizer": AdamW(), "loss": WeightedLoss(step_weights=(0.3, 1.0)), "whiten": False, "tbptt": 2},
        {"augment": Augment(part=0.5, crop=2, flip="alternating", cutout=4), "ema_decay": 0.99},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_whatever_the_recipe_a_run_goes_on_exactly(tmp_path, changes, spec, recipe, place, stop, weights):
    recipe = recipe.replace(**changes)
    train(spec, recipe, tmp_path / "whole", place=place, readout=vs.Mean())
    with pytest.raises(BaseException, match="power"):
        train(
            spec,
            recipe,
            tmp_path / "run",
            place=place,
            readout=vs.Mean(),
            after_batch=stop(9),
        )
    resume(tmp_path / "run")
    assert_same_weights(weights(tmp_path / "run"), weights(tmp_path / "whole"))
    last = f"checkpoints/{position_name(recipe.epochs, 0)}"
    for file in ("tensors.safetensors", "state.json"):  # the optimiser, averages, sums
        assert (tmp_path / "run" / last / file).read_bytes() == (tmp_path / "whole" / last / file).read_bytes()


HOLDER = """
import sys
from pathlib import Path
from ventralstream.files import claimed
with claimed(Path(sys.argv[1]), str):
    print("claimed", flush=True)
    sys.stdin.read()
"""


def test_one_process_trains_in_a_folder(tmp_path, spec, recipe, place, stop, weights, whole):
    out = tmp_path / "run"
    with pytest.raises(BaseException, match="power"):
        train(spec, recipe, out, place=place, after_batch=stop(2))
    assert not (out / "run.lock").exists()
    command = [sys.executable, "-c", HOLDER, str(out / "run.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"claimed\n"
        with pytest.raises(VentralError, match=rf"^process {other.pid} on .* is training in '{out}'; let it finish"):
            resume(out)
        other.kill()
    assert (out / "run.lock").exists(), "it is still there, and says nothing"
    resume(out)
    assert_same_weights(weights(out), weights(whole))


def test_a_folder_that_another_process_is_beginning_is_left_alone(tmp_path, spec, recipe, place):
    out = tmp_path / "run"
    out.mkdir()
    command = [sys.executable, "-c", HOLDER, str(out / "run.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"claimed\n"
        (out / "run.json").write_text('{"sessions": []}')
        with pytest.raises(VentralError, match=rf"^process {other.pid} on .* is training in"):
            train(spec, recipe, out, place=place)
        assert (out / "run.json").exists()
        other.kill()
    train(spec, recipe, out, place=place)


def test_a_run_that_was_moved_goes_on(tmp_path, spec, recipe, place, stop, weights, whole, monkeypatch):
    with pytest.raises(BaseException, match="power"):
        train(spec, recipe, tmp_path / "run", place=place, after_batch=stop(2))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").rename(tmp_path / "elsewhere" / "moved")
    monkeypatch.chdir(tmp_path / "elsewhere")
    resume("moved")
    assert_same_weights(weights(tmp_path / "elsewhere" / "moved"), weights(whole))


def test_after_a_damaged_checkpoint_the_good_ones_are_kept(tmp_path, spec, recipe, place, stop):
    """And what a process that was killed left half written goes."""
    out = tmp_path / "run"
    with pytest.raises(BaseException, match="power"):
        train(spec, recipe, out, place=place, after_batch=stop(6))
    folder = out / "checkpoints"
    (folder / position_name(0, 5) / "state.json").write_text("?")
    (folder / (position_name(0, 6) + ".part")).mkdir()
    shutil.copytree(folder / position_name(0, 4), folder / (position_name(0, 3) + ".replaced"))
    with pytest.raises(BaseException, match="power"):
        resume(out, place=place.replace(checkpoint_every=3600.0), after_batch=stop(7))
    names = {path.name for path in folder.iterdir()}
    assert names == {position_name(*at) for at in ((0, 0), (0, 4), (1, 0))}


def test_a_complete_run_says_so_and_changes_nothing(whole, weights):
    before = weights(whole)
    rows = (whole / "metrics.csv").read_text()
    result = resume(whole)
    assert result.was_complete and list(result.accuracy) == [2, 3, 4] and result.decision == result.accuracy[4]
    assert_same_weights(before, weights(whole))
    assert (whole / "metrics.csv").read_text() == rows


def test_a_complete_run_that_died_before_its_weights_were_written_gets_them(whole, spec, weights):
    after = weights(whole)
    network = build(vs.load_network(whole).spec, seed=5)
    vs.save_network(network, whole)
    resume(whole)
    assert_same_weights(after, weights(whole))


@pytest.mark.parametrize("change", ["add", "remove", "replace", "rename", "touch"])
def test_a_run_does_not_go_on_with_other_images(tmp_path, spec, place, stop, change):
    root, rng = tmp_path / "set", np.random.default_rng(0)
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            (root / split / name).mkdir(parents=True)
            for i in range(4):
                pixels = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{i}.png")
    decoder = spec.area("decoder").replace(drive=(GlobalPool(), Linear(2)))
    spec = spec.replace(areas=(spec.area("v1"), spec.area("it"), decoder))
    recipe = Recipe(data="folder", size=16, epochs=1, batch_size=2)
    place = place.replace(root=str(root), workers=0)
    with pytest.raises(BaseException, match="power"):
        train(spec, recipe, tmp_path / "run", place=place, after_batch=stop(2))
    file, other = root / "train" / "cat" / "1.png", root / "val" / "dog" / "0.png"
    {
        "add": lambda: shutil.copy(file, root / "train" / "cat" / "new.png"),
        "remove": lambda: other.unlink(),
        "replace": lambda: file.write_bytes(other.read_bytes()),
        "rename": lambda: file.rename(file.with_name("new.png")),
        "touch": lambda: os.utime(file),
    }[change]()
    if change == "touch":  # a copy of the set is as good
        assert resume(tmp_path / "run").epochs == 1
    else:
        with pytest.raises(VentralError, match=r"are not those that .* was begun with: .* begin a new run") as error:
            resume(tmp_path / "run")
        assert "\n" not in str(error.value)


def test_training_leaves_the_global_random_state_alone(tmp_path, spec, recipe, place):
    state = torch.get_rng_state()
    train(spec, recipe.replace(epochs=1, subset=8), tmp_path / "run", place=place)
    assert torch.equal(state, torch.get_rng_state())


def test_seeds_matter(tmp_path, whole, spec, recipe, place, weights):
    train(spec, recipe.replace(seed=1), tmp_path / "other", place=place)
    name = "areas.it.cell.candidate.conv.weight"
    assert not torch.equal(weights(whole)[name], weights(tmp_path / "other")[name])


def test_a_registered_model_is_made_for_the_set_and_learns(tmp_path, recipe, place):
    """Shown the same few images again and again it learns them by heart."""
    recipe = recipe.replace(size=32, subset=16, batch_size=16, epochs=40)
    result = train(
        "timedecay_shallow_cifar",
        recipe,
        tmp_path / "run",
        place=Place(threads=1),
        steps=7,
        readout=vs.PerStep(),
    )
    network = vs.load_network(tmp_path / "run")
    assert network.spec.steps == 7 and network.spec.readout == vs.PerStep() and list(result.accuracy) == [5, 6]
    rows = [row for row in read_rows(tmp_path / "run" / "metrics.csv") if row["train_accuracy_epoch"]]
    assert float(rows[0]["train_accuracy_epoch"]) < 0.5 < float(rows[-1]["train_accuracy_epoch"])


def test_training_starts_from_a_saved_network(tmp_path, whole, recipe, place, stop):
    out = tmp_path / "on"
    with pytest.raises(BaseException, match="power"):
        train(str(whole), recipe, out, place=place, after_batch=stop(1))
    for name, value in vs.load_network(whole).state_dict().items():
        assert torch.equal(value, vs.load_network(out).state_dict()[name])


def test_remat_changes_nothing_but_the_order_of_sums(tmp_path, whole, spec, recipe, place, weights):
    train(spec, recipe.replace(remat=True), tmp_path / "remat", place=place)
    found, expected = weights(tmp_path / "remat"), weights(whole)
    assert list(found) == list(expected)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-3, atol=1e-5, msg=name)


def test_half_precision_keeps_whole_weights(tmp_path, spec, recipe, place):
    train(spec, recipe.replace(epochs=1, precision="bf16"), tmp_path / "run", place=place)
    assert {p.dtype for p in vs.load_network(tmp_path / "run").parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        ("rgc_shalow_cifar", {}, "unknown model 'rgc_shalow_cifar'; did you mean 'rgc_shallow_cifar'"),
        ("no/such/folder", {}, "no spec and no saved network at 'no/such/folder'"),
        ("rgc_shallow_cifar", {"data": "sceness"}, "unknown image set 'sceness'; did you mean 'scenes'"),
        ("rgc_shallow_cifar", {"data": "cifar10", "size": None}, "'cifar10' needs a root"),
        ("rgc_shallow_cifar", {"batch_size": 51}, "50 training images do not fill one batch of 51"),
        ("rgc_shallow", {}, r"'rgc_shallow' does not fit the images of 'scenes', which are \(1, 16, 16\)"),
        ("rgc_shallow_cifar", {"precision": "16"}, "precision '16' needs a GPU"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch, model, changes, message, recipe):
    monkeypatch.delenv("VENTRALSTREAM_DATA", raising=False)
    with pytest.raises(VentralError, match=message) as error:
        train(model, recipe.replace(**changes), tmp_path / "run", place=Place(device="cpu"))
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())


def test_misfits_are_refused(tmp_path, spec, recipe, whole):
    out = tmp_path / "run"
    with pytest.raises(VentralError, match=r"2 steps are too few for 'small': .* at step 2, so 3 are needed"):
        train(spec, recipe, out, steps=2)
    seven = vs.model_spec("ff_shallow_cifar", num_classes=7).area("decoder")
    with pytest.raises(VentralError, match="'small' tells 7 classes apart, 'scenes' has 10"):
        train(spec.replace(areas=(*spec.areas[:2], seven)), recipe, out)
    colour = build(spec.replace(input_shape=(3, 16, 16), mean=(0.5,) * 3, std=(0.5,) * 3))
    with pytest.raises(VentralError, match="takes images of 3 channels; those of 'scenes' have 1"):
        train(colour, recipe, out)
    with pytest.raises(VentralError, match="batch of 8 images cannot be shared by 3 devices"):
        train(spec, recipe, out, place=Place(devices=3))
    assert not out.exists()
    with pytest.raises(VentralError, match=rf"carry on with --resume {whole}, or choose another one"):
        train(spec, recipe, whole)
    with pytest.raises(VentralError, match=r"not a training run: there is no recipe\.json in it"):
        resume(tmp_path)
    with pytest.raises(VentralError, match="not a training run: there is no such folder"):
        resume(out)


def test_images_held_out_of_training_are_validated_on(recipe, place):
    held = recipe.replace(holdout=30, subset=100, val_subset=None)
    train_set, val_set = load_sets(held, place)
    whole = load_set("scenes", size=16)
    assert (len(train_set), len(val_set)) == (100, 30)

    def rows(data):
        return {tuple(x.flatten().tolist()) for x in data.images}

    assert not rows(train_set) & rows(val_set) and rows(train_set) | rows(val_set) <= rows(whole)
    again, smaller = load_sets(held.replace(seed=5), place), load_sets(held.replace(val_subset=10), place)
    assert rows(again[1]) == rows(val_set) and rows(smaller[1]) < rows(val_set)
    for changes, message in (({"holdout": 10_000}, "has 10000"), ({"holdout": 9_950}, "a subset of 100 images")):
        with pytest.raises(VentralError, match=message):
            load_sets(held.replace(**changes), place)
