"""Gradients with respect to recorded maps: those of the naive unroll, each step's its own."""

from __future__ import annotations

import pickle

import pytest
import torch
from naive import frames_of, unroll
from small_models import small_published

import ventralstream as vs
from ventralstream.unroll import Plans


def expected(net, images, area, steps, total, weight):
    """By adding zeros to the naive unroll's outputs at each of the steps."""
    size = net.shapes(*images.shape[-2:]).output[area]
    added = {(area, t): images.new_zeros(len(images), *size, requires_grad=True) for t in steps}
    outputs, _ = unroll(net, frames_of(net, net.spec.presentation, images, total), added=added)
    score = (outputs[net.spec.readout_area, total - 1] * weight).sum()
    gradients = torch.autograd.grad(score, list(added.values()), allow_unused=True)
    pairs = zip(gradients, added.values(), strict=True)
    return torch.stack([torch.zeros_like(x) if g is None else g for g, x in pairs], 1)


CASES = {
    "rgc_shallow_cifar": ("conv1", "conv3", "conv5"),  # steps before the image arrives are the same for all images
    "ff_shallow_cifar": ("conv2", "conv5"),  # all later steps are one value
    "timedecay_shallow_cifar": ("conv4",),
    "cornet_s": ("V1", "IT"),  # an area goes on giving its last output
    "cornet_r": ("V2",),
}


@pytest.mark.parametrize(("name", "area"), [(name, area) for name, areas in CASES.items() for area in areas])
def test_gradients_at_every_recorded_step_equal_the_naive_unrolls(name, area) -> None:
    net = small_published(name)
    images = torch.randn(2, *net.spec.input_shape, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    weight = torch.randn(2, 7, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    total, first = net.spec.steps, net.spec.area(area).start
    for record in (
        vs.Record(area),
        vs.Record(area, total - 1),
        vs.Record(area, sorted({max(total - 2, first), total - 1}), "flatten"),
    ):
        out = net(images, record=record)
        torch.testing.assert_close(out.output, net(images).output)
        (gradient,) = torch.autograd.grad((out.output * weight).sum(), out[area].values, allow_unused=True)
        naive = expected(net, images, area, out[area].steps, total, weight)
        if gradient is None:
            assert not naive.any()
        else:
            torch.testing.assert_close(gradient, naive.reshape(gradient.shape))


@pytest.fixture(scope="module")
def net():
    return vs.create_model("rgc_shallow_cifar", seed=0).eval()


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_grad_cam_at_a_step(net, images) -> None:
    out = net(images, record=vs.Record(["conv4", "conv5"]))
    values = out["conv4"].values
    four, five = torch.autograd.grad(out.output[:, 3].sum(), [values, out["conv5"].values], retain_graph=True)
    cam = (four.mean((3, 4), keepdim=True) * values).sum(2).relu()
    assert four.shape == values.shape and cam.shape == (2, 10, 2, 2) and cam[:, 5].any() and five.any()
    values.retain_grad()
    out.output[:, 3].sum().backward()
    assert torch.equal(values.grad, four)
    net.zero_grad()


def test_with_frozen_weights_what_the_image_drives_has_gradients(images) -> None:
    net = vs.create_model("rgc_shallow_cifar", seed=0).eval()

    def gradient(x: torch.Tensor) -> torch.Tensor:
        out = net(x, record=vs.Record("conv4"))
        (found,) = torch.autograd.grad(out.output[:, 3].sum(), out["conv4"].values, retain_graph=True)
        out["conv4"].values.retain_grad()
        out.output[:, 3].sum().backward()
        assert torch.equal(out["conv4"].values.grad, found)
        return found

    x = images.clone().requires_grad_()
    whole = gradient(x)
    net.requires_grad_(False)
    frozen, first = gradient(x), net.first_steps["conv4"]
    torch.testing.assert_close(frozen[:, first:], whole[:, first:])
    assert not frozen[:, :first].any()


def test_what_no_output_depends_on_is_said_as_torch_says_it(net, images) -> None:
    out = net(images, record=vs.Record(["conv4", "conv5"], reduce="mean"))
    with pytest.raises(RuntimeError, match="not have been used"):
        torch.autograd.grad(out.output.sum(), out["conv4"].values)
    late = net(images, record=vs.Record("conv5", 9))
    with pytest.raises(RuntimeError, match="was not used"):
        torch.autograd.grad(late.output.sum(), late["conv5"].values, retain_graph=True)
    score, values = late.output.sum(), late["conv5"].values
    assert torch.autograd.grad(score, values, allow_unused=True, retain_graph=True) == (None,)
    assert not torch.autograd.grad(score, values, materialize_grads=True)[0].any()


def test_many_gradients_at_once(net, images) -> None:
    out = net(images, record=vs.Record("conv5", [7, 8]))
    net.fast_convolutions, before = False, net.fast_convolutions
    out = net(images, record=vs.Record("conv5", [7, 8]))
    net.fast_convolutions = before
    values, ones = out["conv5"].values, torch.eye(10)[:, None].expand(-1, 2, -1)
    (all_at_once,) = torch.autograd.grad(out.output, values, ones, is_grads_batched=True, retain_graph=True)
    assert all_at_once.shape == (10, *values.shape)
    (third,) = torch.autograd.grad(out.output[:, 3].sum(), values)
    torch.testing.assert_close(all_at_once[3], third)


def test_otherwise_it_is_a_plain_tensor(net, images) -> None:
    values = net(images, record=vs.Record("conv3"))["conv3"].values
    assert type(values[:, 1]) is type(values.detach()) is type(values * 2) is type(torch.cat([values])) is torch.Tensor
    assert type(pickle.loads(pickle.dumps(values))) is torch.Tensor
    torch.autograd.grad(values.sum(), list(net.areas["conv1"].parameters()), allow_unused=True)
    with torch.no_grad():
        assert type(net(images, record=vs.Record("conv3"))["conv3"].values) is torch.Tensor


def test_without_gradients_steps_stay_shared(images) -> None:
    net = vs.create_model("rgc_shallow_cifar", seed=0).eval()

    def separated() -> int:
        net._plans = Plans()
        net(images, record=[vs.Record("conv1"), vs.Record("conv2", reduce="mean")])
        ((_, programs),) = net._plans._known._made.values()
        (program,) = programs._made.values()
        return sum(value.op == "separate" for value in program.values)

    assert separated() == 10
    with torch.no_grad():
        assert separated() == 0
    net.requires_grad_(False)
    assert separated() == 0
