"""Ways of differentiating other than backwards once: torch's own forms, at every batch size."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

import ventralstream as vs
from ventralstream.network import Network

BATCHES = [("rgc_shallow_cifar", 2), ("rgc_shallow_cifar", 40), ("cornet_s", 2), ("timedecay_shallow_cifar", 3)]


def small(name: str, batch: int) -> tuple[Network, Tensor]:
    torch.manual_seed(0)
    options = {} if "cifar" in name else {"input_shape": (3, 32, 32), "scale": 1}
    net = vs.create_model(name, seed=0, num_classes=3, **options).eval()
    return net, torch.randn(batch, 3, 32, 32)


def logits(net: Network, x: Tensor) -> Tensor:
    return net(x, steps=8).output


@pytest.mark.parametrize(("name", "batch"), BATCHES)
def test_forward_mode_equals_a_finite_difference(name: str, batch: int) -> None:
    net, x = small(name, batch)
    direction = torch.randn_like(x)
    with torch.no_grad():
        net.double()
        step = 1e-6 * direction.double()
        expected = ((logits(net, x.double() + step) - logits(net, x.double() - step)) / 2e-6).float()
        net.float()
    tangent = torch.func.jvp(lambda x: logits(net, x), (x,), (direction,))[1]
    torch.testing.assert_close(tangent, expected, rtol=1e-2, atol=1e-2 * float(expected.abs().max()))
    with forward_ad.dual_level():
        dual = forward_ad.unpack_dual(logits(net, forward_ad.make_dual(x, direction))).tangent
    torch.testing.assert_close(dual, tangent)


@pytest.mark.parametrize(("name", "batch"), BATCHES)
def test_vmap_equals_the_batch(name: str, batch: int) -> None:
    net, x = small(name, batch)
    with torch.no_grad():
        each = torch.vmap(lambda image: logits(net, image[None])[0])(x)
        torch.testing.assert_close(each, logits(net, x), rtol=1e-3, atol=1e-4)


def test_gradients_of_each_image() -> None:
    net, x = small("rgc_shallow_cifar", 3)
    parameters = dict(net.named_parameters())

    def loss(parameters: dict[str, Tensor], image: Tensor) -> Tensor:
        out = torch.func.functional_call(net, parameters, (image[None],), {"steps": 8})
        return out.output.square().sum()

    each = torch.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, x)
    for i in range(len(x)):
        grads = torch.autograd.grad(logits(net, x[i : i + 1]).square().sum(), list(parameters.values()))
        for name, grad in zip(parameters, grads, strict=True):
            torch.testing.assert_close(each[name][i], grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["rgc_shallow_cifar", "cornet_s"])
def test_jacobians_of_all_outputs_at_once(name: str) -> None:
    net, x = small(name, 2)
    rows = [torch.autograd.grad(logits(net, y := x.clone().requires_grad_())[:, k].sum(), y)[0] for k in range(3)]
    found = torch.autograd.functional.jacobian(lambda y: logits(net, y).sum(0), x, vectorize=True)
    torch.testing.assert_close(found, torch.stack(rows), rtol=1e-3, atol=1e-5)


def test_gradients_of_gradients_of_kernels_and_images() -> None:
    net, x = small("rgc_shallow_cifar", 2)
    net.double()
    x = x.double()
    results = []
    for fast in (True, False):
        net.fast_convolutions = fast
        y = x.clone().requires_grad_()
        (grad,) = torch.autograd.grad(logits(net, y).square().sum(), y, create_graph=True)
        results.append(torch.autograd.grad(grad.square().sum(), [y, *net.parameters()], allow_unused=True))
    torch.testing.assert_close(*results)
