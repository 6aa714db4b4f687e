"""What a network is shown: the tensors given, checked, and the frames that a presentation makes of them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ventralstream.errors import VentralError
from ventralstream.presentation import Frame, Presentation
from ventralstream.spec import NetworkSpec

Stimulus = Tensor | Mapping[str, Tensor]


class Display:
    """A stimulus as a presentation shows it.

    Args:
        spec: The network's.
        stimulus: Images [B, C, H, W], a movie [B, T, C, H, W], or several by name.
        presentation: What is shown when.
        steps: The number of steps that are run.

    Attributes:
        batch: The batch size.
        like: One of the tensors, for its device, type and size.

    Raises:
        VentralError: if the stimulus does not fit.
    """

    def __init__(self, spec: NetworkSpec, stimulus: Stimulus, presentation: Presentation, steps: int) -> None:
        self.spec = spec
        self.named = named = _named(stimulus, presentation)
        channels = spec.input_shape[0]
        for key in {s.shows for s in presentation.segments} - {"blank"}:
            if key not in named:
                raise VentralError(f"the presentation shows '{key}', but the stimulus has only {sorted(named)}")
            x = named[key]
            dims = 5 if key == "movie" else 4
            if x.dim() != dims or x.shape[-3] != channels:
                want = f"[B, T, {channels}, H, W]" if key == "movie" else f"[B, {channels}, H, W]"
                raise VentralError(f"the {key} has shape {list(x.shape)}; '{spec.name}' expects {want}")
            if key == "movie" and x.shape[1] < steps:
                raise VentralError(f"the movie has {x.shape[1]} frames; {steps} steps need as many")
            if not x.is_floating_point():
                raise VentralError(f"the {key} is {x.dtype}; expected normalised floating-point values")
        shapes = {tuple(x.shape[-2:]) for x in named.values()}
        batches = {x.shape[0] for x in named.values()}
        if len(shapes) > 1 or len(batches) > 1:
            raise VentralError("image and mask need the same batch and size")
        self.like = next(iter(named.values()))
        self.batch = batches.pop()

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


def _named(stimulus: Stimulus, presentation: Presentation) -> Mapping[str, Tensor]:
    if isinstance(stimulus, Tensor):
        return {"movie" if presentation.is_movie else "image": stimulus}
    if not stimulus:
        raise VentralError("the stimulus is empty; expected images or {'image': images, ...}")
    return stimulus
