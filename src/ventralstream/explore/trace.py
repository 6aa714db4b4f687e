"""A trace: what a network does with images in time, as a header of plain numbers and one block of uint8 maps.

The page and the live server read nothing else of a network.
"""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ventralstream.arguments import misfit
from ventralstream.cost import decision_flops
from ventralstream.errors import VentralError
from ventralstream.evaluation import evaluating
from ventralstream.explore import cuts, graph, stimuli
from ventralstream.explore.block import Block, numbers
from ventralstream.explore.measures import change_of, picture_of, small, sparseness
from ventralstream.network import Network
from ventralstream.output import Output
from ventralstream.presentation import Presentation
from ventralstream.program import Program
from ventralstream.readout import PerStep, Threshold
from ventralstream.record import Record
from ventralstream.spec import IMAGE, NetworkSpec
from ventralstream.stimulus import Stimulus
from ventralstream.timing import remembers

Floats = NDArray[np.float32]
FORMAT = 1
MOST_BYTES = 3_000_000  # of a block: with its header, as base64, a page of two traces stays below 5 MB when compressed
MOST_STEPS = 200
LEAST_CHANNELS, MOST_CHANNELS = 8, 32  # of an area's maps that are kept
MOST_CLASSES = 12  # whose probabilities are kept for each image
THRESHOLD = 0.9  # confidence at which an image counts as decided


@dataclass(frozen=True, eq=False)
class Trace:
    """What a network did.

    Attributes:
        header: Plain numbers, lists and text, and the places of arrays in the block (docs/how-to/explore.md).
        block: The arrays, uint8, one after the other.
    """

    header: dict[str, Any]
    block: bytes

    def packed(self) -> bytes:
        """The trace as a file: one line of JSON, then the block, compressed with gzip."""
        return json.dumps(self.header, separators=(",", ":")).encode() + b"\n" + gzip.compress(self.block, 6, mtime=0)

    @classmethod
    def unpack(cls, data: bytes) -> Trace:
        """The inverse of `packed`.

        Raises:
            VentralError: the bytes are no trace.
        """
        line, _, rest = data.partition(b"\n")
        try:
            header = json.loads(line)
            block = gzip.decompress(rest)
        except (ValueError, OSError, EOFError) as error:
            raise VentralError(f"these bytes are no trace: {error}") from None
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise VentralError(f"these bytes are no trace of format {FORMAT}")
        return cls(header, block)

    def array(self, place: Mapping[str, Any]) -> NDArray[np.uint8]:
        """The levels of an array, by its place in the header."""
        size = math.prod(place["shape"])
        return np.frombuffer(self.block, np.uint8, size, place["at"]).reshape(place["shape"])


@torch.no_grad()
def trace(
    network: Network,
    stimulus: Stimulus,
    steps: int | None = None,
    *,
    presentation: Presentation | None = None,
    name: str = "",
    weights: str = "",
    names: Sequence[str] = (),
    truths: Sequence[str] = (),
    class_names: Sequence[str] = (),
    most_bytes: int = MOST_BYTES,
    on_image: Callable[[int], None] = lambda done: None,
) -> Trace:
    """Runs a network on images and keeps what there is to be seen.

    Maps are averaged down to 28 pixels at most, and of each area those channels are kept that vary most over time, so
    many that the block stays below `most_bytes`. All other numbers are of whole maps and all channels.

    Args:
        network: The network; it is run in evaluation mode.
        stimulus: Normalised images [B, C, H, W], or {"image": images, "mask": masks}; see `Network`.
        steps: How many steps; as for the network's call.
        presentation: What is shown when; the network's own by default.
        name: What to call the network; its spec's name by default.
        weights: Where its weights are from, in words.
        names: What to call the images; their numbers by default.
        truths: What they show, in the words of `class_names`; "" where that is not known.
        class_names: The classes in the order of the logits.
        most_bytes: The most that the maps may take.
        on_image: Called with the number of images done.

    Raises:
        VentralError: for what cannot be run, a movie, or more than 200 steps.
    """
    spec = network.spec
    presentation = presentation or spec.presentation
    steps = network.count_steps(steps, presentation)
    if presentation.is_movie:
        raise VentralError("a trace is of images; a movie has no image to choose")
    if steps > MOST_STEPS:
        raise VentralError(f"{steps} steps are too many to be looked at; a trace has at most {MOST_STEPS}")
    shown = dict(stimulus) if isinstance(stimulus, Mapping) else {IMAGE: stimulus}
    images = shown.get(IMAGE)
    if not isinstance(images, Tensor) or images.dim() != 4 or not len(images):
        raise misfit("the stimulus", images, "a tensor of normalised images [B, C, H, W]")
    with evaluating(network):
        program = graph.all_outputs(network, steps, presentation)
        gathered = [_Seen(area.name, steps) for area in spec.areas if any(map(area.exists, range(steps)))]
        logits = []
        for i in range(len(images)):
            one: Any = {key: x[i : i + 1] for key, x in shown.items()}
            record = [Record([s.area for s in gathered])]
            start = spec.area(spec.readout_area).start
            out = network(one, steps, presentation=presentation, readout=PerStep(start=start), record=record)
            logits.append(out.logits[0].float())
            for seen in gathered:
                seen.add(out)
            on_image(i + 1)
    block = Block()
    header = {
        "format": FORMAT,
        "name": name or spec.name,
        "weights": weights,
        "dt_ms": spec.dt_ms,
        "steps": steps,
        "segments": stimuli.segments(spec, presentation, steps),
        "images": stimuli.pictures(block, spec, shown, names, truths),
        "connections": [
            entry | {"cut": cuts.is_cut(c)}
            for entry, c in zip(graph.connections(program, spec, steps), spec.connections, strict=True)
        ],
        "answer": _answer(spec, program, torch.stack(logits), class_names, steps),
        "cost": _cost(network, steps, presentation),
    }
    header["areas"] = _areas(block, network, program, gathered, steps, most_bytes - block.size)
    return Trace(header, block.bytes())


class _Seen:
    """What is kept of an area while images pass: [image, step, ...]; NaN where the area does not exist yet."""

    def __init__(self, area: str, steps: int) -> None:
        self.area, self.steps = area, steps
        self.means: list[Floats] = []
        self.changes: list[Floats] = []
        self.maps: list[NDArray[np.float16]] = []
        self.pictures: list[Floats] = []
        self.shape: tuple[int, ...] = ()

    def add(self, out: Output) -> None:
        """Takes what was recorded of one image."""
        recording = out[self.area]
        values = recording.values[0].float()  # [T', C, H, W] or [T', C]
        self.shape = tuple(values.shape[1:])
        change = F.pad(change_of(values.flatten(1)), (1, 0), value=float("nan"))
        maps = values[:, :, None, None] if values.dim() == 2 else values
        reduced = small(maps)
        self.means.append(self._at(recording.steps, maps.mean((2, 3))))
        self.changes.append(self._at(recording.steps, change))
        self.pictures.append(self._at(recording.steps, picture_of(reduced)))
        most = float(np.finfo(np.float16).max)
        self.maps.append(self._at(recording.steps, reduced).clip(-most, most).astype(np.float16))

    def _at(self, steps: Sequence[int], values: Tensor) -> Floats:
        full = np.full((self.steps, *values.shape[1:]), np.nan, np.float32)
        full[list(steps)] = values.cpu().numpy()
        return full


def _areas(
    block: Block, network: Network, program: Program, gathered: Sequence[_Seen], steps: int, most_bytes: int
) -> list[dict[str, Any]]:
    spec, shapes = network.spec, network.spec.shapes()
    fates = _last_answer(network, program, steps)
    seen = {s.area: s for s in gathered}
    places = graph.places(spec)
    found = []
    for area in spec.areas:
        cell = network.areas[area.name].cell
        entry: dict[str, Any] = {
            "name": area.name,
            "shape": list(seen[area.name].shape if area.name in seen else shapes.output[area.name]),
            "place": places[area.name],
            "cell": area.cell.tag if area.cell is not None and remembers(area) else "",
            "cell_cut": cell is not None and cuts.is_forgetful(cell),
            "first_step": network.first_steps[area.name],
            "fates": fates[area.name],
            **graph.area_times(program, area.name, steps),
        }
        if area.name in seen:
            entry |= _activity(block, seen[area.name])
        found.append(entry)
    room = most_bytes - block.size
    each = {s.area: np.stack(s.maps) for s in gathered if len(s.shape) == 3 and s.shape[1:] != (1, 1)}
    per_channel = {name: maps[:, :, 0].size for name, maps in each.items()}
    most = int(np.clip(room / max(1, sum(per_channel.values())), 1, MOST_CHANNELS))
    while most > 1 and sum(size * min(most, each[n].shape[2]) for n, size in per_channel.items()) > room:
        most -= 1
    for entry in found:
        if entry["name"] in each:
            entry["maps"] = _maps(block, each[entry["name"]], entry["variance"], most, room, per_channel)
    return found


def _activity(block: Block, seen: _Seen) -> dict[str, Any]:
    """The numbers of an area that are of all its channels."""
    channels = np.stack(seen.means)  # [I, T, C]
    varies = np.stack(seen.maps).astype(np.float32)
    with np.errstate(invalid="ignore"):
        variance = np.nanmean(np.nanvar(varies, axis=1), axis=(0, 2, 3))
    return {
        "mean": numbers(channels.mean(2)),
        "change": numbers(np.stack(seen.changes)),
        "channels": block.add_scaled(channels, axis=2),
        "picture": block.add_scaled(np.stack(seen.pictures)),
        "variance": numbers(variance),
        "selectivity": numbers(sparseness(channels)),
    }


def _maps(
    block: Block, maps: NDArray[np.float16], variance: Sequence[float], most: int, room: int, sizes: Mapping[str, int]
) -> dict[str, Any]:
    """The maps of the channels that vary most, [image, step, channel, height, width]; smaller where room is scarce."""
    order = np.argsort(-np.array([v or 0.0 for v in variance]), kind="stable")
    kept = np.sort(order[: min(most, len(order))])
    chosen = maps[:, :, kept].astype(np.float32)
    needed = sum(sizes.values()) * min(LEAST_CHANNELS, most)
    if needed > room:  # so many images or steps that not even a few channels have room
        factor = math.sqrt(max(room, 1) / needed)
        side = (max(1, int(chosen.shape[-2] * factor)), max(1, int(chosen.shape[-1] * factor)))
        flat = torch.from_numpy(np.nan_to_num(chosen)).flatten(0, 2)[:, None]
        chosen = F.adaptive_avg_pool2d(flat, side).view(*chosen.shape[:3], *side).numpy()
    return block.add_scaled(chosen, axis=2) | {"kept": kept.tolist()}


def _answer(
    spec: NetworkSpec, program: Program, logits: Tensor, class_names: Sequence[str], steps: int
) -> dict[str, Any]:
    """The answers: of each image the probabilities of those classes that are ever likely, and when it was decided."""
    count = logits.shape[2]
    if len(class_names) not in (0, count):
        raise VentralError(f"'{spec.name}' has {count} classes; got {len(class_names)} names")
    start = spec.area(spec.readout_area).start
    driven = graph.area_times(program, spec.readout_area, steps)["driven"]
    first = driven.index(1) if 1 in driven else None
    p = logits.softmax(-1)
    strongest = p.amax(1).argsort(dim=-1, descending=True, stable=True)[:, :MOST_CLASSES].sort(-1).values
    answer: dict[str, Any] = {
        "area": spec.readout_area,
        "classes": list(class_names) or [f"class {k}" for k in range(count)],
        "start": start,
        "first_step": first,
        "kept": strongest.tolist(),
        "probabilities": numbers(p.gather(2, strongest[:, None].expand(-1, p.shape[1], -1)).double().tolist()),
        "top": p.argmax(-1).tolist(),
        "confidence": numbers(p.amax(-1).double().tolist()),
        "threshold": THRESHOLD,
    }
    if first is not None:
        seen = logits[:, first - start :]
        answer["decided"] = [first + int(i) for i in Threshold(threshold=THRESHOLD).choose(seen)]
        answer["confident"] = (seen.softmax(-1).amax(-1) >= THRESHOLD).any(1).int().tolist()
    return answer


def _last_answer(network: Network, program: Program, steps: int) -> dict[str, list[str]]:
    """What the planner makes of each area at each step, if only the answer of the last step is asked for."""
    spec = network.spec
    wanted = frozenset({(spec.readout_area, steps - 1)})
    asked = type(program.request)(0, steps, program.request.presentation, wanted)
    fates = network.plan(asked).fates
    return {a.name: [fates[a.name, t] for t in range(steps)] for a in spec.areas}


def _cost(network: Network, steps: int, presentation: Presentation) -> dict[str, Any]:
    """Parameters and FLOPs; the latter are counted from the spec, so not where cells are cut."""
    parameters = sum(p.numel() for p in network.parameters())
    cells = (network.areas[a.name].cell for a in network.spec.areas)
    if any(cell is not None and cuts.is_forgetful(cell) for cell in cells):
        return {"parameters": parameters}
    planned, naive = decision_flops(network.spec, steps, presentation)
    return {"parameters": parameters, "flops": planned, "flops_naive": naive}
