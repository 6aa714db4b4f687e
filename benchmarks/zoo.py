"""Published models beside the official CORnet code: time per image, forward and training step, on the same weights.

    python benchmarks/zoo.py [--cornet PATH-to-a-CORnet-checkout] [--batch 8] [--size 224] [--rounds 5] [--threads 2]
        [--models cornet_z cornet_rt cornet_s] [--no-compile] [--no-rgc] [--out zoo.json]

Every round times each variant once, in turn; ratios are medians over rounds of the ratio within a round. The outputs of
ours and the official code are compared before anything is timed. rgc_intermediate has no code of its authors that still
installs: it is timed alone, as published (17 steps, logits only).
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import torch
from measure import ForwardFn, forward_once, machine, model_options, ratios, spread, train_once, write

import ventralstream as vs
from ventralstream.published import load_cornet


def official(path: str, name: str) -> torch.nn.Module:
    sys.path.insert(0, path)
    import cornet  # type: ignore[import-not-found]

    return getattr(cornet, name)(pretrained=False, map_location="cpu").module


def ours(name: str, state: dict[str, torch.Tensor] | None, compiled: bool, size: int) -> vs.Network:
    net = vs.create_model(name, seed=0, input_shape=(3, size, size))
    if state is not None:
        load_cornet(net, state)
    if compiled:
        net.compile()
    return net


def call(model: torch.nn.Module) -> ForwardFn:
    return (lambda x: model(x).output) if isinstance(model, vs.Network) else model


def measure(variants: dict[str, torch.nn.Module], x: torch.Tensor, rounds: int) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for kind, once in (("forward", forward_once), ("training", train_once)):
        times: dict[str, list[float]] = {v: [] for v in variants}
        for r in range(-2, rounds):  # two rounds to warm up
            for v, model in variants.items():
                model.train(kind == "training")
                model.zero_grad(set_to_none=True)
                seconds = once(call(model), x)
                if r >= 0:
                    times[v].append(seconds / len(x))
        result[kind] = {v: {"s_per_image": spread(t)} for v, t in times.items()}
        for v in times:
            if "official" in times and v != "official":
                result[kind][v]["times_faster_than_official"] = ratios(times["official"], times[v])
    return result


def compare(name: str, args: argparse.Namespace) -> dict[str, Any]:
    torch.manual_seed(0)
    x = torch.randn(args.batch, 3, args.size, args.size)
    theirs = official(args.cornet, name) if args.cornet else None
    state = theirs.state_dict() if theirs is not None else None
    variants: dict[str, torch.nn.Module] = {"planned": ours(name, state, False, args.size)}
    if args.compile:
        variants["compiled"] = ours(name, state, True, args.size)
    difference = None
    if theirs is not None:
        variants["official"] = theirs
        with torch.no_grad():
            expected = theirs.eval()(x)
            errors = [(call(variants[v].eval())(x) - expected).abs().max() for v in variants]
        difference = float(max(errors) / expected.std())
        if difference > 1e-4:
            raise SystemExit(f"{name}: the outputs differ by {difference:.1e} of their standard deviation")
    result = measure(variants, x, args.rounds)
    result["largest_difference_of_outputs"] = difference
    report(name, result)
    return result


def report(name: str, result: dict[str, Any]) -> None:
    difference = result.get("largest_difference_of_outputs")
    print(name + ("" if difference is None else f": outputs differ by {difference:.0e} of their standard deviation"))
    for kind in ("forward", "training"):
        for variant, found in result.get(kind, {}).items():
            t = found["s_per_image"]
            line = f"  {kind:>8} {variant:>9}: {1000 * t['median']:7.1f} ms an image"
            line += f" ({1000 * t['min']:.1f} to {1000 * t['max']:.1f})"
            if ratio := found.get("times_faster_than_official"):
                line += f"   {ratio['median']:.2f}x official ({ratio['min']:.2f} to {ratio['max']:.2f})"
            print(line, flush=True)


def main() -> None:
    parser = model_options(__doc__, ["cornet_z", "cornet_rt", "cornet_s"], batch=8, out="zoo.json")
    parser.add_argument("--cornet", default="", help="a checkout of the official CORnet code")
    parser.add_argument("--no-rgc", dest="rgc", action="store_false", help="leave rgc_intermediate out")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    here = machine(args.threads)
    results = {name: compare(name, args) for name in args.models}
    if args.rgc:
        x = torch.randn(args.batch, 3, args.size, args.size)
        results["rgc_intermediate"] = measure({"planned": ours("rgc_intermediate", None, False, args.size)}, x, 3)
        report("rgc_intermediate", results["rgc_intermediate"])
    write(args, ("batch", "size", "rounds", "threads"), here, results)


if __name__ == "__main__":
    main()
