"""The Reciprocal Gated Cell (Nayebi et al. 2018; docs/papers.md A.4) in its general form.

The simple 2018 cell (`rgc_shallow`) and the searched "median" cell (`rgc_intermediate`) are settings of this class:
see `ventralstream.models.convrnn`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from ventralstream.cells.base import Cell, Drive, State
from ventralstream.cells.registry import register_cell
from ventralstream.errors import VentralError
from ventralstream.layers import shortcuts
from ventralstream.layers.activation import OF_ZERO, activate
from ventralstream.layers.conv import Conv2d
from ventralstream.layers.norm import StepNorm
from ventralstream.layers.specs import LAYER_NORM, ActivationName, Conv, Shape, spatial
from ventralstream.spec import CellSpec
from ventralstream.values import Real, Side, Width


class JointConv(nn.Module):
    """Several convolutions of one tensor; plain ones with the same kernel are done as one.

    Args:
        channels: Input channels.
        parts: The convolutions; their outputs come in this order.
    """

    def __init__(self, channels: int, parts: tuple[Conv, ...]) -> None:
        super().__init__()
        self.sizes = tuple(p.channels for p in parts)
        alike = len({(p.kernel, p.separable, p.bias) for p in parts}) == 1
        self.joined = len(parts) > 1 and not parts[0].separable and alike
        specs = (parts[0].replace(channels=sum(self.sizes)),) if self.joined else parts
        self.convs = nn.ModuleList(Conv2d(spec, channels) for spec in specs)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        if self.joined:
            return tuple(self.convs[0](x).split(self.sizes, 1))
        return tuple(conv(x) for conv in self.convs)

    def part(self, x: Tensor, index: int) -> Tensor:
        """The output of one convolution alone."""
        begin = sum(self.sizes[:index]) if self.joined else 0
        rows, conv = slice(begin, begin + self.sizes[index]), self.convs[0 if self.joined else index]
        return conv.rows(x, rows) if isinstance(conv, Conv2d) else cast(Tensor, conv(x)[:, rows])

    def of_zero(self, index: int) -> Tensor | None:
        """The output of one convolution for zeros: its bias; None if it has none."""
        begin = sum(self.sizes[:index]) if self.joined else 0
        bias = cast(Conv2d, self.convs[0 if self.joined else index]).last.bias
        return None if bias is None else bias[begin : begin + self.sizes[index]].view(1, -1, 1, 1)


def _untouched(joint: nn.Module) -> bool:
    """Whether parts may be computed alone and zeros left out: nobody hooked, parametrised or replaced anything."""
    if not isinstance(joint, JointConv) or not shortcuts.untouched(joint, JointConv):
        return False
    return all(isinstance(c, Conv2d) and shortcuts.untouched(c, Conv2d) and c.untouched for c in joint.convs)


def _part(joint: nn.Module, x: Tensor | None, index: int) -> Tensor | None:
    """The output of one of the convolutions; None stands for zeros, which are given only where nobody touched it."""
    if x is None:
        return cast(JointConv, joint).of_zero(index)
    if shortcuts.untouched(joint, JointConv):
        return cast(JointConv, joint).part(x, index)
    return cast(Tensor, joint(x)[index])


class ReciprocalCell(Cell):
    """Two states, the cell c and the output h, gate each other's input reciprocally:

        c' = act_c(norm((1 - tau(c)) c + (1 - gate(h)) c_in))
        h' = act_h(norm((1 - tau(h)) h + (1 - gate(c)) h_in))

    where each factor is in general `offset + multiplier * s(conv)`. Both updates read the states of the step before.
    """

    takes_no_state = True
    pure = ("drive", "feedback", "update")

    def __init__(self, spec: Reciprocal, channels: int, raw_channels: int, feedback_channels: int) -> None:
        super().__init__()
        self.spec = spec
        self.needs_raw = spec.cell_residual or spec.out_residual or spec.residual_to_out_gate
        self.feedback_entry = spec.feedback_entry
        out = self.out_channels = spec.channels or channels
        cell = self.cell_channels = spec.cell_channels or out
        tau = Conv(1, spec.tau_kernel, bias=spec.gate_bias, separable=spec.tau_separable)
        gate = Conv(1, spec.gate_kernel, bias=spec.gate_bias, separable=spec.gate_separable)
        inner = Conv(1, spec.input_kernel, bias=spec.input_bias, separable=spec.input_separable)
        to_out = inner.replace(kernel=spec.to_out_kernel)

        # what each tensor feeds, in the order (tau of its own state, gate of the other state[, the other's input])
        from_cell = [tau.replace(channels=cell)]
        if spec.cell_to_out:
            from_cell.append(to_out.replace(channels=out))
        else:
            from_cell.append(gate.replace(channels=out))
        self.from_cell = JointConv(cell, tuple(from_cell))
        self.from_out = JointConv(out, (tau.replace(channels=out), gate.replace(channels=cell)))
        self.input_to_cell = Conv2d(inner.replace(channels=cell), channels) if spec.input_to_cell else None
        self.input_to_out = Conv2d(to_out.replace(channels=out), channels) if spec.input_to_out else None
        self.residual_to_cell = Conv2d(inner.replace(channels=cell), raw_channels) if spec.cell_residual else None
        self.residual_to_gate = (
            Conv2d(gate.replace(channels=out, bias=False), raw_channels) if spec.residual_to_out_gate else None
        )
        project = spec.out_residual and raw_channels != out
        self.residual_to_out = Conv2d(Conv(out, 1, bias=False), raw_channels) if project else None
        self.feedback_conv = None
        if feedback_channels:
            target = {"drive": channels, "update": out if spec.feedback_to == "out" else cell}[spec.feedback_entry]
            self.feedback_conv = Conv2d(
                Conv(target, spec.feedback_kernel, separable=spec.feedback_separable), feedback_channels
            )
        self.cell_norm = StepNorm(LAYER_NORM, cell) if spec.layer_norm else None
        self.out_norm = StepNorm(LAYER_NORM, out) if spec.layer_norm else None

    def state_shapes(self, shape: Shape) -> tuple[Shape, ...]:
        return ((self.cell_channels, *shape[1:]), (self.out_channels, *shape[1:]))

    def feedback(self, x: Tensor) -> Tensor:
        assert self.feedback_conv is not None
        return activate(self.feedback_conv(x), self.spec.feedback_activation)

    def drive(self, x: Tensor, raw: Tensor | None = None, feedback: Tensor | None = None) -> Drive:
        s = self.spec
        x = activate(x if feedback is None else x + feedback, s.input_activation)
        parts = []
        into_cell = [conv(v) for conv, v in ((self.input_to_cell, x), (self.residual_to_cell, raw)) if conv is not None]
        if into_cell:
            parts.append(sum(into_cell[1:], into_cell[0]))
        into_out = x if self.input_to_out is None else self.input_to_out(x)
        if s.out_residual:
            into_out = into_out + (self.residual_to_out(raw) if self.residual_to_out is not None else raw)  # type: ignore[operator]
        parts.append(into_out)
        if self.residual_to_gate is not None:
            parts.append(self.residual_to_gate(raw))
        return tuple(parts)

    def update(
        self, drive: Drive, state: State | None, step: int, feedback: Tensor | None = None
    ) -> tuple[Tensor, State]:
        s = self.spec
        into_cell, into_out, to_gate = self._inputs(drive)
        c, h = self._past(state, into_out)
        if feedback is not None and s.feedback_to == "cell":
            into_cell = feedback if into_cell is None else into_cell + feedback
        if c is None or h is None:  # the zero state: what is left of its convolutions are their biases
            tau_c = tau_h = None
            from_cell, gate_c = _part(self.from_cell, None, 1), _part(self.from_out, None, 1)
        else:
            (tau_c, from_cell), (tau_h, gate_c) = self.from_cell(c), self.from_out(h)
        if into_cell is None:
            into_cell = into_out.new_zeros(1, self.cell_channels, *into_out.shape[2:])
        new_c = self._next(c, tau_c, into_cell, gate_c, self.cell_norm, s.cell_activation, step)
        new_h = self._new_out(h, tau_h, from_cell, into_out, to_gate, feedback, step)
        return new_h, (new_c, new_h)

    def emit(self, drive: Drive, state: State | None, step: int, feedback: Tensor | None = None) -> Tensor:
        """The output alone needs neither the cell's own tau nor its gate: half of the state's convolutions."""
        _, into_out, to_gate = self._inputs(drive)
        c, h = self._past(state, into_out)
        tau = None if h is None else _part(self.from_out, h, 0)
        return self._new_out(h, tau, _part(self.from_cell, c, 1), into_out, to_gate, feedback, step)

    def _past(self, state: State | None, like: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """The states, c and h; None for zeros, but where something else than a convolution may want to see them."""
        if state is not None:
            return state[0], state[1]
        if _untouched(self.from_cell) and _untouched(self.from_out):
            return None, None
        batch, _, *size = like.shape
        return like.new_zeros(batch, self.cell_channels, *size), like.new_zeros(batch, self.out_channels, *size)

    def _inputs(self, drive: Drive) -> tuple[Tensor | None, Tensor, Tensor | None]:
        parts = list(drive)
        to_gate = parts.pop() if self.residual_to_gate is not None else None
        into_out = parts.pop()
        return (parts.pop() if parts else None), into_out, to_gate

    def _new_out(
        self,
        h: Tensor | None,
        tau: Tensor | None,
        from_cell: Tensor | None,
        into_out: Tensor,
        to_gate: Tensor | None,
        feedback: Tensor | None,
        step: int,
    ) -> Tensor:
        s = self.spec
        if feedback is not None and s.feedback_to == "out":
            into_out = into_out + feedback
        if s.cell_to_out:
            gate = to_gate
            into_out = into_out if from_cell is None else into_out + from_cell
        else:
            gate = _sum(from_cell, to_gate)
        return self._next(h, tau, into_out, gate, self.out_norm, s.out_activation, step)

    def _next(
        self,
        past: Tensor | None,
        tau: Tensor | None,
        entering: Tensor,
        gate: Tensor | None,
        norm: StepNorm | None,
        activation: ActivationName,
        step: int,
    ) -> Tensor:
        """act(norm(factor(tau) past + factor(gate) entering)); None stands for zeros."""
        s = self.spec
        new = _factor(gate, s.gate_activation, s.gate_offset, s.gate_multiplier) * entering
        if past is not None:
            new = new + _factor(tau, s.tau_activation, s.tau_offset, s.tau_multiplier) * past
        if norm is not None:
            new = norm(new, step)
        return activate(new, activation)


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return b if a is None else a if b is None else a + b


def _factor(x: Tensor | None, activation: ActivationName, offset: float, multiplier: float) -> Tensor | float:
    """offset + multiplier * activation(x); x None is zero."""
    if x is None:
        return offset + multiplier * OF_ZERO.get(activation, 0.0)
    if activation == "sigmoid" and offset == -multiplier:  # a - a sig(x) = a sig(-x): one tensor less to keep
        value = torch.sigmoid(-x)
        return value if offset == 1 else offset * value
    return offset + multiplier * activate(x, activation)


@register_cell("reciprocal")
@dataclass(frozen=True)
class Reciprocal(CellSpec):
    """The Reciprocal Gated Cell; the defaults are the simple cell of the shallow published network.

    Attributes:
        channels: Channels of the output h; 0 takes those of the input (needs `input_to_out` to differ).
        cell_channels: Channels of the cell c; 0 takes those of the output.
        tau_kernel, tau_separable, tau_activation, tau_offset, tau_multiplier: The factor on each state's own past.
        gate_kernel, gate_separable, gate_activation, gate_offset, gate_multiplier: The factor on each state's input.
        gate_bias: Whether the tau and gate convolutions have a bias (not in the shallow published network).
        input_to_cell: The input enters the cell through a convolution of `input_kernel`.
        input_to_out: It enters the output through one of `to_out_kernel`; else as it is.
        input_kernel, to_out_kernel, input_separable, input_bias: Of those convolutions.
        cell_to_out: The cell is added to the output's input (and does not gate it).
        cell_residual: The area's own input, before its drive, enters the cell.
        out_residual: It is added to the output's input (by a 1x1 convolution without bias where channels differ).
        residual_to_out_gate: It adds to the output's gate.
        input_activation, cell_activation, out_activation: The non-linearities.
        layer_norm: Normalises both states before their non-linearity.
        feedback_to: Where feedback from other areas enters: "input" (before the input's non-linearity), "cell", "out".
        feedback_kernel, feedback_separable, feedback_activation: The feedback's convolution (with bias).
    """

    channels: Width = 0
    cell_channels: Width = 0
    tau_kernel: Side = 3
    tau_separable: bool = False
    tau_activation: ActivationName = "sigmoid"
    tau_offset: Real = 1.0
    tau_multiplier: Real = -1.0
    gate_kernel: Side = 3
    gate_separable: bool = False
    gate_activation: ActivationName = "sigmoid"
    gate_offset: Real = 1.0
    gate_multiplier: Real = -1.0
    gate_bias: bool = False
    input_to_cell: bool = True
    input_to_out: bool = False
    input_kernel: Side = 3
    to_out_kernel: Side = 3
    input_separable: bool = False
    input_bias: bool = False
    cell_to_out: bool = False
    cell_residual: bool = False
    out_residual: bool = False
    residual_to_out_gate: bool = True
    input_activation: ActivationName = "identity"
    cell_activation: ActivationName = "elu"
    out_activation: ActivationName = "elu"
    layer_norm: bool = False
    feedback_to: Literal["input", "cell", "out"] = "out"
    feedback_kernel: Side = 1
    feedback_separable: bool = False
    feedback_activation: ActivationName = "identity"

    def check(self) -> None:
        if self.channels and not self.input_to_out:
            raise VentralError("'reciprocal' needs input_to_out=True for output channels other than the input's")

    @property
    def adds_raw(self) -> bool:
        return self.cell_residual or self.out_residual or self.residual_to_out_gate

    @property
    def feedback_entry(self) -> Literal["none", "drive", "update"]:
        return "drive" if self.feedback_to == "input" else "update"

    def output_shape(self, shape: Shape) -> Shape:
        channels, height, width = spatial("reciprocal", shape)
        result = (self.channels or channels, height, width)
        for width_of in (self.channels or channels, self.cell_channels or self.channels or channels):
            if self.layer_norm:
                LAYER_NORM.output_shape((width_of, height, width))
        return result

    @property
    def sets_channels(self) -> bool:
        return self.channels > 0

    def build(self, shape: Shape, raw_shape: Shape, feedback_channels: int) -> ReciprocalCell:
        return ReciprocalCell(self, shape[0], raw_shape[0], feedback_channels)
