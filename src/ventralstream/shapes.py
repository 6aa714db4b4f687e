"""The shape of every map of a network, for one size of its input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ventralstream.budget import check_map
from ventralstream.errors import VentralError
from ventralstream.layers.specs import AddInput, Layer, Norm, Shape

if TYPE_CHECKING:
    from ventralstream.spec import Area, Connection, NetworkSpec


@dataclass(frozen=True)
class Shapes:
    """Shapes of every area for one input size.

    Attributes:
        combined: The area's inputs, resized and combined.
        drive: After the drive's layers: what the cell gets, and the size to which its feedback is brought.
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


def infer_shapes(spec: NetworkSpec, sources: dict[str, Shape]) -> Shapes:
    """Computes every shape from the input's.

    The size of an area's input is that of its first feedforward connection (the first declared one if there is
    none); other inputs are resized to it.

    Args:
        spec: The network.
        sources: The shape of what no area puts out: of the image.

    Raises:
        VentralError: where a shape is impossible, naming the area or the connection.
    """
    for source, shape in sources.items():
        check_map(source, shape)
    output = dict(sources)
    waiting = [a.name for a in spec.areas]
    while waiting:  # an area's output needs only its reference input, if one of its layers sets the channels
        ready = [n for n in waiting if _output_from_reference(spec, n, output) is not None]
        if not ready:
            raise VentralError(
                f"the shape of area '{waiting[0]}' depends on itself; give one of {', '.join(waiting)}"
                " a convolution, or a feedforward connection from outside the loop"
            )
        for name in ready:
            found = _output_from_reference(spec, name, output)
            assert found is not None
            output[name] = found
            waiting.remove(name)
    arriving = {i: _arriving(c, output[c.source]) for i, c in enumerate(spec.connections)}
    combined, drive = {}, {}
    for area in spec.areas:
        raw = combined[area.name] = _combined(spec, area, arriving)
        driven = drive[area.name] = _through(f"area '{area.name}'", area.drive, raw)
        for i, c in feedback_inputs(spec, area.name):
            _check_can_arrive(c, arriving[i], driven)
        if area.cell is not None and area.cell.adds_raw and driven[1:] != raw[1:]:
            raise VentralError(
                f"area '{area.name}': its cell '{area.cell.tag}' adds the area's input, of {raw}, to what the drive"
                f" gives, of {driven}; expected a drive that keeps the map's size"
            )
        shape = _through_cell_and_output(area, driven, raw)
        if shape != output[area.name]:
            raise VentralError(f"the shape of area '{area.name}' depends on itself: {shape}")
    return Shapes(combined, drive, output, arriving)


def _combined(spec: NetworkSpec, area: Area, arriving: dict[int, Shape]) -> Shape:
    reference = arriving[_reference(spec, area.name)[0]]
    inputs = drive_inputs(spec, area.name)
    for i, c in inputs:
        _check_can_arrive(c, arriving[i], reference)
    channels = [arriving[i][0] for i, _ in inputs]
    if area.combine != "concat" and len(set(channels)) > 1:
        raise VentralError(
            f"area '{area.name}' combines its inputs by '{area.combine}', but they have {channels} channels"
        )
    shape = (sum(channels) if area.combine == "concat" else channels[0], *reference[1:])
    check_map(f"area '{area.name}'", shape)
    return shape


def _check_can_arrive(c: Connection, arriving: Shape, target: Shape) -> None:
    if len(arriving) != len(target):
        raise VentralError(f"connection {c} brings {arriving} to a target of size {target[1:]}")


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
        channels = [_channels(c, known) for _, c in drive_inputs(spec, name)]
        if None in channels:
            return None
        first = (sum(n for n in channels if n is not None), *first[1:])
    layers = _without_channel_checks(area.drive) if fixed else area.drive
    return _through_cell_and_output(area, _through(f"area '{name}'", layers, first))


def _without_channel_checks(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """Without the normalisations before the channels are known: they change no shape, but look at the channels."""
    first = next((i for i, layer in enumerate(layers) if layer.sets_channels), len(layers))
    return tuple(layer for i, layer in enumerate(layers) if i >= first or not isinstance(layer, Norm))


def _channels(connection: Connection, known: dict[str, Shape]) -> int | None:
    if connection.source in known:
        return _arriving(connection, known[connection.source])[0]
    return None


def _arriving(connection: Connection, shape: Shape) -> Shape:
    result = _through(f"connection {connection}", connection.layers, shape)
    if connection.residual and result != shape:
        raise VentralError(f"connection {connection} is residual, but turns {shape} into {result}")
    return result


def _through_cell_and_output(area: Area, drive: Shape, raw: Shape | None = None) -> Shape:
    where, shape = f"area '{area.name}'", drive
    if area.cell is not None:
        try:
            shape = area.cell.output_shape(drive)
        except VentralError as error:
            raise VentralError(f"{where}: {error}") from None
    return _through(where, area.output, shape, raw)


def _through(where: str, layers: tuple[Layer, ...], shape: Shape, raw: Shape | None = None) -> Shape:
    """The shape after all `layers`; where `raw`, the area's own input, is given, it must fit what it is added to."""
    for layer in layers:
        try:
            shape = layer.output_shape(shape)
        except VentralError as error:
            raise VentralError(f"{where}: {error}") from None
        fits = raw is None or (raw[1:] == shape[1:] if len(shape) == 3 else raw == shape)
        if isinstance(layer, AddInput) and not fits:
            raise VentralError(
                f"{where}: 'add_input' cannot add the area's input, of {raw}, to {shape}; expected maps of one size"
            )
        check_map(where, shape)
    return shape
