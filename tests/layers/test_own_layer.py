"""A layer of the user's own: one registered dataclass that builds its module."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

import ventralstream as vs
from ventralstream.layers.specs import Act, Conv, GlobalPool, Layer, Linear, Shape, list_layers, register_layer
from ventralstream.models.convrnn import chain
from ventralstream.network import Network


class Gain(nn.Module):
    """Multiplies by a gain per channel and by 2 to the power of the step."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.arange(1.0, channels + 1).view(-1, 1, 1))

    def forward(self, x: Tensor, step: int, raw: Tensor) -> Tensor:
        assert raw.shape[1] == 3
        return x * self.gain * 2**step


@register_layer("test_gain")
@dataclass(frozen=True)
class GainSpec(Layer):
    """A layer that reads all there is to read."""

    reads_step: ClassVar[bool] = True
    reads_raw: ClassVar[bool] = True

    def build(self, shape: Shape, raw_shape: Shape) -> nn.Module:
        return Gain(shape[0])


@register_layer("test_shuffle")
@dataclass(frozen=True)
class ShuffleSpec(Layer):
    """A module of torch's as it is, that changes the shape."""

    factor: int = 2

    def output_shape(self, shape: Shape) -> Shape:
        return (shape[0] * self.factor**2, *(n // self.factor for n in shape[1:]))

    def build(self, shape: Shape, raw_shape: Shape) -> nn.Module:
        return nn.PixelUnshuffle(self.factor)


def network(*output: Layer) -> Network:
    areas = (vs.Area("v1", (Conv(2, 3), Act("relu")), output=output), vs.Area("decoder", (GlobalPool(), Linear(4))))
    torch.manual_seed(0)
    return Network(vs.NetworkSpec("own", areas, chain(areas), "decoder", (3, 8, 8), 3))


def test_a_layer_of_ones_own_is_built_run_and_read_back() -> None:
    net = network(ShuffleSpec(2), Act("tanh"))
    assert {"test_gain", "test_shuffle", "conv"} <= set(list_layers())
    again = vs.spec_from_json(net.spec.to_json())
    assert again == net.spec
    x = torch.randn(2, 3, 8, 8)
    v1 = net.areas["v1"]
    expected = nn.functional.pixel_unshuffle(v1.drive_layers(x), 2).tanh()
    torch.testing.assert_close(net(x, record=vs.Record("v1"))["v1"].values[:, 0], expected)


def test_a_layer_reads_the_step_and_the_areas_own_input() -> None:
    v1 = network(GainSpec()).areas["v1"]
    x = torch.randn(2, 2, 8, 8)
    torch.testing.assert_close(v1.output_layers(x, 3, torch.zeros(2, 3, 8, 8)), x * torch.tensor([[[8.0]], [[16.0]]]))
    with pytest.raises(vs.VentralError, match="'test_gain' in its drive; it belongs to the output"):
        vs.Area("v1", (GainSpec(),))


def test_layer_specs_need_no_torch() -> None:
    use = "from ventralstream.layers.specs import Conv; Conv(3).output_shape((3, 8, 8))"
    subprocess.run([sys.executable, "-c", f"import sys; {use}; assert 'torch' not in sys.modules"], check=True)
