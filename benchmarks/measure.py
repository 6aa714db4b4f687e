"""What the benchmarks share: options, timing one pass, summaries over rounds, the machine.

Torch is imported only where it is used: a side of `brain.py` runs without it, and is measured with its libraries.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

ForwardFn = Callable[["torch.Tensor"], "torch.Tensor"]


def model_options(doc: str | None, models: Sequence[str], batch: int, out: str) -> argparse.ArgumentParser:
    """The options of a benchmark of models on random images, with its defaults."""
    import torch

    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(models))
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--no-compile", dest="compile", action="store_false", help="leave the compiled variant out")
    parser.add_argument("--out", default=out)
    return parser


def forward_once(run: ForwardFn, x: torch.Tensor) -> float:
    """Seconds of a forward pass without gradients."""
    import torch

    with torch.no_grad():
        begin = time.perf_counter()
        run(x)
        return time.perf_counter() - begin


def train_once(run: ForwardFn, x: torch.Tensor) -> float:
    """Seconds of a forward and a backward pass."""
    import torch

    labels = torch.arange(len(x))
    begin = time.perf_counter()
    torch.nn.functional.cross_entropy(run(x).flatten(1), labels).backward()
    return time.perf_counter() - begin


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and greatest."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def ratios(over: Sequence[float], under: Sequence[float]) -> dict[str, float]:
    """The spread over rounds of the ratios within a round."""
    return spread([a / b for a, b in zip(over, under, strict=True)])


def peak_mib_of(call: Callable[[], Any]) -> float:
    """Peak memory that a call adds to what this process holds (getrusage's peak would count what its parent held)."""
    before = status_kib("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak back to what is held now
    call()
    return (status_kib("VmHWM") - before) / 1024


def status_kib(key: str) -> int:
    """A line of /proc/self/status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    raise RuntimeError(f"no {key} in /proc/self/status: peak memory is measured on Linux only")


def machine(threads: int) -> dict[str, Any]:
    """What figures are taken on and with; to be asked at the start, as the commit may change meanwhile."""
    import torch

    from ventralstream.training.provenance import git_commit

    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "processor": processor(),
        "threads": threads,
        "commit": git_commit(),
    }


def processor() -> str:
    """The processor's model; its kind where that is not told."""
    if name := platform.processor():
        return name
    cpuinfo = Path("/proc/cpuinfo")
    for line in cpuinfo.read_text().splitlines() if cpuinfo.is_file() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def write(
    args: argparse.Namespace, setting: Sequence[str], machine: Mapping[str, Any], models: Mapping[str, Any]
) -> None:
    """Writes what was measured of models, under the options that `setting` names."""
    given = {name: getattr(args, name) for name in setting}
    Path(args.out).write_text(json.dumps({"setting": given, "machine": machine, "models": models}, indent=1) + "\n")
    print(f"\nwritten to {args.out}")
