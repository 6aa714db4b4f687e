"""The unrolled network as a module of tensors: exported for any batch, the same to the last bit whoever watches."""

from __future__ import annotations

import pytest
import torch
from small_models import small_published

import ventralstream as vs
from ventralstream.layers import shortcuts


@pytest.mark.parametrize("name", ["cornet_s", "rgc_shallow_cifar", "timedecay_shallow", "tied_resnet_cifar"])
def test_exported_for_any_batch(name: str) -> None:
    net = small_published(name)
    size = net.spec.input_shape[1]
    x = torch.randn(5, 3, size, size, dtype=torch.double)
    program = vs.Unrolled(net, 8 if name != "tied_resnet_cifar" else None).export(x[:2]).module()
    with torch.no_grad():
        for images in (x, x[:1]):
            torch.testing.assert_close(program(images), net(images, 8 if name != "tied_resnet_cifar" else None).output)


def test_a_module_of_ones_own_is_exported_too() -> None:
    class Own(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = small_published("timedecay_shallow_cifar")

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(x, steps=6).logits

    own, x = Own(), torch.randn(4, 3, 32, 32, dtype=torch.double)
    program = torch.export.export(own, (x[:2],), dynamic_shapes={"x": {0: torch.export.Dim("batch")}})
    torch.testing.assert_close(program.module()(x), own(x))


def test_a_time_decay_that_is_no_longer_zero_is_exported_as_it_is() -> None:
    net = small_published("rgc_shallow_minimal")
    net = vs.build(net.spec.replace(input_shape=(3, 66, 66))).double().eval()
    taus = [b for n, b in net.named_buffers() if n.endswith("tau")]
    x = torch.randn(2, 3, 66, 66, dtype=torch.double)
    unrolled = vs.Unrolled(net, 7)
    small = len(unrolled.export(x).graph.nodes)
    for tau in taus:
        tau.fill_(0.3)
    program = unrolled.export(x)
    assert len(program.graph.nodes) > small, "what is zero takes fewer operations"
    torch.testing.assert_close(program.module()(x), net(x, steps=7).output)


def test_areas_and_the_last_bit() -> None:
    net = vs.create_model("cornet_rt", seed=0, num_classes=5, input_shape=(3, 32, 32)).eval()
    x = torch.randn(3, 3, 32, 32)
    unrolled = vs.Unrolled(net, 6, record=["V4", "IT"], reduce="mean")
    decision, v4, it = unrolled(x)
    out = net(x, 6, record=vs.Record(["V4", "IT"], reduce="mean"))
    for found, expected in ((decision, out.output), (v4, out["V4"].values), (it, out["IT"].values)):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    handle = net.areas["V1"].register_forward_hook(lambda *_: None)
    assert torch.equal(unrolled(x)[0], decision)
    handle.remove()
    with shortcuts.plainly():
        assert torch.equal(net(x, 6).output, decision)


def test_export_needs_two_images() -> None:
    with pytest.raises(vs.VentralError, match="at least two images"):
        vs.Unrolled(small_published("cornet_z")).export(torch.zeros(1, 3, 48, 48, dtype=torch.double))
