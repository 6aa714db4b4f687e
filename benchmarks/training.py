"""Training: the rate of small networks, peers beside ours, what the loader delivers, memory by the number of steps.

    python benchmarks/training.py [rate] [peers] [loader] [memory] [--device cpu|cuda] [--tnn PATH] [--cornet PATH]
        [--models ...] [--batches 64] [--precisions 32 bf16] [--rounds 5] [--threads 1] [--data FOLDER] [--compile]
        [--out training.json]

All parts if none is named; results of parts that are not run stay in the file. Every round times each variant once, in
turn. A step is the forward pass, the loss, the backward pass and SGD's.

* rate: images and operations a second (`ventralstream.cost.training_flops`) of every network for 32-px images, and what
  part that is of the rate of the step's convolutions alone (`alone.py`); on a GPU also the part of what it can do at
  most. On a processor by the time that the process itself used, as other work may share the machine.
* peers: a step's time and peak memory beside PyTorchTNN's and the official CORnet's, 224 px.
* loader: the images that it delivers a second, augmented, beside what the steps of `rate` need.
* memory: a process's peak (the median of the rounds) by the number of steps of rgc_shallow_cifar, trained with the
  recipe's fields as they are, with `remat`, and with `tbptt`.

On a GPU: `--device cuda --batches 64 256 --compile`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from alone import replay
from measure import machine, peak_mib_of, ratios, spread, status_kib
from unroll import peer as pytorchtnn
from zoo import official

import ventralstream as vs
from ventralstream.cost import training_flops
from ventralstream.data import Loader, load_set
from ventralstream.training.optimizers import SGD
from ventralstream.training.recipe import Place, Recipe
from ventralstream.training.recipe_file import load_recipe

PARTS = ("rate", "peers", "loader", "memory")
TYPES = {"32": torch.float32, "bf16": torch.bfloat16}
# Operations a second that the makers state for dense products, by a part of the device's name: bf16, float32 (no TF32)
MOST = {"H200": (989e12, 67e12), "H100": (989e12, 67e12), "A100": (312e12, 19.5e12), "L40": (181e12, 91e12)}
PEERS = {  # batch and steps
    "rgc_shallow": (4, 16),
    "timedecay_shallow": (4, 16),
    "cornet_z": (8, 4),
    "cornet_rt": (8, 5),
    "cornet_s": (8, 9),
}
MEMORY_MODEL, MEMORY_STEPS, MEMORY_BATCH, CHUNK = "rgc_shallow_cifar", (8, 16, 32), 32, 4


class Step:
    """Training steps of a network on random images."""

    def __init__(self, net: torch.nn.Module, size: int, batch: int, precision: str, device: str) -> None:
        self.net = net.to(device, memory_format=torch.channels_last if device == "cuda" else torch.preserve_format)
        self.net.train()
        self.precision, self.device = precision, device
        self.optimizer = torch.optim.SGD(self.net.parameters(), 1e-5, momentum=0.9, nesterov=True)
        images = torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0))
        self.images = images.to(device).contiguous(memory_format=torch.channels_last)
        self.labels = torch.arange(batch, device=device) % 10

    def autocast(self) -> AbstractContextManager[Any]:
        if self.precision == "32":
            return nullcontext()
        return torch.autocast(self.device, TYPES[self.precision])

    def __call__(self) -> None:
        with self.autocast():
            out = self.net(self.images)
        logits = out.output if isinstance(out, vs.Output) else out
        F.cross_entropy(logits.float().flatten(1), self.labels).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()


def seconds(call: Callable[[], None], device: str, clock: Callable[[], float] = time.process_time) -> float:
    """Of one call: on a processor by the clock, on a GPU from idle to idle."""
    if device == "cuda":
        torch.cuda.synchronize()
        clock = time.perf_counter
    began = clock()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - began


def in_turn(
    calls: dict[str, Callable[[], None]], rounds: int, device: str, clock: Callable[[], float] = time.process_time
) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in calls}
    for round_ in range(-2, rounds):  # two to warm up
        for name, call in calls.items():
            taken = seconds(call, device, clock)
            if round_ >= 0:
                times[name].append(taken)
    return times


def rate(args: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in args.models or [m for m in vs.list_models() if "cifar" in m]:
        flops = training_flops(vs.model_spec(name))
        for precision in args.precisions:
            for batch in args.batches:
                torch.manual_seed(0)
                step = Step(vs.create_model(name, seed=0), 32, batch, precision, args.device)
                alone = replay(step.net, step.images, TYPES[precision])
                calls: dict[str, Callable[[], None]] = {"eager": step, "convolutions alone": alone}
                if args.compile:
                    compiled = vs.create_model(name, seed=0)
                    calls["compiled"] = Step(compiled, 32, batch, precision, args.device)
                    compiled.compile()
                times = in_turn(calls, args.rounds, args.device)
                row: dict[str, Any] = {}
                for variant, taken in times.items():
                    row[variant] = {
                        "images_per_s": spread([batch / t for t in taken]),
                        "gflop_per_s": spread([flops * batch / t / 1e9 for t in taken]),
                        "share_of_the_convolutions_rate": ratios(times["convolutions alone"], taken),
                    }
                    if most := peak_rate(args.device, precision):
                        row[variant]["utilisation"] = spread([flops * batch / t / most for t in taken])
                found.setdefault(name, {}).setdefault(precision, {})[str(batch)] = row
                say_rate(name, precision, batch, row)
    return found


def peak_rate(device: str, precision: str) -> float | None:
    """The operations a second that the GPU's maker states."""
    if device == "cuda":
        for part, rates in MOST.items():
            if part in torch.cuda.get_device_name():
                return rates[0 if precision == "bf16" else 1]
    return None


def say_rate(name: str, precision: str, batch: int, row: dict[str, Any]) -> None:
    for variant, r in row.items():
        line = f"{name:28} {precision:>4} batch {batch:4} {variant:18}"
        line += f" {r['images_per_s']['median']:8.1f} images/s {r['gflop_per_s']['median']:7.0f} GFLOP/s"
        if variant != "convolutions alone":
            line += f"   {100 * r['share_of_the_convolutions_rate']['median']:3.0f} % of the convolutions'"
        if "utilisation" in r:
            line += f"   {100 * r['utilisation']['median']:.1f} % of the most"
        print(line, flush=True)


# ---------------------------------------------------------------------------------------------- peers


def variants_of(name: str, args: argparse.Namespace) -> list[str]:
    checkout = args.cornet if name.startswith("cornet") else args.tnn
    return ["ours", *(["compiled"] if args.compile else []), *(["peer"] if checkout else [])]


class Called(torch.nn.Module):
    """A peer that is a module, called as its authors' scripts call it."""

    def __init__(self, net: torch.nn.Module, call: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.net, self.call = net, call

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.call(x)


def peer_step(name: str, variant: str, args: argparse.Namespace) -> Step:
    batch, steps = PEERS[name]
    batch = args.peer_batch or batch
    if variant == "peer" and name.startswith("cornet"):
        net = official(args.cornet, name)
    elif variant == "peer":
        module = pytorchtnn(name, args.tnn, steps, 224)
        net = Called(module, lambda x: module(x, n_times=steps))
    else:
        spec = vs.model_spec(name, input_shape=(3, 224, 224)).replace(steps=steps, presentation=vs.Constant())
        net = vs.build(spec, seed=0)
        if variant == "compiled":
            net.compile()
    return Step(net, 224, batch, args.peer_precision, args.device)


def memory_of_a_step(step: Step) -> float:
    """Peak MiB that a training step adds."""
    if step.device == "cuda":
        held = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - held) / 2**20
    return peak_mib_of(step)


def peers(args: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in args.peer_models:
        steps = {v: peer_step(name, v, args) for v in variants_of(name, args)}
        clock = time.process_time if args.clock == "processor" else time.perf_counter
        times = in_turn(dict(steps), args.rounds, args.device, clock)
        batch = len(steps["ours"].images)
        row: dict[str, Any] = {"batch": batch}
        del steps
        for variant, taken in times.items():
            row[variant] = {"s_per_image": spread([t / batch for t in taken])}
            if variant != "peer" and "peer" in times:
                row[variant]["times_faster_than_peer"] = ratios(times["peer"], taken)
            row[variant]["peak_mib"] = float(itself(args, "--step-of", name, variant))
            print(name, variant, json.dumps(row[variant]), flush=True)
        found[name] = row
    return found


def itself(args: argparse.Namespace, *more: str) -> str:
    """The last line that this script prints in a process of its own."""
    command = [sys.executable, __file__, *more, "--device", args.device, "--threads", str(args.threads)]
    command += ["--tnn", args.tnn, "--cornet", args.cornet, "--peer-precision", args.peer_precision]
    command += ["--peer-batch", str(args.peer_batch)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return done.stdout.strip().splitlines()[-1]


# ---------------------------------------------------------------------------------------------- loader and memory


def loader(args: argparse.Namespace, rates: dict[str, Any]) -> dict[str, Any]:
    recipe = load_recipe("cifar10")
    found: dict[str, Any] = {"augment": None if recipe.augment is None else recipe.augment.to_json()}
    images = load_set("cifar10", args.data)
    for batch in args.batches:
        source = Loader(images, batch, train=True, augment=recipe.augment, device=args.device)
        batches = iter(source)
        times = in_turn({"batch": lambda b=batches: next(b) and None}, 40, args.device)["batch"]  # type: ignore[misc]
        row: dict[str, Any] = {"images_per_s": spread([batch / t for t in times])}
        delivered = row["images_per_s"]["median"]
        print(f"the loader delivers {delivered:.0f} images/s in batches of {batch}", flush=True)
        for name, by_precision in rates.items():
            for precision, by_batch in by_precision.items():
                if one := by_batch.get(str(batch)):
                    needed = one["eager"]["images_per_s"]["median"]
                    row.setdefault("share_of_a_step", {}).setdefault(name, {})[precision] = needed / delivered
        for name, shares in row.get("share_of_a_step", {}).items():
            each = ", ".join(f"{100 * s:.1f} % ({p})" for p, s in shares.items())
            print(f"  of a step of {name}, loading takes {each}", flush=True)
        found[str(batch)] = row
    return found


WAYS: dict[str, dict[str, Any]] = {"full": {}, "remat": {"remat": True}, "tbptt": {"tbptt": CHUNK}}


def memory(args: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {"model": MEMORY_MODEL, "batch": MEMORY_BATCH, "chunk": CHUNK}
    for variant in WAYS:
        peaks = [
            statistics.median(float(itself(args, "--run-of", variant, str(steps))) for _ in range(args.rounds))
            for steps in MEMORY_STEPS
        ]
        growth = (peaks[-1] - peaks[0]) / (MEMORY_STEPS[-1] - MEMORY_STEPS[0])
        found[variant] = {"peak_mib": dict(zip(map(str, MEMORY_STEPS), peaks, strict=True)), "mib_a_step": growth}
        print(f"{variant:6} peak MiB {found[variant]['peak_mib']}: {growth:.2f} a step", flush=True)
    for variant in ("remat", "tbptt"):
        found[variant]["growth_over_full"] = found[variant]["mib_a_step"] / found["full"]["mib_a_step"]
    return found


def run_of(args: argparse.Namespace) -> None:
    """Trains two batches, and prints the peak memory of the process (of the GPU)."""
    variant, steps = args.run_of
    recipe = Recipe(data="scenes", subset=2 * MEMORY_BATCH, val_subset=8, epochs=1, batch_size=MEMORY_BATCH)
    recipe = recipe.replace(clip=0.0, optimizer=SGD(lr=1e-9), **WAYS[variant])  # nothing diverges, whatever the steps
    with tempfile.TemporaryDirectory() as folder:
        place = Place(device=args.device, threads=args.threads, workers=0)
        vs.train(grey(MEMORY_MODEL), recipe, Path(folder) / "run", place=place, steps=int(steps))
    if args.device == "cuda":
        print(torch.cuda.max_memory_allocated() / 2**20)
    else:
        print(status_kib("VmHWM") / 1024)


def grey(name: str) -> Any:
    """The network for the grey images of "scenes"."""
    return vs.model_spec(name, num_classes=10).replace(input_shape=(1, 32, 32), mean=(0.5,), std=(0.5,))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--models", nargs="+", help="of `rate`; every *_cifar network by default")
    parser.add_argument("--batches", nargs="+", type=int, default=[64])
    parser.add_argument("--precisions", nargs="+", choices=list(TYPES), default=list(TYPES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=["wall", "processor"], default="processor", help="of `peers` on a processor")
    parser.add_argument("--compile", action="store_true", help="time compiled networks too (minutes on a processor)")
    parser.add_argument("--tnn", default="", help="a PyTorchTNN checkout")
    parser.add_argument("--cornet", default="", help="a checkout of the official CORnet code")
    parser.add_argument("--peer-models", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--peer-batch", type=int, default=0, help="batch of `peers`; 4 and 8 by default")
    parser.add_argument("--peer-precision", choices=list(TYPES), default="32")
    parser.add_argument("--data", help="folder of CIFAR-10; the one that VENTRALSTREAM_DATA names by default")
    parser.add_argument("--out", type=Path, default=Path("training.json"))
    parser.add_argument("--step-of", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--run-of", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"unknown part {min(unknown)!r}; expected {', '.join(PARTS)}")
    torch.set_num_threads(args.threads)
    if args.step_of:
        step = peer_step(*args.step_of, args)
        print(memory_of_a_step(step))
        return
    if args.run_of:
        run_of(args)
        return
    results = json.loads(args.out.read_text()) if args.out.exists() else {}
    where = machine(args.threads)
    if args.device == "cuda":
        where["gpu"] = torch.cuda.get_device_name()
    here = results.setdefault(args.device, {})
    for part in args.parts or PARTS:
        if part == "rate":
            made = rate(args)
        elif part == "peers":
            made = peers(args)
        elif part == "loader":
            made = loader(args, here.get("rate", {}).get("results", {}))
        else:
            made = memory(args)
        setting = {k: getattr(args, k) for k in ("rounds", "threads", "batches", "clock", "peer_precision")}
        here[part] = {"setting": setting, "machine": where, "results": made}
        args.out.write_text(json.dumps(results, indent=1) + "\n")
    print(f"\nwritten to {args.out}")


if __name__ == "__main__":
    main()
