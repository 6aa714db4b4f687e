"""Recurrent convolutional layers: what they compute, and controls with as many parameters."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import ventralstream as vs
from ventralstream.cells import GRU
from ventralstream.cost import training_flops
from ventralstream.models import build, count_parameters, model_spec
from ventralstream.models.convrnn import everywhere
from ventralstream.models.convrnn_cifar import shallow_small
from ventralstream.models.rcnn_cifar import AREAS, rcnn


def test_it_is_liang_and_hus_layer_with_a_normalisation_of_its_own_at_each_step() -> None:
    net = build(rcnn((8, 12, 16), 5, steps=3, activation="relu"), seed=0).double().train()
    x = torch.randn(4, 3, 32, 32, dtype=torch.double)
    found = net(x, readout=vs.PerStep()).logits

    parts = dict(net.named_parameters())
    kernels = [p for name, p in parts.items() if name.startswith("transitions")]
    forward, lateral = kernels[0::2], kernels[1::2]
    assert len(forward) == len(lateral) == 3
    v1 = "areas.V1.drive_layers.layers"
    first = F.relu(F.conv2d(x, parts[f"{v1}.0.conv.weight"], parts[f"{v1}.0.conv.bias"], padding=1))
    first = F.conv2d(first, parts[f"{v1}.2.conv.weight"], parts[f"{v1}.2.conv.bias"], padding=1)
    first = F.relu(F.max_pool2d(first, 2))
    maps: list[torch.Tensor | None] = [None] * 3
    for step in range(3):
        below = first
        for i, area in enumerate(AREAS):
            total = F.conv2d(below if i == 0 else F.max_pool2d(below, 2), forward[i], padding=1)
            if (own := maps[i]) is not None:
                total = total + F.conv2d(own, lateral[i], padding=1)
            norm = f"areas.{area}.output_layers.layers.0.norms.{step}"
            total = F.batch_norm(total, None, None, parts[f"{norm}.weight"], parts[f"{norm}.bias"], training=True)
            below = maps[i] = F.relu(total)
        logits = F.linear(below.mean((2, 3)), parts["areas.decoder.drive_layers.layers.1.weight"], bias(parts))
        torch.testing.assert_close(found[:, step], logits)


def bias(parts: dict[str, torch.nn.Parameter]) -> torch.Tensor:
    return parts["areas.decoder.drive_layers.layers.1.bias"]


@pytest.mark.parametrize("control", ["ff_rcnn_wide_cifar", "ff_rcnn_deep_cifar"])
def test_controls_have_as_many_parameters(control: str) -> None:
    wanted = count_parameters(model_spec("rcnn_cifar"))
    assert abs(count_parameters(model_spec(control)) / wanted - 1) < 0.01
    assert not [c for c in model_spec(control).connections if c.kind == "lateral"]


def test_sizes() -> None:
    assert all(count_parameters(model_spec(n)) <= 0.67e6 for n in ("rcnn_cifar", "cornet_s_cifar"))
    assert training_flops(model_spec("rcnn_cifar")) * 20 * 50_000 < 0.6e15  # the recipe cifar10


def test_the_areas_of_cornet_s_run_one_after_another() -> None:
    spec = model_spec("cornet_s_cifar")
    assert [(a.name, a.window) for a in spec.areas] == [
        *(("V1", (0, 1)), ("V2", (1, 3)), ("V4", (3, 7)), ("IT", (7, 9)), ("decoder", (7, None))),
    ]
    shapes = spec.shapes().output
    assert [shapes[n] for n in ("V1", "V2", "V4", "IT")] == [(64, 16, 16), (32, 16, 16), (64, 8, 8), (96, 4, 4)]


@pytest.mark.parametrize("norms", ["shared", "time_specific"])
def test_the_shallow_networks_may_have_normalisations(norms: str) -> None:
    plain = shallow_small(everywhere(GRU()), channels=(4, 4, 6, 6, 6), steps=8)
    spec = shallow_small(everywhere(GRU()), channels=(4, 4, 6, 6, 6), steps=8, norms=norms)
    assert [a.cell for a in spec.areas] == [a.cell for a in plain.areas]
    net = build(spec, seed=0).train()
    net(torch.randn(4, 3, 32, 32)).output.square().sum().backward()
    unused = [name for name, p in net.named_parameters() if p.grad is None]
    assert not unused
    counts = [len(net.areas[f"conv{i}"].drive_layers.layers[1].norms) for i in (3, 4, 5)]
    assert counts == [1 if norms == "shared" else 3] * 3  # the decoder reads steps 5, 6 and 7 of a run of 8
    with torch.no_grad():
        assert net.eval()(torch.randn(2, 3, 32, 32), 10).output.shape == (2, 10)
