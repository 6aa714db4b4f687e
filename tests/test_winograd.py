"""Fast convolutions: as exact as the direct ones, and exact adjoints."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import ventralstream as vs
from ventralstream.layers import winograd


@pytest.mark.parametrize("size", [(8, 8), (7, 13), (4, 5), (28, 28)])
def test_equals_the_direct_convolution_and_its_gradients_in_float64(size) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 5, *size, dtype=torch.double).requires_grad_()
    w = torch.randn(6, 5, 3, 3, dtype=torch.double).requires_grad_()
    ours, direct = winograd.convolve(x, w), F.conv2d(x, w, padding=1)
    torch.testing.assert_close(ours, direct)
    weight = torch.randn_like(direct)
    for a, b in zip(*(torch.autograd.grad((y * weight).sum(), (x, w)) for y in (ours, direct)), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("channels", [64, 256])
def test_float32_error_is_that_of_the_direct_convolution(channels: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(4, channels, 28, 28).to(memory_format=torch.channels_last)
    w = torch.randn(2 * channels, channels, 3, 3) / (9 * channels) ** 0.5
    exact = F.conv2d(x.double(), w.double(), padding=1)
    ours = (winograd.convolve(x, w) - exact).abs().max()
    assert ours < 3e-5, "outputs have unit variance; the tolerance of the references is 1e-4"


def test_networks_use_it_and_agree_with_direct_convolutions() -> None:
    net = vs.create_model("gru_shallow_cifar", seed=0)
    x = torch.randn(48, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    calls = []
    inner = winograd.convolve

    def counted(x, weight):
        calls.append(weight.shape)
        return inner(x, weight)

    winograd.convolve = counted
    try:
        results = []
        for fast in (True, False):
            net.fast_convolutions = fast
            before = len(calls)
            loss = net(x, remat=fast).output.square().mean()
            results.append((loss, *torch.autograd.grad(loss, list(net.parameters()))))
            assert (len(calls) > before) == fast
    finally:
        winograd.convolve = inner
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5 * max(1.0, b.abs().max().item()))
