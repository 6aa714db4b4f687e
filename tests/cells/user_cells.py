"""Cells as users write them: with chance, batch statistics, in-place operations, and what else the contract allows.

None declares anything, but where its name ends in "declared".
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from ventralstream import jsonable
from ventralstream.cells import Cell, register_cell
from ventralstream.spec import CellSpec

KINDS: dict[str, type[CellSpec]] = {}


class Simple(Cell):
    """h' = tanh(W x + U h); the others change something of it."""

    def __init__(self, channels, raw_channels, feedback_channels):
        super().__init__()
        self.feed = nn.Conv2d(channels, channels, 3, padding=1)
        self.lateral = nn.Conv2d(channels, channels, 1, bias=False)
        self.returning = nn.Conv2d(feedback_channels, channels, 1) if feedback_channels else None

    def state_shapes(self, shape):
        return (shape,)

    def drive(self, x):
        return (self.feed(x),)

    def feedback(self, x):
        return self.returning(x)

    def update(self, drive, state, step):
        h = torch.tanh(drive[0] + self.lateral(state[0]))
        return h, (h,)


def user_cell(name, feedback="none"):
    """Registers the options of a cell under "user_<name>"; feedback enters where it says."""

    def register(cls):
        class Options(CellSpec):
            feedback_entry = property(lambda self: feedback)

            def build(self, shape, raw_shape, feedback_channels):
                return cls(shape[0], raw_shape[0], feedback_channels)

        cls.feedback_entry = feedback
        Options.__qualname__ = f"{cls.__name__}Options"
        KINDS[name] = register_cell(f"user_{name}")(dataclass(frozen=True)(Options))
        return cls

    return register


@user_cell("plain")
class Plain(Simple):
    pass


@user_cell("plain_declared")
class PlainDeclared(Simple):
    pure = ("drive", "update")


@user_cell("dropout")
class WithDropout(Simple):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.drop = nn.Dropout(0.5)

    def drive(self, x):
        return (self.drop(self.feed(x)),)


@user_cell("dropout2d")
class WithDropout2d(Simple):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.drop = nn.Dropout2d(0.5)

    def update(self, drive, state, step):
        h = torch.tanh(drive[0] + self.drop(self.lateral(state[0])))
        return h, (h,)


@user_cell("dropout_declared")
class WithDropoutDeclared(WithDropout):
    pure = ("drive", "update")  # of its own code; the dropout inside is seen


@user_cell("functional_dropout")
class WithFunctionalDropout(Simple):
    def drive(self, x):
        return (F.dropout(self.feed(x), 0.5, self.training),)


@user_cell("noise")
class Noise(Simple):
    """Neural noise, in evaluation mode too."""

    def drive(self, x):
        y = self.feed(x)
        return (y + 0.3 * torch.randn_like(y),)


@user_cell("noise_in_training")
class NoiseInTraining(Simple):
    def update(self, drive, state, step):
        h = drive[0] + self.lateral(state[0])
        h = torch.tanh(h + torch.randn_like(h) if self.training else h)
        return h, (h,)


@user_cell("noise_declared", feedback="update")
class NoiseDeclared(Simple):
    pure = ("drive", "feedback")

    def update(self, drive, state, step, feedback=None):
        h = drive[0] + self.lateral(state[0]) + (0 if feedback is None else feedback)
        h = torch.tanh(h + 0.3 * torch.randn_like(h))
        return h, (h,)


@user_cell("batchnorm_in_drive")
class BatchNormInDrive(Simple):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.norm = nn.BatchNorm2d(sizes[0])

    def drive(self, x):
        return (self.norm(self.feed(x)),)


@user_cell("batchnorm_in_feedback", feedback="drive")
class BatchNormInFeedback(Simple):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.norm = nn.BatchNorm2d(sizes[0])

    def feedback(self, x):
        return self.norm(self.returning(x))

    def drive(self, x, feedback=None):
        return (self.feed(x if feedback is None else x + feedback),)


@user_cell("batchnorm_in_update")
class BatchNormInUpdate(Simple):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.norm = nn.BatchNorm2d(sizes[0])

    def update(self, drive, state, step):
        h = torch.tanh(self.norm(drive[0] + self.lateral(state[0])))
        return h, (h,)


@user_cell("batchnorm_in_update_declared")
class BatchNormInUpdateDeclared(BatchNormInUpdate):
    pure = ("drive", "update")

    def modules_of(self, stage):
        return [self.feed] if stage == "drive" else [self.norm, self.lateral]


@user_cell("batch_mean")
class BatchMean(Simple):
    """Statistics of the batch without a module that says so, and in evaluation mode too."""

    def drive(self, x):
        y = self.feed(x)
        return (y - y.mean(0, keepdim=True),)


@user_cell("in_place_state")
class InPlaceState(Simple):
    def update(self, drive, state, step):
        (h,) = state
        h.mul_(0.5).add_(drive[0])
        return h, (h,)


@user_cell("in_place_drive")
class InPlaceDrive(Simple):
    def drive(self, x):
        x.add_(1.0)
        return (self.feed(x).relu_(), x)

    def update(self, drive, state, step):
        h = drive[0].add_(drive[1]).add_(self.lateral(state[0])).tanh_()
        return h, (h,)


@user_cell("in_place_module")
class InPlaceModule(Simple):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.act = nn.ELU(inplace=True)

    def drive(self, x):
        return (self.feed(self.act(x)),)


@user_cell("per_step")
class PerStep(Simple):
    distinct_steps = 3

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.gain = nn.Parameter(torch.ones(3))

    def update(self, drive, state, step):
        h = torch.tanh(drive[0] * self.gain[min(step, 2)] + self.lateral(state[0]))
        return h, (h,)


@user_cell("needs_raw")
class NeedsRaw(Simple):
    needs_raw = True

    def __init__(self, channels, raw_channels, feedback_channels):
        super().__init__(channels, raw_channels, feedback_channels)
        self.past = nn.Conv2d(raw_channels, channels, 1)

    def drive(self, x, raw):
        return (self.feed(x), self.past(raw))

    def update(self, drive, state, step):
        h = torch.tanh(drive[0] * torch.sigmoid(drive[1]) + self.lateral(state[0]))
        return h, (h,)


@user_cell("feedback_in_drive", feedback="drive")
class FeedbackInDrive(Simple):
    def drive(self, x, feedback=None):
        return (self.feed(x if feedback is None else x * torch.sigmoid(feedback)),)


@user_cell("feedback_in_update", feedback="update")
class FeedbackInUpdate(Simple):
    def update(self, drive, state, step, feedback=None):
        h = drive[0] + self.lateral(state[0])
        h = torch.tanh(h if feedback is None else h + feedback)
        return h, (h,)


@user_cell("two_states")
class TwoStates(Simple):
    """A leaky rate and its adaptation."""

    def state_shapes(self, shape):
        return (shape, shape)

    def update(self, drive, state, step):
        h, a = state
        new = torch.tanh(drive[0] + self.lateral(h) - 0.5 * a)
        return new, (new, 0.8 * a + 0.2 * h)


@user_cell("complex")
class ComplexCell(Simple):
    """A kernel of complex numbers, and a state of them: oscillation."""

    def __init__(self, channels, raw_channels, feedback_channels):
        super().__init__(channels, raw_channels, feedback_channels)
        self.kernel = nn.Parameter(0.1 * torch.randn(channels, channels, 3, 3, dtype=torch.complex64))

    def init_state(self, batch, shape, like):
        return (torch.complex(like.new_zeros(batch, *shape), like.new_zeros(batch, *shape)),)

    def drive(self, x):
        return (F.conv2d(torch.complex(x, torch.zeros_like(x)), self.kernel, padding=1),)

    def update(self, drive, state, step):
        z = drive[0] + 0.5 * state[0] * torch.complex(torch.tensor(0.0), torch.tensor(1.0)).to(state[0].dtype)
        return z.abs(), (z,)


@user_cell("complex_pair")
class ComplexPair(Simple):
    """Real and imaginary parts as two kernels and two states, joined by torch.complex."""

    def state_shapes(self, shape):
        return (shape, shape)

    def update(self, drive, state, step):
        z = torch.complex(drive[0], self.feed(drive[0])) + 0.5 * torch.complex(*state)
        z = z / (1 + z.abs())
        return z.real + z.imag, (z.real, z.imag)


@user_cell("looks_stateful")
class LooksStateful(Simple):
    """Keeps what follows from the shape alone, which is no state."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        self.maps = {}

    def update(self, drive, state, step):
        size = drive[0].shape[-1]
        if size not in self.maps:
            self.maps[size] = torch.linspace(0, 1, size, dtype=drive[0].dtype)
        h = torch.tanh(drive[0] + self.lateral(state[0]) * self.maps[size])
        return h, (h,)


@user_cell("concatenates")
class Concatenates(Simple):
    """Does not broadcast: the drive and the state are one tensor to it."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.both = nn.Conv2d(2 * sizes[0], sizes[0], 1)

    def update(self, drive, state, step):
        h = torch.tanh(self.both(torch.cat([drive[0], state[0]], 1)))
        return h, (h,)


@user_cell("numpy_noise")
class NumpyNoise(Simple):
    def drive(self, x):
        import numpy as np

        y = self.feed(x)
        return (y + torch.from_numpy(np.random.normal(size=y.shape)).to(y.dtype),)  # noqa: NPY002


# other tests draw from all registered cells; tests/cells/conftest.py registers these for the tests beside it alone
TAGS = {name: jsonable._TAGS.pop(name) for name in [f"user_{kind}" for kind in KINDS]}
