"""What a network is shown: the tensors given, checked, and the frames that a presentation makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ventralstream.arguments import misfit
from ventralstream.errors import VentralError
from ventralstream.presentation import Frame, Presentation
from ventralstream.spec import NetworkSpec

Images = Tensor | NDArray[Any]
Stimulus = Images | Mapping[str, Images]


class Display:
    """A stimulus as a presentation shows it.

    Args:
        spec: The network's.
        stimulus: Images [B, C, H, W], a movie [B, T, C, H, W], or several by name; tensors, or NumPy arrays. They are
            taken in the network's floating-point type, whatever theirs is.
        presentation: What is shown when.
        steps: The number of steps that are run.
        like: One of the network's tensors, for its device and type; None if it has none.

    Attributes:
        batch: The batch size.
        like: One of the tensors shown, for its device, type and size.

    Raises:
        VentralError: if the stimulus does not fit.
    """

    def __init__(
        self, spec: NetworkSpec, stimulus: Stimulus, presentation: Presentation, steps: int, like: Tensor | None
    ) -> None:
        self.spec = spec
        named = _named(stimulus, presentation)
        for key in {s.shows for s in presentation.segments} - {"blank"}:
            if key not in named:
                raise VentralError(
                    f"the presentation shows '{key}', but the stimulus has only {sorted(map(str, named))}"
                )
        self.named = {key: self._taken(key, x, steps, like) for key, x in named.items()}
        self.like, *others = self.named.values()
        self.batch = self.like.shape[0]
        if any(x.shape[-2:] != self.like.shape[-2:] or x.shape[0] != self.batch for x in others):
            raise VentralError("image and mask need the same batch and size")

    def _taken(self, key: str, x: Any, steps: int, like: Tensor | None) -> Tensor:
        channels = self.spec.input_shape[0]
        dims = 5 if key == "movie" else 4
        shape = f"[B, T, {channels}, H, W]" if key == "movie" else f"[B, {channels}, H, W]"
        if isinstance(x, np.ndarray) and x.dtype.kind in "biuf" and not np.ma.is_masked(x):
            x = _tensor(x, like)
        if not isinstance(x, Tensor) or x.layout != torch.strided:
            raise misfit(f"the {key}", x, f"a dense tensor or array {shape}")
        if x.dim() != dims or x.shape[-3] != channels:
            raise VentralError(f"the {key} has shape {list(x.shape)}; '{self.spec.name}' expects {shape}")
        if not x.is_floating_point():
            raise VentralError(f"the {key} is {x.dtype}; expected normalised floating-point values")
        if key == "movie" and x.shape[1] < steps:
            raise VentralError(f"the movie has {x.shape[1]} frames; {steps} steps need as many")
        if like is None:
            return x
        if x.device != like.device:
            raise VentralError(f"the {key} is on {x.device}, the network on {like.device}; move one with .to(...)")
        return x.to(like.dtype)

    def frame(self, frame: Frame) -> Tensor:
        """A frame's picture [B, C, H, W]; a blank's is [1, C, H, W]."""
        if frame.shows == "movie":
            return self.named["movie"][:, frame.index]
        if frame.shows != "blank":
            return self.named[frame.shows]
        value = self.like.new_full((1, *self.like.shape[-3:]), frame.value)
        if frame.space == "pixels":
            mean, std = (self.like.new_tensor(v).view(1, -1, 1, 1) for v in (self.spec.mean, self.spec.std))
            value = (value - mean) / std
        return value


def _tensor(x: NDArray[Any], like: Tensor | None) -> Tensor:
    native = x.astype(np.float64 if x.dtype.kind == "f" and x.dtype.itemsize > 8 else x.dtype.newbyteorder("="))
    return torch.tensor(np.ascontiguousarray(native), device=None if like is None else like.device)


def _named(stimulus: Stimulus, presentation: Presentation) -> Mapping[str, Any]:
    if not isinstance(stimulus, Mapping):
        return {"movie" if presentation.is_movie else "image": stimulus}
    if not stimulus:
        raise VentralError("the stimulus is empty; expected images or {'image': images, ...}")
    return stimulus
