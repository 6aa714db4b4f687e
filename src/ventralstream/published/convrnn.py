"""Weights of the published ConvRNNs: TensorFlow's names and layouts (docs/papers.md A.2-A.4, A.7).

Convolution kernels are [height, width, in, out] there, depthwise ones [height, width, in, 1], dense ones [in, out],
peepholes [height, width, channels]. A convolution of [input, state] is one kernel there and two here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, cast

from torch import Tensor, nn

from ventralstream.area import AreaModule
from ventralstream.cells.base import Cell
from ventralstream.cells.decay import DecayCell
from ventralstream.cells.gru import GRUCell
from ventralstream.cells.intersection import IntersectionRNNCell
from ventralstream.cells.lstm import LSTMCell
from ventralstream.cells.reciprocal import JointConv, ReciprocalCell
from ventralstream.cells.rnn import SimpleRNNCell
from ventralstream.cells.ugrnn import UGRNNCell
from ventralstream.errors import VentralError
from ventralstream.layers.conv import Conv2d
from ventralstream.layers.norm import StepNorm
from ventralstream.layers.residual import Residual
from ventralstream.network import Network
from ventralstream.published.slots import Slot, fill, slots_of
from ventralstream.readout import MaxConfidence, Threshold

ROOT = "tnn_model"


def load_convrnn(network: Network, variables: Mapping[str, Any]) -> None:
    """Loads the variables of a published ConvRNN into a network of that model.

    The areas are taken in their order, whatever they are called. Untrained time decays are loaded too. A readout's
    beta and threshold go into `network.spec`.

    Args:
        network: A network of a `_shallow` or `_intermediate` model.
        variables: TensorFlow names ("tnn_model/conv1/pre_0/bias") to arrays in TensorFlow's layout. Momentum slots
            and global_step are ignored by their names.

    Raises:
        VentralError: if a variable is missing, left over or misshapen (they are listed; nothing is loaded then), or
            the network is not one of the published ConvRNNs.
    """
    source = f"the checkpoint of '{network.spec.name}'"
    if not isinstance(variables, Mapping) or not all(isinstance(name, str) for name in variables):
        raise VentralError(f"{source} is no dict of arrays by TensorFlow's names")
    wanted = {n: v for n, v in variables.items() if n != "global_step" and not n.endswith("/Momentum")}
    readout: dict[str, float] = {}
    slots = slots_of(chain(_area_slots(network), _readout_slots(network, readout)), network, "a published ConvRNN")
    fill(slots, wanted, source)
    if readout:
        network.spec = network.spec.replace(readout=network.spec.readout.replace(**readout))


def _area_slots(network: Network) -> Iterator[Slot]:
    spec = network.spec
    *areas, last = spec.areas
    if last.name != spec.readout_area:
        raise VentralError(f"'{spec.name}' is not one of the published ConvRNNs: its last area is not the readout's")
    for i, area in enumerate(areas, 1):
        yield from _area(network.areas[area.name], f"{ROOT}/conv{i}", "pre_0/weights_basenet", "pre_0/bias")
    # the published decoders' layer is the second of its list after a convolution, the fourth after a flattening
    flat = any(isinstance(m, nn.Linear) for m in network.areas[last.name].modules())
    scope = "pre_3" if flat else "pre_1"
    yield from _area(network.areas[last.name], f"{ROOT}/imnetds", f"{scope}/weights", f"{scope}/bias")


def _area(area: AreaModule, scope: str, weight: str, bias: str) -> Iterator[Slot]:
    for layer in area.drive_layers.layers:
        if isinstance(layer, Conv2d):
            yield from _conv(layer, f"{scope}/{weight}", f"{scope}/{bias}")
        elif isinstance(layer, nn.Linear):
            yield Slot(f"{scope}/{weight}", tuple(layer.weight.shape[::-1]), _into(layer.weight, 1, 0))
            yield Slot(f"{scope}/{bias}", tuple(layer.bias.shape), _into(layer.bias))
    if area.cell is None:
        raise VentralError(f"area '{area.spec.name}' has no cell; every area of a published ConvRNN has one")
    yield from _cell(area.cell, scope)
    for layer in area.output_layers.layers:
        if isinstance(layer, Conv2d):
            yield from _conv(layer, f"{scope}/post_0/weights", f"{scope}/post_0/bias")
        elif isinstance(layer, Residual) and layer.project is not None:
            yield _kernel(f"{scope}/post_1/residual_add_weights", layer.project.weight)


def _cell(cell: Cell, scope: str) -> Iterator[Slot]:
    match cell:
        case DecayCell():
            yield Slot(f"{scope}/memory_decay", (1,), _into(cell.tau))
        case SimpleRNNCell():
            scope = f"{scope}/ConvNormBasicCell"
            yield from _conv(cell.from_state, f"{scope}/s/weights", f"{scope}/s/bias")
            yield from _conv(cell.from_input, f"{scope}/i/weights", f"{scope}/i/bias")
            if cell.norm is not None:
                yield from _norm(cell.norm.norms[0], f"{scope}/layer_norm")
        case GRUCell():
            scope, gates = f"{scope}/ConvGRUCell", 2 * cell.channels
            from_input = cell.from_input.conv
            yield _joint(f"{scope}/gates/weights", from_input.weight[:gates], cell.from_state.conv.weight)
            yield Slot(f"{scope}/gates/bias", (gates,), _into(_bias(from_input)[:gates]))
            yield _joint(f"{scope}/candidates/weights", from_input.weight[gates:], cell.candidate.conv.weight)
            yield Slot(f"{scope}/candidates/bias", (cell.channels,), _into(_bias(from_input)[gates:]))
        case UGRNNCell():
            yield from _gated(cell, f"{scope}/ConvUGRNNCell")
        case IntersectionRNNCell():
            yield from _gated(cell, f"{scope}/ConvIntersectionRNNCell")
        case LSTMCell():
            scope = f"{scope}/ConvLSTMCell"
            yield from _gated(cell, scope)
            for name, norm in cell.norms.items() if cell.norms is not None else ():
                yield from _norm(cast(StepNorm, norm).norms[0], f"{scope}/{name}")
            if cell.peepholes is not None:
                for i, gate in enumerate("ifo"):
                    channels, height, width = cell.peepholes.shape[1:]
                    write = _into(cell.peepholes[i], 2, 0, 1)
                    yield Slot(f"{scope}/peepholes/w_{gate}_diag", (height, width, channels), write)
        case ReciprocalCell():
            yield from _reciprocal(cell, f"{scope}/ReciprocalGateCell")
        case _:
            raise VentralError(f"no published ConvRNN has the cell '{type(cell).__name__}'")


def _gated(cell: UGRNNCell | IntersectionRNNCell | LSTMCell, scope: str) -> Iterator[Slot]:
    conv = cell.from_input.conv
    yield _joint(f"{scope}/weights", conv.weight, cell.from_state.conv.weight)
    yield Slot(f"{scope}/bias", tuple(_bias(conv).shape), _into(_bias(conv)))


def _reciprocal(cell: ReciprocalCell, scope: str) -> Iterator[Slot]:
    spec = cell.spec
    if spec.cell_to_out or spec.cell_residual or spec.layer_norm:
        raise VentralError("no published Reciprocal Gated Cell has cell_to_out, cell_residual or layer_norm")
    yield from _part(cell.from_cell, 0, f"{scope}/cell/tau")
    yield from _part(cell.from_out, 1, f"{scope}/cell/" + ("out_to_cell" if spec.gate_separable else "gate"))
    yield from _part(cell.from_out, 0, f"{scope}/out/tau")
    yield from _part(cell.from_cell, 1, f"{scope}/out/gate")
    # with a bias a kernel is filed as NAME_weights and NAME_bias, without one as NAME/weights
    for name, conv in (("cell/input_to_cell", cell.input_to_cell), ("out/input_to_out", cell.input_to_out)):
        if conv is not None:
            yield from _named_conv(conv, f"{scope}/{name}")
    if cell.residual_to_gate is not None:
        yield from _named_conv(cell.residual_to_gate, f"{scope}/out/residual_to_out_gate")
    if cell.residual_to_out is not None:
        yield _kernel(f"{scope}/out/residual_add_weights", cell.residual_to_out.conv.weight)
    if cell.feedback_conv is not None:
        yield from _named_conv(cell.feedback_conv, f"{scope}/out/feedback_to_out")


def _named_conv(conv: Conv2d, name: str) -> Iterator[Slot]:
    if conv.spec.bias:
        yield from _conv(conv, f"{name}_weights", f"{name}_bias")
    else:
        yield from _conv(conv, f"{name}/weights", "")


def _part(joint: JointConv, index: int, scope: str) -> Iterator[Slot]:
    """One of several convolutions that may be done as one."""
    if not joint.joined:
        yield from _separable(cast(Conv2d, joint.convs[index]), scope)
        return
    conv = cast(Conv2d, joint.convs[0]).conv
    begin, end = (sum(joint.sizes[:i]) for i in (index, index + 1))
    yield _kernel(f"{scope}/weights", conv.weight[begin:end])
    if conv.bias is not None:
        yield Slot(f"{scope}/bias", (end - begin,), _into(conv.bias[begin:end]))


def _separable(conv: Conv2d, scope: str) -> Iterator[Slot]:
    if not conv.spec.separable:
        yield from _conv(conv, f"{scope}/weights", f"{scope}/bias")
        return
    depth = conv.depthwise.weight
    shape = (depth.shape[2], depth.shape[3], depth.shape[0], 1)
    yield Slot(f"{scope}/depthwise_weights", shape, _into(depth, 2, 3, 0, 1))
    yield _kernel(f"{scope}/pointwise_weights", conv.pointwise.weight)
    if conv.pointwise.bias is not None:
        yield Slot(f"{scope}/bias", tuple(conv.pointwise.bias.shape), _into(conv.pointwise.bias))


def _conv(conv: Conv2d, weight: str, bias: str) -> Iterator[Slot]:
    yield _kernel(weight, conv.conv.weight)
    if conv.conv.bias is not None:
        yield Slot(bias, tuple(conv.conv.bias.shape), _into(conv.conv.bias))


def _kernel(name: str, weight: Tensor) -> Slot:
    out, inputs, height, width = weight.shape
    return Slot(name, (height, width, inputs, out), _into(weight, 3, 2, 0, 1))


def _joint(name: str, of_input: Tensor, of_state: Tensor) -> Slot:
    """One kernel on [input, state]."""
    out, inputs, height, width = of_input.shape

    def write(x: Tensor) -> None:
        _into(of_input, 3, 2, 0, 1)(x[:, :, :inputs])
        _into(of_state, 3, 2, 0, 1)(x[:, :, inputs:])

    return Slot(name, (height, width, inputs + of_state.shape[1], out), write)


def _norm(norm: nn.Module, scope: str) -> Iterator[Slot]:
    yield Slot(f"{scope}/gamma", tuple(norm.weight.shape), _into(norm.weight))  # type: ignore[arg-type, union-attr]
    yield Slot(f"{scope}/beta", tuple(norm.bias.shape), _into(norm.bias))  # type: ignore[arg-type, union-attr]


def _bias(conv: nn.Conv2d) -> Tensor:
    assert conv.bias is not None
    return conv.bias


def _into(target: Tensor, *order: int) -> Any:
    """Writes a tensor, its axes brought into this order, into a parameter (or a part of one)."""
    return lambda x: target.detach().copy_(x.permute(order) if order else x)


def _readout_slots(network: Network, found: dict[str, float]) -> Iterator[Slot]:
    """The decoders' variables; only beta and threshold matter to what is decided."""
    readout = network.spec.readout
    if not isinstance(readout, (MaxConfidence, Threshold)):
        return

    def keep(key: str) -> Any:
        return lambda x: found.update({key: float(x)})

    trained = isinstance(readout, MaxConfidence)
    yield Slot(f"{ROOT}/normalize/softmax_beta", (1,), keep("beta"), required=trained)
    for unused in ("probs", "alpha"):
        yield Slot(f"{ROOT}/{unused}/softmax_beta", (1,), lambda x: None, required=False)
    if isinstance(readout, Threshold):
        yield Slot(f"{ROOT}/decoder_threshold", (1,), keep("threshold"), required=False)
