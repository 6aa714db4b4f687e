"""What is not finite ends a run at once, in one sentence, and is never saved."""

import pytest
import torch

import ventralstream as vs
from ventralstream.errors import VentralError
from ventralstream.training import SGD, Place, Schedule
from ventralstream.training.checkpoint import checkpoints
from ventralstream.training.finite import Watch, check_finite
from ventralstream.training.folder import Checkpoint, open_run
from ventralstream.training.run import resume, train

CONSTANT = Schedule("constant")


def assert_finite(run):
    found = checkpoints(run / "checkpoints")
    assert found
    tensors = [t for path in found for t in Checkpoint.read(path).network.values()]
    assert all(t.isfinite().all() for t in [*tensors, *vs.load_network(run).state_dict().values()])


@pytest.fixture
def far(monkeypatch):
    """Makes every step so long that weights become infinite in the first."""
    monkeypatch.setattr(Schedule, "factor", lambda *_: 3e32)


def test_a_run_that_diverges_keeps_what_was_good(tmp_path, spec, recipe, place):
    recipe = recipe.replace(optimizer=SGD(lr=1e6), schedule=CONSTANT, clip=0.0, epochs=20)
    for go_on in (lambda: train(spec, recipe, tmp_path / "run", place=place), lambda: resume(tmp_path / "run")):
        with pytest.raises(VentralError, match="try a lower learning rate, or clipping") as error:
            go_on()
        assert "\n" not in str(error.value)
        assert_finite(tmp_path / "run")
        assert not open_run(tmp_path / "run").complete


@pytest.mark.parametrize("batches", [1, 2])
def test_a_run_of_few_batches_is_not_complete_with_broken_weights(tmp_path, spec, recipe, place, far, batches):
    """The weights become infinite in the very last step, whose loss was fine."""
    recipe = recipe.replace(subset=8 * batches, epochs=1, optimizer=SGD(lr=1e6), schedule=CONSTANT, clip=0.0)
    with pytest.raises(VentralError, match=r"not finite|the loss is|the norm of the gradient is"):
        train(spec, recipe, tmp_path / "run", place=place)
    assert_finite(tmp_path / "run")
    assert not open_run(tmp_path / "run").complete


def test_a_validation_of_broken_numbers_is_no_accuracy(tmp_path, spec, recipe, place, monkeypatch):
    def huge(self, *args, **kwargs):
        out = forward(self, *args, **kwargs)
        return out if self.training else out.map(lambda t: t * float("nan")) if hasattr(out, "map") else broken(out)

    def broken(out):
        out.logits[0, -1, 0] = float("nan")
        return out

    forward = vs.Network.forward
    monkeypatch.setattr(vs.Network, "forward", huge)
    with pytest.raises(VentralError, match=r"the logits of \d+ of \d+ images are not finite"):
        train(spec, recipe, tmp_path / "run", place=place)


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), -float("inf")])
def test_every_batch_is_looked_at_on_a_device_one_later(loss):
    good, bad = torch.tensor(1.0), torch.tensor(loss)
    watch = Watch(torch.device("meta"))
    watch.at_once = False
    watch.add(1, bad, good)
    with pytest.raises(VentralError, match=r"^the loss is -?(nan|inf) at batch 1: "):
        watch.add(2, good, good)
    watch.add(3, good, bad)
    with pytest.raises(VentralError, match=r"^the norm of the gradient is -?(nan|inf) at batch 3: "):
        watch.settle()
    at_once = Watch(torch.device("cpu"))
    at_once.add(1, good, good)
    with pytest.raises(VentralError, match="batch 2"):
        at_once.add(2, bad, good)
    Watch(torch.device("cpu"), scaled=True).add(1, good, bad)  # the scaler skips such a batch


def test_statistics_and_the_optimisers_state_are_looked_at():
    fine, bad = torch.ones(2), torch.tensor([1.0, float("nan")])
    check_finite({"w": fine, "count": torch.tensor(3)}, {"state": {0: {"momentum": fine}}}, 1)
    with pytest.raises(VentralError, match=r"the network's 'norm.running_var' is not finite after batch 7"):
        check_finite({"w": fine, "norm.running_var": bad}, {}, 7)
    with pytest.raises(VentralError, match="the optimiser's 'state/0/momentum' is not finite"):
        check_finite({"w": fine}, {"state": {0: {"momentum": bad}}}, 7)


def test_half_precision_too(tmp_path, spec, recipe, far):
    recipe = recipe.replace(optimizer=SGD(lr=1e6), schedule=CONSTANT, clip=0.0, precision="bf16")
    with pytest.raises(VentralError, match="try a lower learning rate"):
        train(spec, recipe, tmp_path / "run", place=Place(threads=1, checkpoint_every=0))
    assert_finite(tmp_path / "run")
