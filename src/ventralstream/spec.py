"""Networks as data: areas, the connections between them, and what can be known from the graph alone."""

from __future__ import annotations

import graphlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ventralstream.errors import VentralError, unknown
from ventralstream.jsonable import Spec, from_json, tagged
from ventralstream.layers.specs import Layer, Shape, sequence_shape
from ventralstream.presentation import Constant, Presentation
from ventralstream.readout import Last, Readout

if TYPE_CHECKING:
    from ventralstream.cells.base import Cell

IMAGE = "image"  # the source whose output is the frame shown at each step
CONSTANT, LAST = Constant(), Last()
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True)
class CellSpec(Spec):
    """Base of the cells' options (one file each in `ventralstream.cells`)."""

    def output_shape(self, shape: Shape) -> Shape:
        """The shape of the cell's output, for what the drive's layers give it."""
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
    window: tuple[int, int | None] | None = None

    def check(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name == IMAGE:
            raise VentralError(
                f"'{self.name}' cannot be an area's name: letters, digits and '_' only, and not '{IMAGE}'"
            )
        if self.window is not None:
            start, stop = self.window
            if start < 0 or (stop is not None and stop <= start):
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
        layers: A transition applied to what is sent (paper C's transition functions).
        residual: Adds what is sent to the transition's result (paper C's "+I").
        per_step: n > 0 gives the layers weights of their own at each of the first n steps at which something arrives,
            the last ones beyond (paper C's time-variant networks); 0 has one set for all.
        shared: Connections with the same name here share the weights of their convolutions, one by one (paper C's
            sharing across states); "" shares with none.
        arrives: The target's active steps (start, stop) in which it arrives, counted from its first one. (0, 1) is
            only in the first (CORnet-S; paper C's homogeneous input), (1, None) never in the first (CORnet-R).
        resize: How a map of another size is brought to the target's input size: "bilinear" with aligned corners
            (TensorFlow 1's, paper A), "bilinear_half" (pixel centres aligned, as torch's default) or "nearest".
    """

    source: str
    target: str
    kind: Literal["feedforward", "skip", "lateral", "feedback"] = "feedforward"
    delay: int = 1
    layers: tuple[Layer, ...] = ()
    residual: bool = False
    per_step: int = 0
    shared: str = ""
    arrives: tuple[int, int | None] = (0, None)
    resize: Literal["bilinear", "bilinear_half", "nearest"] = "bilinear"

    def check(self) -> None:
        if self.delay < 0:
            raise VentralError(f"the delay of connection {self} is {self.delay}; expected 0 or more")
        start, stop = self.arrives
        if start < 0 or (stop is not None and stop <= start):
            raise VentralError(f"connection {self} arrives in {self.arrives}; expected 0 <= start < stop")
        if self.per_step < 0 or (not self.layers and (self.per_step or self.shared)):
            raise VentralError(f"connection {self} needs layers for per_step or shared, and per_step >= 0")
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
            (paper A), "silent" contributes nothing (paper B).
        dt_ms: Milliseconds per step.
        init: How weights start; see `ventralstream.layers.init`.
        mean, std: Normalisation of images in [0, 1], per channel, done before the network.
    """

    name: str
    areas: tuple[Area, ...]
    connections: tuple[Connection, ...]
    readout_area: str
    input_shape: tuple[int, int, int] = (3, 224, 224)
    steps: int = 16
    presentation: Presentation = CONSTANT
    readout: Readout = LAST
    before_start: Literal["zeros", "silent"] = "zeros"
    dt_ms: float = 10.0
    init: Literal["torch", "convrnn", "cornet_s", "xavier", "he", "he_out"] = "torch"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    def check(self) -> None:
        if self.steps < 1:
            raise VentralError(f"network '{self.name}' needs steps >= 1; got {self.steps}")
        if self.dt_ms <= 0 or min(self.input_shape) < 1:
            raise VentralError(f"network '{self.name}' needs dt_ms > 0 and a positive input_shape")
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
        return infer_shapes(self, (self.input_shape[0], *size) if size else self.input_shape)

    def to_text(self) -> str:
        """The spec as JSON text, readable by people."""
        return json.dumps(self.to_json(), indent=1)


def spec_from_json(data: Any) -> NetworkSpec:
    """Rebuilds a network spec from `NetworkSpec.to_json()` (or that as text); exact.

    Raises:
        VentralError: if it is not one, naming the culprit and the nearest valid name.
    """

    if isinstance(data, str):
        try:
            data = json.loads(data)
        except json.JSONDecodeError as error:
            raise VentralError(f"the network spec is not valid JSON: {error}") from None
    spec = from_json(data)
    if not isinstance(spec, NetworkSpec):
        raise VentralError(f"expected a spec of type 'network'; found {type(spec).__name__}")
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


@dataclass(frozen=True)
class Shapes:
    """Shapes of every area for one input size.

    Attributes:
        combined: The area's inputs, resized and combined.
        drive: After the drive's layers: what the cell gets.
        output: What other areas read; also of "image".
        arriving: Per connection, the shape after its layers, before resizing.
    """

    combined: dict[str, Shape]
    drive: dict[str, Shape]
    output: dict[str, Shape]
    arriving: dict[int, Shape]


def drive_inputs(spec: NetworkSpec, name: str) -> tuple[tuple[int, Connection], ...]:
    """The connections that are combined before the area's drive layers."""
    separate = takes_feedback(spec.area(name))
    return tuple((i, c) for i, c in spec.inputs(name) if not (separate and c.kind == "feedback"))


def feedback_inputs(spec: NetworkSpec, name: str) -> tuple[tuple[int, Connection], ...]:
    """The feedback connections that enter the area's cell by their own path."""
    return tuple((i, c) for i, c in spec.inputs(name) if takes_feedback(spec.area(name)) and c.kind == "feedback")


def takes_feedback(area: Area) -> bool:
    """Whether the area's cell has its own path for feedback."""
    return area.cell is not None and area.cell.feedback_entry != "none"


def infer_shapes(spec: NetworkSpec, input_shape: Shape) -> Shapes:
    """Computes every shape from the input's.

    The size of an area's input is that of its first feedforward connection (the first declared one if there is
    none); other inputs are resized to it.

    Raises:
        VentralError: where a shape is impossible, naming the area or the connection.
    """
    output: dict[str, Shape] = {IMAGE: input_shape}
    waiting = [a.name for a in spec.areas]
    while waiting:  # an area's output needs only its reference input, if one of its layers sets the channels
        ready = [n for n in waiting if _output_from_reference(spec, n, output) is not None]
        if not ready:
            raise VentralError(
                f"the shape of area '{waiting[0]}' depends on itself; give one of {', '.join(waiting)}"
                " a convolution, or a feedforward connection from outside the loop"
            )
        for name in ready:
            shape = _output_from_reference(spec, name, output)
            assert shape is not None
            output[name] = shape
            waiting.remove(name)
    arriving = {}
    for i, c in enumerate(spec.connections):
        arriving[i] = _arriving(c, output[c.source])
    combined, drive = {}, {}
    for area in spec.areas:
        sources = drive_inputs(spec, area.name)
        size = arriving[_reference(spec, area.name)[0]][1:]
        channels = [arriving[i][0] for i, _ in sources]
        for i, c in spec.inputs(area.name):
            if len(arriving[i]) != len(size) + 1:
                raise VentralError(f"connection {c} brings {arriving[i]} to a target of size {size}")
        if area.combine != "concat" and len(set(channels)) > 1:
            raise VentralError(
                f"area '{area.name}' combines its inputs by '{area.combine}', but they have {channels} channels"
            )
        total = sum(channels) if area.combine == "concat" else channels[0]
        combined[area.name] = (total, *size)
        drive[area.name] = _checked(area.name, area.drive, combined[area.name])
        checked = _through_cell_and_output(area, drive[area.name])
        if checked != output[area.name]:
            raise VentralError(f"the shape of area '{area.name}' depends on itself: {checked}")
    return Shapes(combined, drive, output, arriving)


def _reference(spec: NetworkSpec, name: str) -> tuple[int, Connection]:
    inputs = drive_inputs(spec, name)
    if not inputs:
        raise VentralError(f"area '{name}' has no input besides feedback")
    return next(((i, c) for i, c in inputs if c.kind == "feedforward"), inputs[0])


def _output_from_reference(spec: NetworkSpec, name: str, known: dict[str, Shape]) -> Shape | None:
    area = spec.area(name)
    _, reference = _reference(spec, name)
    if reference.source not in known:
        return None
    first = _arriving(reference, known[reference.source])
    fixed = any(layer.sets_channels for layer in area.drive) or (area.cell and area.cell.sets_channels)
    if area.combine == "concat" and not fixed:
        inputs = [c for _, c in drive_inputs(spec, name)]
        shapes = []
        for c in inputs:
            channels = _channels(c, known)
            if channels is None:
                return None
            shapes.append(channels)
        first = (sum(shapes), *first[1:])
    drive = _checked(name, _without_channel_checks(area.drive) if fixed else area.drive, first)
    return _through_cell_and_output(area, drive)


def _without_channel_checks(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    first = next((i for i, layer in enumerate(layers) if layer.sets_channels), 0)
    return tuple(layer for i, layer in enumerate(layers) if i >= first or layer.tag != "norm")


def _channels(connection: Connection, known: dict[str, Shape]) -> int | None:
    if connection.source in known:
        return _arriving(connection, known[connection.source])[0]
    return None


def _arriving(connection: Connection, shape: Shape) -> Shape:
    result = _checked(f"connection {connection}", connection.layers, shape)
    if connection.residual and result != shape:
        raise VentralError(f"connection {connection} is residual, but turns {shape} into {result}")
    return result


def _through_cell_and_output(area: Area, drive: Shape) -> Shape:
    shape = area.cell.output_shape(drive) if area.cell else drive
    return _checked(area.name, area.output, shape)


def _checked(where: str, layers: tuple[Layer, ...], shape: Shape) -> Shape:
    try:
        return sequence_shape(layers, shape)
    except VentralError as error:
        raise VentralError(f"{where}: {error}") from None
