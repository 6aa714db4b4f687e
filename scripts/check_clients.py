"""Checks our networks with the tools that other people use on them. Run by scripts/check_clients.sh."""

from __future__ import annotations

import importlib.machinery
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from small_models import small_published

import ventralstream as vs
from ventralstream.assembly import assembly

TOLERANCE = 1e-4
failures: list[str] = []
started = time.monotonic()


def check(what: str, holds: bool, detail: object = "") -> None:
    """Prints whether something holds, and remembers it if not."""
    print(f"{'ok  ' if holds else 'FAIL'} {what}{f': {detail}' if str(detail) else ''}", flush=True)
    if not holds:
        failures.append(what)


def network(name: str = "cornet_rt", size: int = 64) -> tuple[vs.Network, Tensor]:
    """A small network and images."""
    options = {} if "cifar" in name else {"input_shape": (3, size, size)}
    net = vs.create_model(name, seed=0, num_classes=5, **options).eval()
    return net, torch.randn(4, *net.spec.input_shape, generator=torch.Generator().manual_seed(0))


def last_map(net: vs.Network, x: Tensor, area: str) -> Tensor:
    """An area's output at the last step that the decision depends on."""
    step = net.calls()[f"areas.{area}"][-1]
    return net(x, record=vs.Record(area, steps=[step]))[area].values[:, 0]


def close(a: Any, b: Any) -> float:
    """The largest difference, of the largest number."""
    a, b = (torch.as_tensor(v).detach() for v in (a, b))
    return float((a - b).abs().max() / b.abs().max()) if a.shape == b.shape else float("inf")


def captum() -> None:
    """Attributions of the decision, to pixels and to an area."""
    from captum.attr import IntegratedGradients, LayerActivation, LayerGradCam

    net, x = network()
    model = vs.Unrolled(net)
    other = x.roll(1, 0)  # from zero there is no path: what is normalised does not change along it
    into = IntegratedGradients(model).attribute(x, other, target=1, n_steps=50)
    difference = (model(x) - model(other))[:, 1]
    off = close(into.sum((1, 2, 3)), difference)
    check("Captum: integrated gradients add up", off < 0.05, off)
    found = LayerActivation(model, net.areas.V4).attribute(x)
    off = close(found, last_map(net, x, "V4"))
    check("Captum: the activation of an area is its last step's", off < TOLERANCE, off)
    cam = LayerGradCam(model, net.areas.V4).attribute(x, target=1)
    v4 = last_map(net, x, "V4")
    kept: list[Tensor] = []
    handle = net.areas.V4.register_forward_hook(lambda m, i, out: kept.append(out))
    (grad,) = torch.autograd.grad(net(x).output[:, 1].sum(), kept[-1:])
    handle.remove()
    off = close(cam, (grad.mean((2, 3), keepdim=True) * v4).sum(1, keepdim=True))
    check("Captum: Grad-CAM of an area", off < 1e-3, off)


def torchlens() -> None:
    """Every operation of the forward pass, run again from what was saved."""
    import torchlens

    for name in ("ff_shallow_cifar", "cornet_z", "cornet_s", "cornet_rt", "rgc_shallow_cifar", "gru_shallow_cifar"):
        net, x = network(name)
        holds = torchlens.validate(vs.Unrolled(net, steps=8), x[:2], scope="forward")
        check(f"TorchLens validates {name}", holds is True)


def thingsvision() -> None:
    """Features of an area, as thingsvision extracts them from a model that is not its own."""
    for name in (
        "",
        ".keras",
        ".keras.applications",
        ".keras.layers",
        ".keras.models",
    ):  # its other backend
        module = MagicMock(__path__=[])
        module.__spec__ = importlib.machinery.ModuleSpec("tensorflow" + name, None)
        sys.modules["tensorflow" + name] = module
    if not hasattr(np, "AxisError"):
        vars(np)["AxisError"] = np.exceptions.AxisError  # it is written for numpy < 2
    from thingsvision import get_extractor_from_model

    net, x = network()
    extractor = get_extractor_from_model(model=net, device="cpu", backend="pt")
    found = extractor.extract_features(batches=[x[:2], x[2:]], module_name="areas.V4", flatten_acts=False)
    off = close(found, last_map(net, x, "V4"))
    check("thingsvision: the features of an area are its last step's", off < TOLERANCE, off)


def flops() -> None:
    """Counters of operations see the convolutions of all steps."""
    from fvcore.nn import FlopCountAnalysis
    from torch.utils.flop_counter import FlopCounterMode
    from torchinfo import summary

    net, x = network()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(x)
    mine = counter.get_total_flops()
    by_area = sum(v for k, v in counter.get_flop_counts().items() if k == "Global" for v in v.values())
    check("torch's counter of operations", mine > 0 and mine == by_area, f"{mine / 1e6 / len(x):.0f} MFLOP an image")
    analysis = FlopCountAnalysis(vs.Unrolled(net), x)
    theirs = analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()
    check("fvcore counts as many multiply-adds", abs(2 * theirs / mine - 1) < 0.1, f"{theirs / 1e6 / len(x):.0f} M")
    told = summary(vs.Unrolled(net), input_data=x, verbose=0)
    off = abs(2 * told.total_mult_adds / mine - 1)
    check("torchinfo counts as many multiply-adds", off < 0.1, f"{told.total_mult_adds / 1e6 / len(x):.0f} M")


def adapters() -> None:
    """Pruning and LoRA change what is computed."""
    from peft import LoraConfig, get_peft_model
    from torch.nn.utils import prune

    net, x = network("rgc_shallow_cifar")
    before = net(x).output
    convs = [(m, "weight") for m in net.modules() if isinstance(m, nn.Conv2d)]
    prune.global_unstructured(convs, prune.L1Unstructured, amount=0.9)
    pruned = net(x).output
    for module, name in convs:
        prune.remove(module, name)
    off = close(net(x).output, pruned)
    check("prune: what is pruned is not computed", not torch.allclose(before, pruned) and off < TOLERANCE, off)

    for name in ("rgc_shallow_cifar", "cornet_s"):
        net, x = network(name)
        before = net(x).output
        config = LoraConfig(target_modules=r".*\.(conv|linear)", r=2, init_lora_weights=False)
        lora = get_peft_model(vs.Unrolled(net), config)
        changed = lora(x)
        merged = lora.merge_and_unload()(x)
        off = close(changed, merged)
        check(f"PEFT: LoRA on the convolutions of {name}", not torch.allclose(before, changed) and off < 1e-3, off)


def written() -> None:
    """h5py reads what we write."""
    import h5py

    from ventralstream.brain import write

    values = np.arange(12.0).reshape(4, 3)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rates.nc"
        write(assembly(values, stimulus_id=np.array(["a", "b", "c", "d"])), path)
        with h5py.File(path) as file:
            data = [d for d in file.values() if isinstance(d, h5py.Dataset) and d.shape == values.shape]
            names = [n.decode() if isinstance(n, bytes) else n for n in file["stimulus_id"][:]]
            check("h5py reads the arrays that we write", len(data) == 1 and np.array_equal(data[0][:], values))
            check("h5py reads their stimulus names", names == ["a", "b", "c", "d"], names)


def onnx(names: list[str]) -> None:
    """Exported by torch and run by onnxruntime, for other batch sizes than it was exported from."""
    import onnxruntime

    for name in names:
        net = small_published(name).float()
        with torch.no_grad():  # over 22 steps fresh ones grow until every confidence is 1
            for kernel in (p for p in net.parameters() if p.dim() > 1):
                kernel.mul_(0.8)
        size = net.spec.input_shape[1]
        x = torch.randn(3, 3, size, size)
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            path = Path(folder) / "net.onnx"
            program = vs.Unrolled(net).export(x[:2])
            torch.onnx.export(program, f=path, dynamo=True, verbose=False)
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            off = 0.0
            for images in (x, x[:1]):
                (found,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
                expected = net(images).output
                off = max(off, close(found, expected), close(program.module()(images), expected))
            check(f"torch.export and onnxruntime: {name}", off < TOLERANCE, f"{off:.1e}")


def main(names: list[str]) -> int:
    """Runs all checks; 0 if they hold."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    clients: list[Callable[[], None]] = [captum, torchlens, thingsvision, flops, adapters, written]
    for client in [*clients, lambda: onnx(names or vs.list_models())]:
        try:
            client()
        except Exception:
            traceback.print_exc()
            check(getattr(client, "__name__", "a client"), False, "stopped by an error")
    said = f"{len(failures)} checks failed: {'; '.join(failures)}" if failures else "all checks hold"
    print(f"{said} ({time.monotonic() - started:.0f} s)")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
