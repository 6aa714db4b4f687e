"""Two checkouts of ventralstream beside each other: has a change cost speed?

    python benchmarks/trees.py OLD-CHECKOUT [--models rgc_shallow:4:16 cornet_s:4:9 ...] [--size 224] [--rounds 7]
        [--threads 2] [--clock wall|processor] [--precision 32|bf16] [--out trees.json]

Each checkout runs in a process of its own, which waits while the other is timed: every round times a forward pass and a
training step of each once, in turn, and ratios are medians over rounds of the ratio within a round (old / new: above 1
the new one is faster). Both have the same weights and images; their logits are compared first. Where other work shares
the machine, `--clock processor` counts what each process itself used.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from measure import machine, ratios, spread, write

HERE = Path(__file__).resolve().parent
WORKER = """
import json, sys, time
import torch
import ventralstream as vs

clock = {"wall": time.perf_counter, "processor": time.process_time}[sys.argv.pop()]
lower = sys.argv.pop() == "bf16"
name, batch, steps, size, threads = sys.argv[1], *map(int, sys.argv[2:])
torch.set_num_threads(threads)
net = vs.create_model(name, seed=0, input_shape=(3, size, size))
x = torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0))
for kind in sys.stdin:
    net.train(kind.strip() == "training")
    net.zero_grad()
    began = clock()
    with torch.set_grad_enabled(net.training):
        with torch.autocast("cpu", torch.bfloat16, enabled=lower):
            out = net(x, steps).output
        if net.training:
            out.float().logsumexp(1).sum().backward()
    seconds = clock() - began
    print(json.dumps([seconds, float(out.detach().double().square().mean().sqrt())]), flush=True)
"""


class Tree:
    """A checkout at work on one model."""

    def __init__(self, checkout: Path, model: str, options: argparse.Namespace) -> None:
        environment = {**os.environ, "PYTHONPATH": str(checkout / "src")}
        how = [str(options.size), str(options.threads), options.precision, options.clock]
        command = [sys.executable, "-c", WORKER, *model.split(":"), *how]
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def once(self, kind: str) -> tuple[float, float]:
        """Seconds of one call, and a number that tells whether two trees compute the same."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(kind + "\n")
        self.process.stdin.flush()
        seconds, norm = json.loads(self.process.stdout.readline())
        return seconds, norm

    def close(self) -> None:
        self.process.communicate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument(
        "--models",
        nargs="+",
        default=["rgc_shallow:4:16", "timedecay_shallow:4:16", "cornet_s:4:9", "cornet_rt:8:5", "cornet_z:8:4"],
        help="name:batch:steps",
    )
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=["wall", "processor"], default="wall")
    parser.add_argument("--precision", choices=["32", "bf16"], default="32")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    results: dict[str, Any] = {}
    for model in options.models:
        trees = {
            name: Tree(path, model, options) for name, path in (("old", options.old.resolve()), ("new", HERE.parent))
        }
        results[model] = {}
        for kind in ("forward", "training"):
            times: dict[str, list[float]] = {name: [] for name in trees}
            for r in range(-2, options.rounds):  # two rounds to warm up
                found = {name: tree.once(kind) for name, tree in trees.items()}
                if r == -2 and kind == "forward":
                    old, new = found["old"][1], found["new"][1]
                    assert abs(old - new) <= (1e-4 if options.precision == "32" else 1e-2) * old, (old, new)
                for name, (seconds, _) in found.items():
                    if r >= 0:
                        times[name].append(seconds)
            faster = ratios(times["old"], times["new"])
            results[model][kind] = {**{n: spread(t) for n, t in times.items()}, "times_faster": faster}
            print(f"{model:24} {kind:9} {faster}", flush=True)
        for tree in trees.values():
            tree.close()
    if options.out:
        write(options, ("models", "size", "rounds", "threads", "clock", "precision"), machine(options.threads), results)


if __name__ == "__main__":
    main()
