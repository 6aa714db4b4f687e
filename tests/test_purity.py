"""What is known of modules, and that stages with unknown ones are neither merged nor stacked in training mode."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

import ventralstream as vs
from ventralstream.cells import GRU
from ventralstream.layers.norm import StepNorm
from ventralstream.layers.specs import Act, Conv, Dropout, GlobalPool, Linear, Norm
from ventralstream.models import build
from ventralstream.network import Network
from ventralstream.program import Request
from ventralstream.purity import verdict


class Noise(nn.Module):
    def forward(self, x):
        return x + torch.randn_like(x)


class Twice(nn.Module):
    def forward(self, x):
        return 2 * x


class TwiceSaid(Twice):
    pure = True


class TwiceAgain(TwiceSaid):  # a subclass has to say it anew
    pass


class NoiseSaid(Noise):
    pure = False


class OwnDropout(nn.Dropout):
    def forward(self, x):
        return x + torch.randn_like(x)


class OwnNorm(nn.GroupNorm):
    pass


@pytest.mark.parametrize(
    ("module", "in_training", "in_evaluation"),
    [
        (nn.Conv2d(2, 2, 1), "pure", "pure"),
        (nn.Sequential(), "pure", "pure"),
        (nn.ELU(), "pure", "pure"),
        (nn.ELU(inplace=True), "unknown", "unknown"),
        (nn.GroupNorm(1, 2), "pure", "pure"),
        (OwnNorm(1, 2), "unknown", "unknown"),
        (nn.BatchNorm2d(2), "varies", "pure"),
        (nn.SyncBatchNorm(2), "varies", "pure"),
        (nn.BatchNorm2d(2, track_running_stats=False), "varies", "varies"),
        (nn.InstanceNorm2d(2), "pure", "pure"),
        (nn.InstanceNorm2d(2, track_running_stats=True), "varies", "pure"),
        (nn.Dropout(0.5), "varies", "pure"),
        (nn.Dropout(0.0), "pure", "pure"),
        (nn.Dropout2d(), "varies", "pure"),
        (nn.AlphaDropout(), "varies", "pure"),
        (nn.FeatureAlphaDropout(), "varies", "pure"),
        (nn.Dropout2d(inplace=True), "unknown", "unknown"),
        (OwnDropout(), "unknown", "unknown"),
        (nn.RReLU(), "varies", "pure"),
        (nn.MultiheadAttention(2, 1, dropout=0.1), "varies", "pure"),
        (nn.MultiheadAttention(2, 1), "pure", "pure"),
        (nn.FractionalMaxPool2d(2, 2), "unknown", "unknown"),
        (nn.LSTM(2, 2), "unknown", "unknown"),
        (nn.utils.parametrizations.spectral_norm(nn.Conv2d(2, 2, 1)), "unknown", "unknown"),
        (StepNorm(Norm("group", groups=1), 2), "pure", "pure"),
        (Noise(), "unknown", "unknown"),
        (NoiseSaid(), "impure", "impure"),
        (TwiceSaid(), "pure", "pure"),
        (TwiceAgain(), "unknown", "unknown"),
        (GRU().build((2, 4, 4), (2, 4, 4), 0), "pure", "pure"),
    ],
    ids=lambda x: type(x).__name__ if isinstance(x, nn.Module) else x,
)
def test_verdicts(module: nn.Module, in_training: str, in_evaluation: str) -> None:
    assert verdict(module.train()) == in_training
    assert verdict(module.eval()) == in_evaluation


def chain() -> Network:
    areas = (
        vs.Area("a", (Conv(3),), None, (Conv(3, 1),)),
        vs.Area("decoder", (GlobalPool(), Linear(2))),
    )
    connections = (
        vs.Connection("image", "a", delay=0, layers=(Conv(2, 1),)),
        vs.Connection("a", "decoder", delay=0),
    )
    spec = vs.NetworkSpec("c", areas, connections, "decoder", (2, 8, 8), mean=(0.0, 0.0), std=(1.0, 1.0))
    return build(spec, seed=0)


STAGES = {
    "drive": lambda net: net.areas["a"].drive_layers.layers,
    "output": lambda net: net.areas["a"].output_layers.layers,
    "transit": lambda net: net.transitions["0"].layers[0].layers,
}


def calls(net: Network, op: str) -> int:
    program = net.plan(Request(0, 6, vs.Constant(), frozenset({("decoder", 5), ("a", 2), ("decoder", 1)})))
    return sum(i.value.op == op and i.value.owner in ("a", 0) for i in program.instructions)


@pytest.mark.parametrize("op", STAGES)
@pytest.mark.parametrize(
    ("module", "in_training", "in_evaluation"),
    [(Noise, 3, 3), (NoiseSaid, 3, 3), (Twice, 3, 1), (TwiceSaid, 1, 1), (nn.Dropout2d, 3, 1), (nn.Tanh, 1, 1)],
)
def test_a_module_in_place_of_a_layer(op: str, module: type[nn.Module], in_training: int, in_evaluation: int) -> None:
    """Somebody puts a module of their own where a layer was: three of its steps are asked for."""
    net = chain()
    layers = STAGES[op](net)
    layers[0] = nn.Sequential(layers[0], module())
    assert calls(net.train(), op) == in_training
    assert calls(net.eval(), op) == in_evaluation
    torch.manual_seed(0)  # six channels are dropped alike twice in one of 64 seeds
    x = torch.randn(2, 2, 8, 8)
    net.train(module not in (Twice, TwiceSaid, nn.Tanh))
    first, second = net(x, 2, readout=vs.PerStep(0)).logits.unbind(1)
    assert torch.equal(first, second) == (not net.training)


def test_one_module_in_training_mode_is_enough() -> None:
    """Dropout that stays on in evaluation mode, as for an estimate of uncertainty."""
    areas = (vs.Area("a", (Conv(3), Dropout(0.5), Act())), vs.Area("decoder", (GlobalPool(), Linear(2))))
    connections = (vs.Connection("image", "a", delay=0), vs.Connection("a", "decoder", delay=0))
    spec = vs.NetworkSpec("d", areas, connections, "decoder", (2, 8, 8), mean=(0.0, 0.0), std=(1.0, 1.0))
    net = build(spec, seed=0).eval()
    assert calls(net, "drive") == 1
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.train()
    assert calls(net, "drive") == 3


def test_a_trial_leaves_no_trace() -> None:
    """Modules nobody says anything of are tried on a copy: no hook sees it, no buffer moves, no number is drawn."""
    net = chain()
    seen: list[object] = []

    class Counts(Noise):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x):
            self.calls += 1
            return super().forward(x) * (random.random() + np.random.random())  # noqa: NPY002

    own = Counts()
    own.register_forward_hook(lambda *args: seen.append(args))
    net.areas["a"].drive_layers.layers[0] = nn.Sequential(net.areas["a"].drive_layers.layers[0], own)
    net.eval()
    state, python, numpy = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    assert not net.traits()["drive", "a"].pure
    assert not seen and own.calls == 0 and torch.equal(torch.get_rng_state(), state)
    assert random.getstate() == python and (np.random.get_state()[1] == numpy).all()  # noqa: NPY002


def test_what_is_set_later_is_tried_again() -> None:
    class Sized(nn.Module):
        def __init__(self):
            super().__init__()
            self.sigma, self.options = 0.0, {"sigma": 0.0}
            self.register_buffer("size", torch.zeros(()))

        def forward(self, x):
            noisy = self.sigma or self.options["sigma"] or self.size
            return x + torch.randn_like(x) if noisy else 1 * x

    net, own = chain(), Sized()
    net.areas["a"].drive_layers.layers[0] = nn.Sequential(net.areas["a"].drive_layers.layers[0], own)
    net.eval()
    assert calls(net, "drive") == 1
    for on, off in (
        (lambda: setattr(own, "sigma", 1.0), lambda: setattr(own, "sigma", 0.0)),
        (lambda: own.options.update(sigma=1.0), lambda: own.options.update(sigma=0.0)),
        (lambda: own.size.fill_(1), lambda: own.size.fill_(0)),
    ):
        on()
        assert calls(net, "drive") == 3
        off()
        assert calls(net, "drive") == 1
