"""Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon): filters move along the nearest orthogonal matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

# The quintic of Jordan et al.: five rounds bring every singular value to between 0.7 and 1.2.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ROUNDS = 5
_CHANNELS = 8  # that a filter reads


def reading_many(module: nn.Module) -> set[int]:
    """The ids of the kernels of convolutions that read at least 8 channels."""
    found = set()
    for part in module.modules():
        if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d)) and part.in_channels // part.groups >= _CHANNELS:
            found.add(id(part.weight))
    return found


def orthogonalise(matrices: Tensor) -> Tensor:
    """About the nearest matrices with orthogonal rows (or columns, if there are more rows), of [N, rows, columns].

    Newton and Schulz's iteration in bfloat16, as Jordan et al. do it; what is not zero gets singular values near 1.
    """
    x = matrices.bfloat16()
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp_min(1e-7)
    for _ in range(_ROUNDS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C), x, beta=_A)
    return (x.mT if tall else x).to(matrices.dtype)


class MuonWithAdam(torch.optim.Optimizer):
    """Muon for the groups that say `orthogonal`, Adam for the others; both with decoupled weight decay.

    A filter [out, in, k, k] is the matrix [out, in k k]. Its step has the length that keeps the change of its output
    about equal for all shapes: `lr` times sqrt(max(1, rows / columns)). torch's own Muon takes matrices alone.

    Args:
        groups: Of parameters, each with lr, weight_decay, orthogonal and momentum (Adam's: the first of its decays).
    """

    def __init__(self, groups: list[dict[str, Any]]) -> None:
        super().__init__(groups, {"adam_decay": 0.95, "eps": 1e-8})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Moves the parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            learning = [p for p in group["params"] if p.grad is not None]
            for p in learning:
                p.mul_(1 - group["lr"] * group["weight_decay"])
            if group["orthogonal"]:
                self._muon(learning, group)
            else:
                self._adam(learning, group)
        return loss

    def _muon(self, filters: list[Tensor], group: dict[str, Any]) -> None:
        alike: dict[tuple[Any, ...], list[Tensor]] = {}
        for p in filters:
            alike.setdefault((p.shape[0], p[0].numel(), p.device, p.dtype), []).append(p)
        for (rows, columns, _, _), same in alike.items():
            directions = []
            for p in same:
                assert p.grad is not None
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                past = state["momentum"].mul_(group["momentum"]).add_(p.grad)
                directions.append(p.grad.add(past, alpha=group["momentum"]).reshape(rows, columns))  # Nesterov's
            length = group["lr"] * max(1, rows / columns) ** 0.5
            for p, direction in zip(same, orthogonalise(torch.stack(directions)), strict=True):
                p.add_(direction.view(p.shape), alpha=-length)

    def _adam(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        for p in parameters:
            assert p.grad is not None
            state = self.state[p]
            if not state:
                state["steps"] = 0
                state["mean"], state["square"] = torch.zeros_like(p), torch.zeros_like(p)
            state["steps"] += 1
            kept = 1 - group["momentum"] ** state["steps"], 1 - group["adam_decay"] ** state["steps"]
            mean = state["mean"].lerp_(p.grad, 1 - group["momentum"])
            square = state["square"].mul_(group["adam_decay"]).addcmul_(p.grad, p.grad, value=1 - group["adam_decay"])
            p.addcdiv_(mean, (square / kept[1]).sqrt_().add_(group["eps"]), value=-group["lr"] / kept[0])
