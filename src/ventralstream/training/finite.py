"""Numbers that are not finite end a run at once, and are never saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ventralstream.errors import VentralError

_REMEDY = "try a lower learning rate, or clipping"


class NotFinite(VentralError):
    """A loss, a gradient, or what is kept of the training is not finite."""


class Watch:
    """Looks at every batch's loss and gradient.

    On a processor at once; elsewhere when the next batch has been queued, so that the device need not wait.

    Args:
        device: Where the numbers are.
        scaled: Whether a scaler skips batches whose gradient is not finite (precision "16"): then that is no error.
    """

    def __init__(self, device: torch.device, scaled: bool = False) -> None:
        self.at_once = device.type == "cpu"
        self.scaled = scaled
        self.last: tuple[int, Tensor] | None = None

    def add(self, batch: int, loss: Tensor, norm: Tensor) -> None:
        """Takes the loss of a batch and the norm of its gradient."""
        before, self.last = self.last, (batch, torch.stack([loss.float(), norm.float().to(loss.device)]))
        if self.at_once:
            self.settle()
        elif before is not None:
            self._check(*before)

    def settle(self) -> None:
        """Looks at what was not looked at yet.

        Raises:
            NotFinite: if a loss or a gradient was not finite.
        """
        if self.last is not None:
            self._check(*self.last)
            self.last = None

    def _check(self, batch: int, values: Tensor) -> None:
        loss, norm = values.tolist()
        if not abs(loss) < float("inf"):
            raise NotFinite(f"the loss is {loss} at batch {batch}: {_REMEDY}")
        if not abs(norm) < float("inf") and not self.scaled:
            raise NotFinite(f"the norm of the gradient is {norm} at batch {batch}: {_REMEDY}")


def check_finite(network: Mapping[str, Any], optimizer: Mapping[str, Any], batch: int) -> None:
    """Raises NotFinite if weights, statistics of normalisations or the optimiser's state are not finite."""
    for what, tensors in (("the network's", network), ("the optimiser's", _named(optimizer))):
        for name, tensor in tensors.items():
            if tensor.is_floating_point() and not tensor.isfinite().all():
                raise NotFinite(f"{what} '{name}' is not finite after batch {batch}: {_REMEDY}")


def _named(state: Mapping[Any, Any], path: str = "") -> dict[str, Tensor]:
    """The tensors in nested dicts, by their paths."""
    found: dict[str, Tensor] = {}
    for key, value in state.items():
        name = f"{path}/{key}" if path else str(key)
        if isinstance(value, Tensor):
            found[name] = value
        elif isinstance(value, Mapping):
            found |= _named(value, name)
    return found
