"""Time and memory of an unroll: naive, planned, planned and compiled, and PyTorchTNN's, side by side in one run.

    python benchmarks/unroll.py [--peer PATH-to-a-PyTorchTNN-checkout] [--models rgc_shallow timedecay_shallow]
        [--batch 4] [--steps 16] [--size 224] [--rounds 5] [--threads 2] [--no-compile] [--out unroll.json]

Same architecture, sizes, steps, batch and threads for all; the image is on throughout and the last step's logits are
asked for. `direct` is the plan with every convolution done directly, `planned` (the default) also multiplies less where
that pays. Every round times each variant once, in turn, so that a slow moment of the machine falls on all of them;
ratios are medians over rounds of the ratio within a round. Peak memory is that of a process of its own that does one
training step, less what it held before that step. `convolutions alone` replays the convolutions of `direct`
on tensors of the same shapes, with nothing between them: the rate that no direct unroll can exceed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from measure import ForwardFn, forward_once, machine, model_options, peak_mib_of, ratios, spread, train_once, write
from torch.utils._python_dispatch import TorchDispatchMode

import ventralstream as vs
from ventralstream.cost import cost
from ventralstream.plan import plan
from ventralstream.program import Request

VARIANTS = ("naive", "direct", "planned", "compiled", "peer")


def ours(name: str, variant: str, steps: int, size: int) -> ForwardFn:
    net = vs.create_model(name, seed=0, input_shape=(3, size, size))
    net.eval()
    net.fast_convolutions = variant in ("planned", "compiled")
    if variant == "compiled":
        net.compile()
    if variant != "naive":
        return lambda x: net(x, steps, presentation=vs.Constant()).output
    wanted = frozenset({(net.spec.readout_area, steps - 1)})
    program = net.plan(Request(0, steps, vs.Constant(), wanted, naive=True))
    (index,) = program.outputs.values()

    def forward(x: torch.Tensor) -> torch.Tensor:
        (result,) = (value for _, value in net.execution(program, x, frozenset({index})))
        return result

    return forward


def peer(name: str, path: str, steps: int, size: int) -> torch.nn.Module:
    """PyTorchTNN's network, called with the number of steps as `n_times`."""
    sys.path.insert(0, path)
    from pt_tnn.recurrent_module import RecurrentModuleRGC
    from pt_tnn.temporal_graph import TemporalGraph

    net = TemporalGraph(
        model_config_file=str(Path(path) / "configs" / f"test_{name}.json"),
        input_shape=[3, size, size],
        num_timesteps=steps,
        transform=None,
        recurrent_module=RecurrentModuleRGC if "rgc" in name else None,
    )
    return net.eval()


def make(name: str, variant: str, args: argparse.Namespace) -> ForwardFn:
    if variant == "peer":
        net = peer(name, args.peer, args.steps, args.size)
        return lambda x: net(x, n_times=args.steps)
    return ours(name, variant, args.steps, args.size)


class ConvolutionLog(TorchDispatchMode):
    """Notes every convolution of a forward pass: shapes and arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.convolution.default:
            x, w, bias = args[:3]
            self.calls.append((tuple(x.shape), tuple(w.shape), bias is not None, args[3:]))
        return func(*args, **(kwargs or {}))


def convolutions_alone(run: ForwardFn, x: torch.Tensor) -> Callable[[], None]:
    with torch.no_grad(), ConvolutionLog() as log:
        run(x)
    inputs = {shape: torch.randn(shape) for call in log.calls for shape in call[:2]}
    biases = {call[1][0]: torch.randn(call[1][0]) for call in log.calls}
    operation = torch.ops.aten.convolution.default

    def replay() -> None:
        with torch.no_grad():
            for shape, weight, bias, rest in log.calls:
                operation(inputs[shape], inputs[weight], biases[weight[0]] if bias else None, *rest)

    return replay


def peak_mib(name: str, variant: str, args: argparse.Namespace) -> float:
    """Peak memory that one training step adds, in a process of its own."""
    command = [sys.executable, __file__, "--memory-of", variant, "--models", name, "--batch", str(args.batch)]
    command += ["--steps", str(args.steps), "--size", str(args.size), "--threads", str(args.threads)]
    command += ["--peer", args.peer] if args.peer else []
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.strip().splitlines()[-1])


def memory_of(args: argparse.Namespace) -> None:
    run = make(args.models[0], args.memory_of, args)
    small = torch.randn(1, 3, args.size, args.size)
    with torch.no_grad():
        run(small)  # libraries and buffers that the first call loads
    x = torch.randn(args.batch, 3, args.size, args.size)
    print(peak_mib_of(lambda: train_once(run, x)))


def planning_ms(name: str, steps: int) -> list[float]:
    net = vs.create_model(name, seed=0)
    request = Request(0, steps, vs.Constant(), frozenset({(net.spec.readout_area, steps - 1)}))
    times = []
    for _ in range(20):
        begin = time.perf_counter()
        plan(net.spec, net.traits(), request)
        times.append(1e3 * (time.perf_counter() - begin))
    return times


def measure(name: str, args: argparse.Namespace) -> dict:
    variants = ["naive", "direct", "planned", *(["compiled"] if args.compile else []), *(["peer"] if args.peer else [])]
    torch.manual_seed(0)
    x = torch.randn(args.batch, 3, args.size, args.size)
    runs = {v: make(name, v, args) for v in variants}
    alone = convolutions_alone(runs["direct"], x)
    result: dict = {"forward_s": {}, "training_s": {}, "memory_mib": {}}
    for kind, once in (("forward_s", forward_once), ("training_s", train_once)):
        times: dict[str, list[float]] = {v: [] for v in variants}
        bare: list[float] = []
        for round_ in range(args.rounds + 1):
            for v in variants:
                seconds = once(runs[v], x)
                if round_:  # the first one warms up
                    times[v].append(seconds)
            if kind == "forward_s":
                begin = time.perf_counter()
                alone()
                if round_:
                    bare.append(time.perf_counter() - begin)
            print(f"  {name} {kind[:-2]}: round {round_} of {args.rounds}", file=sys.stderr, flush=True)
        result[kind] = {v: spread(t) for v, t in times.items()}
        for v in variants:
            for base in ("peer", "naive"):
                if base in variants and v != base:
                    result[kind][v][f"times_faster_than_{base}"] = ratios(times[base], times[v])
        if bare:
            result["convolutions_alone_s"] = spread(bare)
            result["share_of_the_convolutions_rate"] = ratios(bare, times["direct"])
    counted, _ = cost(vs.model_spec(name, input_shape=(3, args.size, args.size)), args.steps, vs.Constant())
    result["flops"] = counted.to_json()
    result["planning_ms"] = spread(planning_ms(name, args.steps))
    for v in variants:
        if v != "compiled":
            result["memory_mib"][v] = peak_mib(name, v, args)
    return result


def report(name: str, r: dict) -> None:
    print(f"\n{name}")
    for kind in ("forward_s", "training_s"):
        for v, t in r[kind].items():
            line = f"  {kind[:-2]:>8} {v:>9}: {t['median']:7.3f} s ({t['min']:.3f} to {t['max']:.3f})"
            for base in ("naive", "peer"):
                if f"times_faster_than_{base}" in t:
                    ratio = t[f"times_faster_than_{base}"]
                    line += f"   {ratio['median']:.2f}x {base} ({ratio['min']:.2f} to {ratio['max']:.2f})"
            print(line)
    share = r["share_of_the_convolutions_rate"]
    print(
        f"  convolutions alone {r['convolutions_alone_s']['median']:.3f} s: the direct one runs at"
        f" {100 * share['median']:.0f} % of their rate ({100 * share['min']:.0f} to {100 * share['max']:.0f})"
    )
    print(f"  planning {r['planning_ms']['median']:.1f} ms")
    memory = r["memory_mib"]
    for v, mib in memory.items():
        ratio = f"   {mib / memory['peer']:.2f} of the peer's" if "peer" in memory and v != "peer" else ""
        print(f"  peak memory of a training step, {v}: {mib:.0f} MiB{ratio}")


def main() -> None:
    parser = model_options(__doc__, ["rgc_shallow", "timedecay_shallow"], batch=4, out="unroll.json")
    parser.add_argument("--peer", default="", help="a PyTorchTNN checkout")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--memory-of", choices=VARIANTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.memory_of:
        memory_of(args)
        return
    here = machine(args.threads)
    results = {}
    for name in args.models:
        results[name] = measure(name, args)
        report(name, results[name])
    write(args, ("batch", "steps", "size", "rounds", "threads"), here, results)


if __name__ == "__main__":
    main()
