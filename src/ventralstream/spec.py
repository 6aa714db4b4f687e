"""Networks as data: areas, the connections between them, and what can be known from the graph alone."""

from __future__ import annotations

import graphlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from ventralstream.budget import check_copies, check_steps
from ventralstream.errors import VentralError, unknown
from ventralstream.jsonable import Spec, from_json, parse_json, tagged
from ventralstream.layers.specs import Layer, Shape
from ventralstream.presentation import Constant, Presentation
from ventralstream.readout import Last, Readout
from ventralstream.shapes import Shapes, drive_inputs, feedback_inputs, infer_shapes, takes_feedback
from ventralstream.values import Channels, Count, Natural, Pixels, Positive, Real, Spread, Within, shown

if TYPE_CHECKING:
    from ventralstream.cells.base import Cell

__all__ = [
    "CONSTANT",
    "IMAGE",
    "Area",
    "CellSpec",
    "Connection",
    "NetworkSpec",
    "Shapes",
    "drive_inputs",
    "feedback_inputs",
    "rename_areas",
    "spec_from_json",
    "takes_feedback",
]

IMAGE = "image"  # the source whose output is the frame shown at each step
CONSTANT, LAST = Constant(), Last()
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True)
class CellSpec(Spec):
    """Base of the cells' options (one file each in `ventralstream.cells`)."""

    def output_shape(self, shape: Shape) -> Shape:
        """The shape of the cell's output, for what the drive's layers give it.

        Raises:
            VentralError: the cell cannot be applied to that shape (`layers.specs.spatial` is for those that need maps).
        """
        return shape

    def build(self, shape: Shape, raw_shape: Shape, feedback_channels: int) -> Cell:
        """Builds the cell's module.

        Args:
            shape: What the area's drive layers give, for the nominal input size.
            raw_shape: The area's own input, before those layers.
            feedback_channels: Channels of the feedback that enters the cell by its own path; 0 if there is none.
        """
        raise NotImplementedError

    @property
    def sets_channels(self) -> bool:
        """Whether the number of output channels does not depend on the number of input channels."""
        return False

    @property
    def remembers(self) -> bool:
        """Whether the cell's output can depend on its state."""
        return True

    @property
    def adds_raw(self) -> bool:
        """Whether the cell adds the area's own input to what the drive's layers give: their sizes must agree then."""
        return False

    @property
    def copies(self) -> int:
        """Sets of parameters that the cell has one of for each of its first steps; 1 if all steps share one."""
        return 1

    @property
    def feedback_entry(self) -> Literal["none", "drive", "update"]:
        """Where feedback enters the cell by its own path.

        "none": the cell takes none, and feedback is combined with the other inputs before the drive's layers;
        "drive" and "update": the method of the cell that receives it.
        """
        return "none"


@tagged("area")
@dataclass(frozen=True)
class Area(Spec):
    """One area: combine the inputs, `drive` layers, `cell` (local recurrence), `output` layers.

    Attributes:
        name: Its name; nothing depends on the spelling.
        drive: Layers between the combined input and the cell.
        cell: The cell, None for a feedforward area.
        output: Layers after the cell (activation, pooling); what other areas read.
        combine: How several inputs become one: "concat" of channels in the order in which the connections are
            declared, "add" or "multiply".
        window: The steps (start, stop) at which the area is active; stop None is for ever. Before it the area does
            not exist, after it holds its last output (our choice). None: always active.
    """

    name: str
    drive: tuple[Layer, ...] = ()
    cell: CellSpec | None = None
    output: tuple[Layer, ...] = ()
    combine: Literal["concat", "add", "multiply"] = "concat"
    window: tuple[Natural, Count | None] | None = None

    def check(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name == IMAGE:
            raise VentralError(
                f"'{self.name}' cannot be an area's name: letters, digits and '_' only, and not '{IMAGE}'"
            )
        if self.window is not None:
            start, stop = self.window
            if stop is not None and stop <= start:
                raise VentralError(f"the window of area '{self.name}' is {self.window}; expected 0 <= start < stop")
        for layer in self.drive:
            if layer.reads_raw:
                raise VentralError(f"area '{self.name}' has '{layer.tag}' in its drive; it belongs to the output")

    @property
    def start(self) -> int:
        """The first active step."""
        return self.window[0] if self.window else 0

    @property
    def stop(self) -> int | None:
        """The step after the last active one; None if there is none."""
        return self.window[1] if self.window else None

    def exists(self, step: int) -> bool:
        """Whether the area has an output at `step` (active, or holding its last one)."""
        return step >= self.start

    def active(self, step: int) -> bool:
        """Whether the area computes at `step`."""
        return step >= self.start and (self.stop is None or step < self.stop)


@tagged("connection")
@dataclass(frozen=True)
class Connection(Spec):
    """What one area reads of another (or of the image).

    Attributes:
        source: Name of an area, or "image".
        target: Name of an area.
        kind: "feedforward", "skip", "lateral" (an area to itself) or "feedback".
        delay: Steps between the source's output and its arrival; 0 reads the source's output of the same step.
        layers: A transition applied to what is sent (the transition functions of Liao and Poggio 2016).
        residual: Adds what is sent to the transition's result (the "+I" of Liao and Poggio).
        per_step: n > 0 gives the layers weights of their own at each of the first n steps at which something arrives,
            the last ones beyond (the time-variant networks of Liao and Poggio); 0 has one set for all.
        shared: Connections with the same name here share the weights of their convolutions, one by one
            (sharing across states, Liao and Poggio); "" shares with none.
        arrives: The target's active steps (start, stop) in which it arrives, counted from its first one. (0, 1) is
            only in the first (CORnet-S; the homogeneous input of Liao and Poggio), (1, None) never in the first
            (CORnet-R).
        resize: How a map of another size is brought to the target's input size: "bilinear" with aligned corners
            (TensorFlow 1's: the ConvRNNs), "bilinear_half" (pixel centres aligned, as torch's default) or "nearest".
    """

    source: str
    target: str
    kind: Literal["feedforward", "skip", "lateral", "feedback"] = "feedforward"
    delay: Annotated[int, Within(0, 1000)] = 1  # a state carries as many outputs
    layers: tuple[Layer, ...] = ()
    residual: bool = False
    per_step: Natural = 0
    shared: str = ""
    arrives: tuple[Natural, Count | None] = (0, None)
    resize: Literal["bilinear", "bilinear_half", "nearest"] = "bilinear"

    def check(self) -> None:
        start, stop = self.arrives
        if stop is not None and stop <= start:
            raise VentralError(f"connection {self} arrives in {self.arrives}; expected 0 <= start < stop")
        if not self.layers and (self.per_step or self.shared):
            raise VentralError(f"connection {self} needs layers for per_step or shared")
        for layer in self.layers:
            if layer.reads_raw:
                raise VentralError(f"connection {self} has '{layer.tag}' among its layers; use residual=True")
        if (self.kind == "lateral") != (self.source == self.target):
            raise VentralError(f"connection {self} is '{self.kind}'; 'lateral' is for an area to itself")

    def arrives_at(self, count: int) -> bool:
        """Whether it arrives in the target's active step `count`."""
        start, stop = self.arrives
        return count >= start and (stop is None or count < stop)

    def __str__(self) -> str:
        return f"{self.source} -> {self.target}"


@tagged("network")
@dataclass(frozen=True)
class NetworkSpec(Spec):
    """A graph of areas and how it is run by default.

    Attributes:
        name: The model's name.
        areas: The areas; the order is the order of the parameters, nothing else.
        connections: The connections; their order is the order in which inputs are combined.
        readout_area: The area whose output [B, K] is the logits.
        input_shape: Nominal input (channels, height, width). Any size works at run time, unless a cell has
            parameters of the map's size (LSTM peepholes).
        steps: Steps to run by default.
        presentation: What is shown by default.
        readout: The default readout.
        before_start: What an area reads where its source has no output yet: "zeros" pass through the operation
            (Nayebi et al. 2018), "silent" contributes nothing (Kubilius, Schrimpf et al. 2019).
        dt_ms: Milliseconds per step.
        init: How weights start; see `ventralstream.layers.init`.
        mean, std: Normalisation of images in [0, 1], per channel, done before the network.
    """

    name: str
    areas: tuple[Area, ...]
    connections: tuple[Connection, ...]
    readout_area: str
    input_shape: tuple[Channels, Pixels, Pixels] = (3, 224, 224)
    steps: Count = 16
    presentation: Presentation = CONSTANT
    readout: Readout = LAST
    before_start: Literal["zeros", "silent"] = "zeros"
    dt_ms: Positive = 10.0
    init: Literal["torch", "convrnn", "cornet_s", "xavier", "he", "he_out", "identity"] = "torch"
    mean: tuple[Real, ...] = (0.485, 0.456, 0.406)
    std: tuple[Spread, ...] = (0.229, 0.224, 0.225)

    def check(self) -> None:
        check_steps(self.steps, len(self.areas))
        check_copies(self.name, self._copies())
        if not len(self.mean) == len(self.std) == self.input_shape[0]:
            raise VentralError(f"network '{self.name}' needs one mean and one std per input channel")
        names = [a.name for a in self.areas]
        for name in names:
            if names.count(name) > 1:
                raise VentralError(f"network '{self.name}' has two areas named '{name}'")
        seen = set()
        for c in self.connections:
            if c.source not in (IMAGE, *names):
                raise unknown("area", c.source, names, f" as source of connection {c}")
            if c.target not in names:
                raise unknown("area", c.target, names, f" as target of connection {c}")
            if (c.source, c.target, c.kind, c.delay) in seen:
                raise VentralError(f"the {c.kind} connection {c} with delay {c.delay} is there twice")
            seen.add((c.source, c.target, c.kind, c.delay))
        if self.readout_area not in names:
            raise unknown("area", self.readout_area, names, " as readout_area")
        self.order()
        self._check_reachable()
        logits = self.shapes().output[self.readout_area]
        if len(logits) != 1:
            raise VentralError(
                f"the readout area '{self.readout_area}' puts out {logits}; expected a vector (a 'global_pool')"
            )

    def area(self, name: str) -> Area:
        """The area of that name; VentralError with the nearest name if there is none."""
        for area in self.areas:
            if area.name == name:
                return area
        raise unknown("area", name, [a.name for a in self.areas], f" of model '{self.name}'")

    def inputs(self, name: str) -> tuple[tuple[int, Connection], ...]:
        """The connections into an area with their positions, in declared order."""
        return tuple((i, c) for i, c in enumerate(self.connections) if c.target == name)

    def order(self) -> tuple[str, ...]:
        """The areas in the order in which one step computes them; VentralError on a cycle of zero delay."""
        graph: dict[str, list[str]] = {a.name: [] for a in self.areas}
        for c in self.connections:
            if c.delay == 0 and c.source != IMAGE:
                graph[c.target].append(c.source)
        try:
            return tuple(graphlib.TopologicalSorter(graph).static_order())
        except graphlib.CycleError as error:
            raise VentralError(
                f"a cycle of zero delay cannot be computed: {' -> '.join(reversed(error.args[1]))};"
                " give one of its connections a delay of 1"
            ) from None

    def first_arrival(self, c: Connection) -> int:
        """The first step at which something arrives through a connection; its transition counts steps from there."""
        first = self.area(c.target).start + c.arrives[0]
        if self.before_start == "zeros":
            return first
        return max(first, c.delay + (0 if c.source == IMAGE else self.area(c.source).start))

    def history(self, source: str) -> int:
        """How many past outputs of `source` (an area or "image") a state has to carry."""
        delays = [c.delay for c in self.connections if c.source == source]
        holds = source != IMAGE and self.area(source).stop is not None
        return max([*delays, 1 if holds else 0], default=0)

    def _copies(self) -> int:
        """Sets of parameters that layers and cells with one for each step come to."""
        counts = [sum(layer.copies for layer in (*area.drive, *area.output)) for area in self.areas]
        counts += [area.cell.copies for area in self.areas if area.cell is not None]
        counts += [max(c.per_step, 1) * sum(layer.copies for layer in c.layers) for c in self.connections]
        return sum(counts)

    def _check_reachable(self) -> None:
        reached = {IMAGE}
        while True:
            more = {c.target for c in self.connections if c.source in reached} - reached
            if not more:
                break
            reached |= more
        for area in self.areas:
            if area.name not in reached:
                raise VentralError(
                    f"area '{area.name}' cannot be reached from the image; connect it to an area that can"
                )

    def shapes(self, size: tuple[int, int] | None = None) -> Shapes:
        """Every area's shapes for an input of (height, width); the nominal input by default."""
        return infer_shapes(self, {IMAGE: (self.input_shape[0], *size) if size else self.input_shape})

    def to_text(self) -> str:
        """The spec as JSON text, readable by people."""
        return json.dumps(self.to_json(), indent=1)


def spec_from_json(data: Any) -> NetworkSpec:
    """Rebuilds a network spec from `NetworkSpec.to_json()` (or that as text); exact.

    Raises:
        VentralError: if it is not one, naming the culprit and the nearest valid name.
    """

    spec = from_json(parse_json(data, "the network spec") if isinstance(data, str) else data)
    if not isinstance(spec, NetworkSpec):
        found = f"a '{spec.tag}'" if isinstance(spec, Spec) else shown(spec)
        raise VentralError(f"expected a spec of type 'network'; found {found}")
    return spec


def rename_areas(spec: NetworkSpec, names: dict[str, str]) -> NetworkSpec:
    """The same network with other area names; no number changes."""
    return spec.replace(
        areas=tuple(a.replace(name=names.get(a.name, a.name)) for a in spec.areas),
        connections=tuple(
            c.replace(source=names.get(c.source, c.source), target=names.get(c.target, c.target))
            for c in spec.connections
        ),
        readout_area=names.get(spec.readout_area, spec.readout_area),
    )
