"""How training images are varied, as data; `ventralstream.data.views` does it, and imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from ventralstream.errors import VentralError
from ventralstream.jsonable import Spec, tagged
from ventralstream.values import Natural, Within


@tagged("augment")
@dataclass(frozen=True)
class Augment(Spec):
    """What is done to a training image, in this order; without options, nothing.

    What an image goes through is a function of (seed, epoch, image) alone, whatever batch, device or process it is in.

    Attributes:
        part: A random part of the image, of at least this share of its surface and 3/4 to 4/3 as wide as it is high,
            is resized to the whole ("random resized crop", Szegedy et al. 2015; 0.08 is usual on ImageNet). 1: no such
            part.
        crop: Largest random shift in pixels, in each direction; what comes in from outside is the image's reflection
            (our choice: black would be an edge that is not in the image).
        flip: Left to right: "none"; "random" (half of the images in each epoch); "alternating" (each image every other
            epoch, its first time drawn, so that two epochs in a row show both sides of each; Jordan 2024).
        cutout: Side in pixels of a square of mean colour around a random pixel, cut off at the border (DeVries & Taylor
            2017); 0: none.
    """

    part: Annotated[float, Within(0.01, 1)] = 1.0
    crop: Natural = 0
    flip: Literal["none", "random", "alternating"] = "none"
    cutout: Natural = 0

    def check_size(self, size: int) -> None:
        """Raises VentralError if images of `size` pixels cannot be varied so."""
        if self.crop >= size:
            raise VentralError(f"a crop shifts by fewer pixels than an image has, got {self.crop} for {size} pixels.")


_CIFAR, _PHOTOGRAPHS = Augment(crop=4, flip="random"), Augment(part=0.08, flip="random")
USUAL = {
    "cifar10": _CIFAR,
    "cifar100": _CIFAR,
    "folder": _PHOTOGRAPHS,
    "packed": _PHOTOGRAPHS,
    "scenes": Augment(crop=2),  # digits, which a reflection would change
}
"""What training does to the images of each set unless told otherwise."""
