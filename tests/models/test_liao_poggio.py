"""Liao and Poggio 2016: tied ResNets are recurrent networks, in outputs and gradients."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import ventralstream as vs
from ventralstream.layers.specs import Conv, GlobalPool, Linear
from ventralstream.models import build, count_parameters
from ventralstream.models.liao_poggio import fully_recurrent, recurrent, resnet


class ResNet(nn.Module):
    """An ordinary residual network, written out; blocks of a stage may be one and the same module."""

    def __init__(self, widths, repeats, tied, classes):
        super().__init__()
        self.pre = nn.Conv2d(3, widths[0], 3, padding=1, bias=False)
        self.downs = nn.ModuleList(self.branch(a, b, 2) for a, b in itertools.pairwise(widths))
        self.blocks = nn.ModuleList(
            nn.ModuleList(self.branch(w, w, 1) for _ in range(1 if tied else repeats)) for w in widths
        )
        self.norms = nn.ModuleList(  # two in a branch, separate for every repeat
            nn.ModuleList(nn.ModuleList(nn.BatchNorm2d(w, affine=False) for _ in range(2)) for _ in range(repeats))
            for w in widths
        )
        self.down_norms = nn.ModuleList(
            nn.ModuleList((nn.BatchNorm2d(a, affine=False), nn.BatchNorm2d((a + b) // 2, affine=False)))
            for a, b in itertools.pairwise(widths)
        )
        self.last = nn.BatchNorm2d(widths[-1])
        self.linear = nn.Linear(widths[-1], classes)
        self.repeats = repeats

    @staticmethod
    def branch(source, target, stride):
        inner = (source + target) // 2
        return nn.ModuleList(
            (
                nn.Conv2d(source, inner, 3, stride, 1 if stride == 1 else 0, bias=False),
                nn.Conv2d(inner, target, 3, 1, 1, bias=False),
            )
        )

    @staticmethod
    def apply(branch, norms, x):
        y = F.relu(norms[0](x))
        if branch[0].stride[0] == 2:  # padding is the originals': the odd pixel at the bottom and right
            y = F.pad(y, (0, 1, 0, 1))
        return branch[1](F.relu(norms[1](branch[0](y))))

    def forward(self, x):
        x = self.pre(x)
        for i, blocks in enumerate(self.blocks):
            if i:
                x = self.apply(self.downs[i - 1], self.down_norms[i - 1], x)
            for k in range(self.repeats):
                x = x + self.apply(blocks[min(k, len(blocks) - 1)], self.norms[i][k], x)
        return self.linear(F.relu(self.last(x)).mean((2, 3)))


def by_hand(
    net: vs.Network, widths, repeats: int, tied: bool
) -> tuple[ResNet, list[tuple[nn.Parameter, nn.Parameter]]]:
    """The written-out network with the weights of the unrolled one, and the pairs of their parameters."""
    made = ResNet(widths, repeats, tied, net.spec.shapes().output["decoder"][0]).double()
    pairs = []
    for i, c in enumerate(net.spec.connections):
        if c.target == "decoder":
            continue
        stage = int(c.target.removeprefix("state")) - 1
        sets = [[m for m in s.modules() if isinstance(m, nn.Conv2d)] for s in net.transitions[str(i)].layers]
        if c.source == "image":
            targets = [[made.pre]]
        elif c.kind == "lateral":
            targets = [list(b) for b in made.blocks[stage]]
        else:
            targets = [list(made.downs[stage - 1])]
        for ours, theirs in zip(sets, targets, strict=True):
            pairs += [(a.weight, b.weight) for a, b in zip(ours, theirs, strict=True)]
    decoder = net.areas["decoder"].output_layers
    ours = [p for m in decoder.modules() if isinstance(m, (nn.BatchNorm2d, nn.Linear)) for p in (m.weight, m.bias)]
    pairs += list(zip(ours, (made.last.weight, made.last.bias, made.linear.weight, made.linear.bias), strict=True))
    with torch.no_grad():
        for a, b in pairs:
            b.copy_(a)
    assert len(pairs) == len(list(net.parameters())) == len(list(made.parameters()))
    return made, pairs


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_a_resnet_is_a_recurrent_network(tied: bool, training: bool) -> None:
    widths, repeats = (4, 6, 8), 3
    net = build(resnet(widths, repeats, tied=tied), seed=0).double().train(training)
    plain, pairs = by_hand(net, widths, repeats, tied)
    plain.train(training)
    x = torch.randn(3, 3, 16, 16, dtype=torch.double)
    out, expected = net(x).output, plain(x)
    torch.testing.assert_close(out, expected)
    weight = torch.randn_like(out)
    (out * weight).sum().backward()
    (expected * weight).sum().backward()
    for ours, theirs in pairs:
        torch.testing.assert_close(ours.grad, theirs.grad)


def linear_state(image: str, steps: int) -> vs.Network:
    """One state, h' = K h + h (+ x): a convolution without bias and nothing else."""
    arrives = (0, 1) if image == "homogeneous" else (0, None)
    spec = vs.NetworkSpec(
        "linear",
        (vs.Area("state1", combine="add"), vs.Area("decoder", (GlobalPool(), Linear(2)))),
        (
            vs.Connection("image", "state1", delay=0, arrives=arrives),
            vs.Connection(
                "state1", "state1", "lateral", layers=(Conv(3, bias=False),), residual=image == "homogeneous",
                arrives=(1, None),
            ),
            vs.Connection("state1", "decoder", delay=0),
        ),
        "decoder",
        input_shape=(3, 8, 8),
        steps=steps,
        before_start="silent",
    )  # fmt: skip
    return build(spec, seed=0).double().eval()


@torch.no_grad()
def test_linear_states_are_powers_and_series() -> None:
    """(K + I)^T x for an image shown once; (I + K + ... + K^T) x for one that enters at every step."""
    x, steps = torch.randn(2, 3, 8, 8, dtype=torch.double), 6
    for image in ("homogeneous", "inhomogeneous"):
        net = linear_state(image, steps)
        k = net.transitions["1"].layers[0]
        got = net(x, record=vs.Record("state1"))["state1"].values[:, -1]
        power, total = x, x
        for _ in range(steps - 1):
            power = k(power) + power if image == "homogeneous" else k(power)
            total = power if image == "homogeneous" else total + power
        torch.testing.assert_close(got, total)


def test_sharing_over_time_and_over_states() -> None:
    tied, untied = (count_parameters(resnet((8, 16), 3, tied=t)) for t in (True, False))
    assert untied > 2 * tied
    shared = recurrent(fully_recurrent(3), (8, 8, 8), 6, share_states=True)
    separate = recurrent(fully_recurrent(3), (8, 8, 8), 6)
    pre_and_post_net = 3 * 8 * 9 + 2 * 8 + 8 * 10 + 10
    assert count_parameters(shared) == pre_and_post_net + 2 * 8 * 8 * 9
    assert count_parameters(separate) == pre_and_post_net + 9 * 2 * 8 * 8 * 9
    variant = recurrent(fully_recurrent(2), (8, 8), 5, weights="time_variant")
    works = (4, 4, 3, 3)  # steps at which state1 -> 1, 1 -> 2, 2 -> 1, 2 -> 2 work in 5
    assert count_parameters(variant) == pre_and_post_net + sum(works) * 2 * 8 * 8 * 9


def test_shared_normalisation_is_another_network() -> None:
    specific, shared = (resnet((4,), 3, norms=n) for n in ("time_specific", "shared"))
    assert count_parameters(specific) == count_parameters(shared)  # they have no gains
    x = torch.randn(8, 3, 8, 8)
    a, b = (build(s, seed=0).train() for s in (specific, shared))
    torch.testing.assert_close(a(x).output, b(x).output)  # statistics of the batch: the same
    assert not torch.allclose(a.eval()(x).output, b.eval()(x).output)  # running statistics: not


@torch.no_grad()
def test_readout_time_and_transition_matrices() -> None:
    x = torch.randn(2, 3, 16, 16)
    chain = (("K+I", "K", "0"), ("0", "K+I", "K"), ("0", "0", "I"))
    net = build(recurrent(chain, (4, 4, 4), 7), seed=0).eval()
    assert net.first_steps["state3"] == 2
    logits = net(x, readout=vs.PerStep()).logits
    assert logits.shape == (2, 5, 10)
    for steps in (3, 5, 7):  # the readout time as an argument
        torch.testing.assert_close(net(x, steps).output, logits[:, steps - 3])
    with pytest.raises(vs.VentralError, match="3 rows of 3"):
        recurrent(chain[:2], (4, 4, 4), 7)
    with pytest.raises(vs.VentralError, match="did you mean 'K'"):
        recurrent((("k",),), (4,), 2)
    with pytest.raises(vs.VentralError, match="nothing reaches state 2"):
        recurrent((("I", "0"), ("0", "I")), (4, 4), 2)
    with pytest.raises(vs.VentralError, match="equal widths"):
        recurrent(fully_recurrent(2), (4, 8), 4, share_states=True)
