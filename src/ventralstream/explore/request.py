"""What the live page asks for: a network, an image, an occluder, what is shown when, what is cut; checked, as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from torch import Tensor

from ventralstream.errors import VentralError
from ventralstream.explore.trace import MOST_STEPS
from ventralstream.jsonable import Spec, from_json, tagged
from ventralstream.presentation import Presentation, Segment
from ventralstream.spec import NetworkSpec
from ventralstream.values import Within

Share = Annotated[float, Within(0, 1)]
Steps = Annotated[int, Within(0, MOST_STEPS)]


@tagged("occluder")
@dataclass(frozen=True)
class Occluder(Spec):
    """A grey square over the image, in parts of its sides.

    Attributes:
        x, y: Its middle.
        side: Its side.
    """

    x: Share = 0.5
    y: Share = 0.5
    side: Share = 0.3


@tagged("explore")
@dataclass(frozen=True)
class Asked(Spec):
    """A request of the live page.

    Attributes:
        model: The network, one of those that the server offers.
        image: The name of an example, or of an upload.
        occluder: What is laid over the image.
        steps: Steps to run; 0 for the network's own.
        on: Steps for which the image is shown; 0 shows it throughout, None shows what the network is shown by default.
        soa: Steps from the image's onset to the mask's; 0 for no mask.
        mask: Steps for which the mask is shown.
        cut: What is cut in the second network; see `cuts.cuttable`. Empty: there is no second network.
    """

    model: str = ""
    image: str = ""
    occluder: Occluder | None = None
    steps: Steps = 0
    on: Steps | None = None
    soa: Steps = 0
    mask: Steps = 10
    cut: tuple[str, ...] = field(default=())

    def check(self) -> None:
        if self.soa and not self.on:
            raise VentralError("a mask follows an image that goes off: say for how many steps it is shown")
        if self.soa and self.on and self.soa < self.on:
            raise VentralError(f"the mask would come on at step {self.soa}, while the image is shown to step {self.on}")
        if self.soa and not self.mask:
            raise VentralError("a mask is shown for at least one step")


def asked(data: Any) -> Asked:
    """The request in a JSON object; VentralError says what is wrong with it."""
    if not isinstance(data, dict):
        raise VentralError("a request is a JSON object")
    found = from_json(data | {"type": "explore"})
    assert isinstance(found, Asked)
    return found


def presentation_of(request: Asked, spec: NetworkSpec) -> Presentation:
    """What is shown when: the blank is the network's own, or the mean colour where it has none."""
    own = next((s for s in spec.presentation.segments if s.shows == "blank"), None)
    blank = (own or Segment("blank", value=0.0)).replace(steps=None)
    if request.on is None:
        return spec.presentation
    if not request.on:
        return Presentation((Segment("image"),))
    parts = [Segment("image", request.on)]
    if request.soa:
        gap = request.soa - request.on
        parts += [*([blank.replace(steps=gap)] if gap else []), Segment("mask", request.mask)]
    return Presentation((*parts, blank))


def occluded(pixels: Tensor, occluder: Occluder | None, mean: Sequence[float]) -> Tensor:
    """Pixels [N, C, H, W], uint8, with a square of the mean colour over them."""
    if occluder is None:
        return pixels
    height, width = pixels.shape[-2:]
    half = occluder.side / 2
    top, bottom = (round(height * min(1.0, max(0.0, occluder.y + s * half))) for s in (-1, 1))
    left, right = (round(width * min(1.0, max(0.0, occluder.x + s * half))) for s in (-1, 1))
    result = pixels.clone()
    colour = torch.tensor([round(255 * m) for m in mean], dtype=torch.uint8).view(-1, 1, 1)
    result[..., top:bottom, left:right] = colour
    return result
