"""What loaders deliver, in processor time: theirs and their workers', so that other work on the machine does not count.

python benchmarks/loading.py --folder tiny-imagenet --packed TINY64 --size 64 --cifar10 DATA
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import torch

import ventralstream as vs
from ventralstream.data import Augment, LabelledSet, Loader, load_set

NETWORKS = ("ff_shallow_cifar", "timedecay_shallow_cifar", "gru_shallow_cifar")


def workers_seconds() -> float:
    """Processor time of the processes that this one has started, and that still run."""
    found = 0.0
    for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        found += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return found


def measure(data: LabelledSet, batch: int, batches: int, augment: Augment | None, workers: int) -> tuple[float, ...]:
    """Seconds an image: by the clock, of this process, of its workers."""
    loader = Loader(data, batch, train=True, augment=augment, workers=workers)
    images = iter(loader)
    next(images)  # what is done once
    before = time.monotonic(), time.process_time(), workers_seconds()
    for _ in range(batches):
        next(images)
    after = time.monotonic(), time.process_time(), workers_seconds()
    images.close()
    loader.close()
    return tuple((b - a) / (batch * batches) for a, b in zip(before, after, strict=True))


def step(name: str, batch: int, repeats: int) -> float:
    """Processor seconds of a forward and backward pass of a batch."""
    net, images = vs.create_model(name, num_classes=10).train(), torch.randn(batch, 3, 32, 32)
    for i in range(repeats + 1):
        if i == 1:
            began = time.process_time()
        net(images).output.sum().backward()
    return (time.process_time() - began) / repeats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", help="a folder of train/CLASS/...")
    parser.add_argument("--packed", help="the same, packed")
    parser.add_argument("--cifar10", help="the folder in which CIFAR-10 lies")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--batches", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(1)
    shifts = Augment(crop=args.size // 16, flip="alternating", cutout=args.size // 4)
    cases: list[tuple[str, LabelledSet, Augment | None, int]] = []
    for kind, root in (("folder", args.folder), ("packed", args.packed), ("cifar10", args.cifar10)):
        if root is not None:
            data = load_set(kind, root, size=None if kind == "cifar10" else args.size)
            small = shifts.replace(crop=2, cutout=8) if kind == "cifar10" else shifts
            for workers in dict.fromkeys((0, args.workers)) if kind == "folder" else (0,):
                cases += [(kind, data, data.augment, workers), (kind, data, small, workers)]
    print("set      workers  images/s  ms/image here  in workers  augmentation")
    for kind, data, augment, workers in cases:
        clock, here, there = measure(data, args.batch, args.batches, augment, workers)
        print(f"{kind:8} {workers:7} {1 / clock:9.0f} {here * 1e3:14.3f} {there * 1e3:11.3f}  {augment}")
        if kind == "cifar10":
            for name in NETWORKS:
                needed = step(name, args.batch, 3) / args.batch
                part = here / (needed + here)
                print(f"         {name}: a step takes {needed * 1e3:.2f} ms an image, loading {part:.1%}")


if __name__ == "__main__":
    main()
