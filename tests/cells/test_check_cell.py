"""check_cell accepts what keeps the contract, and says in one sentence what does not."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import nn
from user_cells import KINDS, Simple

from ventralstream.cells import (
    GRU,
    LSTM,
    CORnetR,
    CORnetS,
    Decay,
    Reciprocal,
    register_cell,
)
from ventralstream.errors import VentralError
from ventralstream.spec import CellSpec
from ventralstream.testing import check_cell


@pytest.mark.parametrize(
    "spec",
    [
        GRU(channels=5),
        LSTM(peepholes=True, layer_norm=True),
        Decay(0.5),
        CORnetR(groups=2),
        CORnetS(scale=1, loop_to=2, gate="soft"),
        Reciprocal(feedback_to="cell", input_to_out=True, channels=4, out_residual=True, gate_separable=True),
    ],
    ids=lambda spec: spec.tag,
)
def test_our_cells_keep_it(spec: CellSpec) -> None:
    check_cell(spec, compile=False)


@pytest.mark.parametrize("kind", ["plain", "batchnorm_in_feedback", "noise", "complex"])
def test_users_cells_keep_it(kind: str) -> None:
    """tests/cells/test_user_cells.py tries all of them on random networks."""
    random = torch.get_rng_state()
    check_cell(KINDS[kind](), compile=kind == "complex")
    assert torch.equal(torch.get_rng_state(), random)


def lying(cls: type[Simple], name: str = "lie", feedback: str = "none", register: bool = True) -> CellSpec:
    """The options of a cell that breaks the contract."""

    class Options(CellSpec):
        feedback_entry = property(lambda self: feedback)

        def build(self, shape, raw_shape, feedback_channels):
            return cls(shape[0], raw_shape[0], feedback_channels)

    Options.__qualname__ = cls.__qualname__
    made = dataclass(frozen=True)(Options)
    return (register_cell(name)(made) if register else made)()


class NoiseSaidToBePure(Simple):
    pure = ("drive", "update")

    def drive(self, x):
        return (self.feed(x) + torch.rand(1, dtype=x.dtype),)


class InPlaceSaidToBePure(Simple):
    pure = ("drive", "update")

    def update(self, drive, state, step):
        state[0].add_(drive[0])
        return state[0], state


class BatchMeanSaidToBePure(Simple):
    pure = ("drive", "update")

    def update(self, drive, state, step):
        h = torch.tanh(drive[0] + state[0] - drive[0].mean(0, keepdim=True))
        return h, (h,)


class ConcatenatesSaidToBePure(Simple):
    pure = ("drive", "update")

    def update(self, drive, state, step):
        h = torch.tanh(torch.cat([drive[0], state[0]], 1).chunk(2, 1)[0])
        return h, (h,)


class NoiseInTrainingSaidToBePure(Simple):
    pure = ("drive", "update")

    def drive(self, x):
        return (nn.functional.dropout(self.feed(x), 0.5, self.training),)


class HiddenState(Simple):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.last = None

    def update(self, drive, state, step):
        past = drive[0] if self.last is None or self.last.shape != drive[0].shape else self.last
        self.last = drive[0].detach()
        h = torch.tanh(past + self.lateral(state[0]))
        return h, (h,)


class Unsaved(Simple):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.gain = torch.rand(1)  # a tensor that is neither parameter nor buffer

    def drive(self, x):
        return (self.feed(x) * self.gain.to(x.dtype),)


class PerStepUnsaid(Simple):
    def update(self, drive, state, step):
        h = torch.tanh(drive[0] * (step + 1) + self.lateral(state[0]))
        return h, (h,)


class OtherEmit(Simple):
    def emit(self, drive, state, step, feedback=None):
        return self.update(drive, state, step)[0] + 1


class Forgetful(Simple):
    def forgets(self):
        return True


class OtherState(Simple):
    def update(self, drive, state, step):
        h = drive[0] + state[0]
        return h, (h[:, :1],)


class OtherOutput(Simple):
    def update(self, drive, state, step):
        h = drive[0] + state[0]
        return h[:, :1], (h,)


class OneSize(Simple):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.map = nn.Parameter(torch.rand(8, 8))

    def drive(self, x):
        return (self.feed(x) * self.map,)


class DriveOfOneTensor(Simple):
    def drive(self, x):
        return self.feed(x)


class StateInAList(Simple):
    def update(self, drive, state, step):
        h = torch.tanh(drive[0] + state[0])
        return h, [h]


class NoState(Simple):
    def update(self, drive, state, step):
        return torch.tanh(drive[0]), None


class Misspelt(Simple):
    pure = ("drive", "updated")


class Explodes(Simple):
    def update(self, drive, state, step):
        h = drive[0] / 0.0
        return h, (h,)


@pytest.mark.parametrize(
    ("cls", "sentence"),
    [
        (NoiseSaidToBePure, "drive counts as pure, as declared, but in evaluation mode it draws random numbers"),
        (InPlaceSaidToBePure, "update counts as pure, as declared, but in evaluation mode it overwrites its arguments"),
        (BatchMeanSaidToBePure, "update .* mixes the images of a batch"),
        (ConcatenatesSaidToBePure, "update .* does not broadcast a batch of one"),
        (NoiseInTrainingSaidToBePure, "drive .* in training mode it draws random numbers"),
        (HiddenState, "differs from the naive one|kept between calls|are not 8"),
        (Unsaved, "parameter, a buffer or an option"),
        (PerStepUnsaid, "the planned unroll in a chain in evaluation mode differs from the naive one at step 1"),
        (OtherEmit, "emit in a chain in evaluation mode is not the output of update"),
        (Forgetful, "differs from the naive one"),
        (OtherState, r"update gives a state of \[\(2, 1, 8, 8\)\]; expected \[\(2, 8, 8, 8\)\]"),
        (OtherOutput, r"update gives an output of \(1, 8, 8\), but output_shape of its options says \(8, 8, 8\)"),
        (DriveOfOneTensor, "the drive of the cell DriveOfOneTensor is a Tensor; expected a tuple of tensors"),
        (StateInAList, "the new state of the cell StateInAList is a list; expected a tuple of tensors"),
        (NoState, "the new state of the cell NoState is a NoneType; expected a tuple of tensors"),
        (OneSize, r"an unroll on images of \(12, 16\) raises RuntimeError"),
        (Misspelt, "unknown stage 'updated' in 'pure' of the cell Misspelt; did you mean 'update'?"),
        (Explodes, "not finite"),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_what_breaks_it_is_named(cls: type[Simple], sentence: str) -> None:
    with pytest.raises(VentralError, match=sentence) as caught:
        check_cell(lying(cls), compile=False)
    assert str(caught.value).startswith("cell 'lie': ") and "\n" not in str(caught.value)


def test_feedback_has_to_be_declared_twice() -> None:
    class Cell(Simple):
        feedback_entry = "drive"

    with pytest.raises(VentralError, match="feedback_entry is 'drive' in the cell and 'none' in its options"):
        check_cell(lying(Cell))


def test_options_need_a_name() -> None:
    with pytest.raises(VentralError, match="cell 'Options': its options have no name"):
        check_cell(lying(Simple, register=False))
