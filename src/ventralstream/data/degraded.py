"""Images that are hard to recognise: seen through bubbles, in noise; and the masks that follow them.

Bubbles are as in the images that people named in Tang et al. 2018 (the set that `ventral brain people` reads): all is
grey but for some round windows with soft edges. Masks are pictures with an image's amplitudes and random phases.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ventralstream.values import Amount, Count, Positive, Real, checked


@checked
def occlude(images: Tensor, bubbles: Count, sigma: Positive, generator: torch.Generator, grey: Real = 0.0) -> Tensor:
    """Images seen through bubbles only: windows with Gaussian edges at random places.

    Args:
        images: [B, C, H, W], floating-point.
        bubbles: Windows in each image.
        sigma: Their standard deviation in pixels (in the images that people saw, about 14 of 256).
        generator: Where the windows are drawn from.
        grey: The value of what is hidden; 0 is the mean colour of normalised images.

    Returns:
        [B, C, H, W]: where windows overlap, more is seen; nothing is seen more than once.
    """
    batch, _, height, width = images.shape
    at = torch.rand(2, batch, bubbles, 1, generator=generator).to(images)
    rows, columns = (torch.arange(size).to(images) + 0.5 for size in (height, width))
    down, across = (
        torch.exp(-((pixels - at[i] * size) ** 2) / (2 * sigma**2))
        for i, (pixels, size) in enumerate(((rows, height), (columns, width)))
    )
    hidden = (1 - down[..., :, None] * across[..., None, :]).prod(1)[:, None]
    return grey + (images - grey) * (1 - hidden)


@checked
def add_noise(images: Tensor, std: Amount, generator: torch.Generator) -> Tensor:
    """Images [B, C, H, W] with Gaussian noise of standard deviation `std`, in their own units, at every pixel."""
    return images + std * torch.randn(images.shape, generator=generator).to(images)


def phase_scrambled(images: Tensor, generator: torch.Generator) -> Tensor:
    """Masks: pictures with the amplitudes of `images` [B, C, H, W] at each spatial frequency, and random phases.

    The phases are those of a noise picture, added to the image's in all channels alike, so that colours stay
    together; means stay as they are.
    """
    batch, _, height, width = images.shape
    noise = torch.rand(batch, 1, height, width, generator=generator).to(images)
    turn = torch.fft.rfft2(noise).angle()
    turn[..., 0, 0] = 0
    turned = torch.fft.rfft2(images) * torch.polar(torch.ones_like(turn), turn)
    masks: Tensor = torch.fft.irfft2(turned, s=(height, width))
    return masks
