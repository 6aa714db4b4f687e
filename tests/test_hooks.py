"""What hangs on a network's modules: hooks see every call, and what replaces a convolution is used."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

import ventralstream as vs
from ventralstream import hooks
from ventralstream.cells import Cell, Reciprocal
from ventralstream.cells.reciprocal import JointConv
from ventralstream.layers import shortcuts
from ventralstream.layers.conv import Conv2d
from ventralstream.layers.sequence import Sequence
from ventralstream.layers.specs import Conv, GlobalPool, Linear
from ventralstream.models import build
from ventralstream.network import Network
from ventralstream.purity import leaves
from ventralstream.testing import naive

NAMES = ("rgc_shallow_cifar", "cornet_s", "cornet_rt", "ff_shallow_cifar")


def small(name: str, seed: int = 0) -> tuple[Network, Tensor]:
    options = {} if "cifar" in name else {"input_shape": (3, 32, 32)}
    options |= {"scale": 1} if name == "cornet_s" else {}
    net = vs.create_model(name, seed=seed, num_classes=5, **options)
    return net.eval(), torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def calls_of(net: Network, x: Tensor, steps: int) -> tuple[dict[str, list[tuple[Tensor, hooks.Moment]]], Tensor]:
    """The output and moment of each call of each module that gives a tensor."""
    seen: dict[str, list[tuple[Tensor, hooks.Moment]]] = defaultdict(list)
    handles = [
        module.register_forward_hook(lambda m, i, out, name=name: seen[name].append((out, hooks.now())))
        for name, module in net.named_modules()
        if name
    ]
    out = net(x, steps=steps).output
    for handle in handles:
        handle.remove()
    return seen, out


@pytest.mark.parametrize("name", NAMES)
def test_hooks_see_every_step_of_every_module_in_time_order(name: str) -> None:
    net, x = small(name)
    steps = 8
    with torch.no_grad():
        expected = net(x, steps=steps).output
        seen, out = calls_of(net, x, steps)
        recorded = net(x, steps=steps, record=vs.Record([a.name for a in net.spec.areas]))
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
    kinds = (nn.Conv2d, nn.Linear, nn.ReLU, nn.ELU, nn.BatchNorm2d, nn.GroupNorm)
    called = {
        n for n, m in net.named_modules() if isinstance(m, kinds) or (n.count(".") == 1 and n.startswith("areas."))
    }
    last_norms = {n for n in called if ".norms." in n}  # of steps that are not run
    assert called - last_norms <= set(seen)
    for outputs in seen.values():
        times = [moment.step for _, moment in outputs]
        assert times == sorted(times)
        assert all(len(part) == len(x) for y, _ in outputs for part in leaves(y))
    planned = net.calls(steps)
    for area in net.spec.areas:
        outputs = seen[f"areas.{area.name}"]
        assert tuple(moment.step for _, moment in outputs) == planned[f"areas.{area.name}"]
        maps = recorded[area.name]
        for y, moment in outputs:
            assert moment.owner == area.name and moment.stage == "output"
            torch.testing.assert_close(y, maps.values[:, maps.steps.index(moment.step)], rtol=1e-3, atol=1e-4)
    for part in ("drive_layers", "output_layers", *(["cell"] if net.spec.areas[0].cell else [])):
        path = f"areas.{net.spec.areas[0].name}.{part}"
        assert tuple(moment.step for _, moment in seen[path]) == planned[path]
    assert hooks.now() is None


def test_hooks_on_every_module_count_too() -> None:
    net, x = small("rgc_shallow_cifar")
    seen = []
    handle = nn.modules.module.register_module_forward_hook(lambda module, *_: seen.append(module))
    try:
        net(x, steps=8)
    finally:
        handle.remove()
    assert {m for m in net.modules() if isinstance(m, nn.Conv2d)} <= set(seen)
    assert not shortcuts.watched(net)


def test_a_hook_may_change_what_an_area_puts_out() -> None:
    net, x = small("cornet_rt")
    other = net(x.flip(0), steps=8).output
    handle = net.areas["V1"].register_forward_hook(lambda module, args, out: out.flip(0))
    torch.testing.assert_close(net(x, steps=8).output, other)
    handle.remove()


def test_hooks_on_a_cell_see_every_step_and_may_change_output_and_state() -> None:
    net, x = small("rgc_shallow_cifar")
    area, steps = next(a.name for a in net.spec.areas if a.cell), 8
    plain = net(x, steps=steps, record=vs.Record(area, of="state"))
    seen = []

    def look(cell: nn.Module, args: tuple[Any, ...], result: tuple[Tensor, tuple[Tensor, ...]]) -> None:
        seen.append((hooks.now().step, torch.cat(result[1], 1)))

    handle = net.areas[area].cell.register_forward_hook(look)
    net(x, steps=steps)
    assert tuple(step for step, _ in seen) == net.calls(steps)[f"areas.{area}.cell"]
    for step, state in seen:
        torch.testing.assert_close(state, plain[area].values[:, plain[area].steps.index(step)], rtol=1e-3, atol=1e-4)
    handle.remove()

    def lesion(cell: nn.Module, args: tuple[Any, ...], result: tuple[Tensor, tuple[Tensor, ...]]) -> Any:
        return result[0], tuple(map(torch.zeros_like, result[1]))

    handle = net.areas[area].cell.register_forward_hook(lesion)
    out = net(x, steps=steps, record=vs.Record(area, of="state"))
    assert not out[area].values.any() and not torch.allclose(out.output, plain.output)
    outputs, _ = naive.unroll(net, [x] * steps)
    torch.testing.assert_close(out.output, outputs[net.spec.readout_area, steps - 1], rtol=1e-3, atol=1e-4)
    handle.remove()


def test_a_cell_with_a_call_of_its_own_is_refused() -> None:
    with pytest.raises(vs.VentralError, match="the cell Own has a forward of its own; a cell's call is its update"):
        type("Own", (Cell,), {"forward": lambda self, x: x})


def test_backward_hooks_give_the_gradient_that_autograd_gives() -> None:
    net, x = small("rgc_shallow_cifar")
    kept, found = [], []
    net.areas["conv3"].register_forward_hook(lambda m, i, out: kept.append(out))
    net.areas["conv3"].register_full_backward_hook(lambda m, into, of: found.append(of[0]))
    loss = net(x, steps=8).output.square().sum()
    expected = torch.autograd.grad(loss, kept, retain_graph=True)
    found.clear()
    loss.backward()
    torch.testing.assert_close(found, list(expected)[::-1])


def test_pruning_zeroes_what_is_computed() -> None:
    net, x = small("rgc_shallow_cifar")
    conv = net.areas["conv4"].cell.from_out.convs[0].conv
    prune.l1_unstructured(conv, "weight", amount=0.9)
    pruned = net(x, steps=8).output
    loss = pruned.square().sum()
    loss.backward()
    assert (conv.weight_orig.grad[conv.weight_mask == 0] == 0).all() and conv.weight_orig.grad.abs().sum() > 0
    prune.remove(conv, "weight")
    assert not shortcuts.watched(net)
    torch.testing.assert_close(net(x, steps=8).output, pruned, rtol=1e-4, atol=1e-5)
    prune.global_unstructured(
        [(m, "weight") for m in net.modules() if isinstance(m, nn.Conv2d)], prune.L1Unstructured, amount=1.0
    )
    assert net(x, steps=8).logits.std(0).max() < 1e-6, "no kernel is left, so all images are alike"


@pytest.mark.parametrize("name", ["rgc_shallow_cifar", "cornet_s"])
def test_parametrised_kernels_are_used(name: str) -> None:
    net, x = small(name)
    expected = net(x).output
    for module in list(net.modules()):
        if type(module) in (nn.Conv2d,):
            parametrizations.weight_norm(module)
    torch.testing.assert_close(net(x).output, expected, rtol=1e-4, atol=1e-4)
    norms = [p for n, p in net.named_parameters() if n.endswith("original0")]
    with torch.no_grad():
        norms[-1].mul_(3)
    assert not torch.allclose(net(x).output, expected)
    assert all(g is not None for g in torch.autograd.grad(net(x).output.sum(), norms))


class Adapter(nn.Module):
    """A convolution with a change of low rank beside it."""

    def __init__(self, conv: nn.Conv2d, scale: float) -> None:
        super().__init__()
        self.conv = conv
        self.down = nn.Conv2d(conv.in_channels, 2, conv.kernel_size, conv.stride, conv.padding, bias=False)
        self.up = nn.Conv2d(2, conv.out_channels, 1, bias=False)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + self.scale * self.up(self.down(x))


@pytest.mark.parametrize("name", ["rgc_shallow_cifar", "cornet_s"])
def test_what_replaces_a_convolution_is_used(name: str) -> None:
    net, x = small(name)
    net.double()
    x = x.double()
    expected = net(x).output
    torch.manual_seed(0)
    merged, _ = small(name)
    merged.double().load_state_dict(net.state_dict())
    for path, conv in list(net.named_modules()):
        if isinstance(conv, nn.Conv2d) and conv.groups == 1:
            adapter = Adapter(conv, 0.1).double()
            net.set_submodule(path, adapter)
            with torch.no_grad():
                change = torch.einsum("ok,kihw->oihw", adapter.up.weight[:, :, 0, 0], adapter.down.weight)
                merged.get_submodule(path).weight += 0.1 * change
    changed = net(x).output
    assert not torch.allclose(changed, expected)
    torch.testing.assert_close(changed, merged(x).output)


def test_kernels_are_contiguous_as_flat_optimisers_expect() -> None:
    net, x = small("rgc_shallow_cifar")
    assert all(p.is_contiguous() for p in net.parameters())
    flat = nn.utils.parameters_to_vector(net.parameters())
    nn.utils.vector_to_parameters(flat, net.parameters())
    optimiser = torch.optim.LBFGS(net.parameters(), max_iter=2)

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = net(x, steps=8).output.square().sum()
        loss.backward()
        return loss

    first = optimiser.step(closure)
    assert closure() < first
    assert all(p.grad.is_contiguous() for p in net.parameters() if p.grad is not None)


class Changed(nn.Module):
    """Another module's outputs, changed."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return changed(self.module(*args, **kwargs))


def changed(y: Any) -> Any:
    return tuple(map(changed, y)) if isinstance(y, tuple) else 1.5 * y + 0.1


def test_a_part_of_a_cell_is_changed_at_every_step_by_hooks_and_by_what_takes_its_place() -> None:
    cell = Reciprocal(gate_bias=True, cell_to_out=True, tau_kernel=1)
    areas = (vs.Area("a", (Conv(4, 3),), cell), vs.Area("decoder", (GlobalPool(), Linear(3))))
    connections = (vs.Connection("image", "a"), vs.Connection("a", "decoder"))
    spec = vs.NetworkSpec("n", areas, connections, "decoder", (2, 6, 6), 4, mean=(0.0, 0.0), std=(1.0, 1.0))
    x = torch.randn(2, 2, 6, 6, dtype=torch.double)
    plain = build(spec, seed=0).double()(x).output
    kinds = (nn.Conv2d, nn.Linear, Conv2d, JointConv, Sequence)
    paths = [n for n, m in build(spec).named_modules() if isinstance(m, kinds)]
    assert len(paths) >= 14
    for path in paths:
        hooked, replaced = build(spec, seed=0).double(), build(spec, seed=0).double()
        replaced.set_submodule(path, Changed(replaced.get_submodule(path)))
        outputs, _ = naive.unroll(replaced, [x] * 4)
        assert not torch.allclose(outputs["decoder", 3], plain), path
        torch.testing.assert_close(replaced(x).output, outputs["decoder", 3], msg=path)
        hooked.get_submodule(path).register_forward_hook(lambda m, args, out: changed(out))
        torch.testing.assert_close(hooked(x).output, outputs["decoder", 3], msg=path)


@pytest.mark.parametrize("path", ["areas.V1", "areas.V1.cell"])
def test_what_cannot_be_replaced_is_said(path: str) -> None:
    net, x = small("cornet_rt")
    net.set_submodule(path, nn.Sequential(net.get_submodule(path)))
    with pytest.raises(vs.VentralError, match="was replaced by a Sequential"):
        net(x)
