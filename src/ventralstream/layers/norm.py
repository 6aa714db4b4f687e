"""Normalisation, shared over time or one per step."""

from __future__ import annotations

from torch import Tensor, nn

from ventralstream.layers.specs import Norm


def _one(spec: Norm, channels: int) -> nn.Module:
    if spec.kind == "batch":
        norm: nn.Module = nn.BatchNorm2d(channels, eps=spec.eps, affine=spec.affine)
    else:
        groups = 1 if spec.kind == "layer" else spec.groups
        norm = nn.GroupNorm(groups, channels, eps=spec.eps, affine=spec.affine)
    if spec.zero_init and spec.affine:
        nn.init.zeros_(norm.weight)  # type: ignore[arg-type]
    return norm


class StepNorm(nn.Module):
    """The module of a `Norm` spec: one normalisation per step, the last one beyond the end; or a single shared one."""

    def __init__(self, spec: Norm, channels: int) -> None:
        super().__init__()
        self.spec = spec
        self.norms = nn.ModuleList(_one(spec, channels) for _ in range(max(spec.per_step, 1)))

    def forward(self, x: Tensor, step: int) -> Tensor:
        """Normalises x with the parameters in force at the area's `step`-th active step."""
        result: Tensor = self.norms[min(step, len(self.norms) - 1)](x)
        return result
