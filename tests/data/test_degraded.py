"""Images that are hard to recognise."""

from __future__ import annotations

import pytest
import torch

import ventralstream as vs
from ventralstream.data.degraded import add_noise, occlude, phase_scrambled
from ventralstream.data.pixels import generator

IMAGES = torch.rand(6, 3, 24, 32, generator=generator(1), dtype=torch.float64) + 1


def test_bubbles_show_the_image_inside_and_grey_outside() -> None:
    seen = occlude(IMAGES, 1, 2.0, generator(3), grey=0.25)
    part = (seen - 0.25) / (IMAGES - 0.25)  # how much of each pixel is seen
    torch.testing.assert_close(part, part[:, :1].expand_as(part))  # all channels alike
    part = part[:, 0]
    assert part.min() >= 0 and part.max() <= 1 and part.flatten(1).amax(1).min() > 0.85
    for picture in part:  # one round window: a Gaussian of the distance to its centre, which may lie between pixels
        row, column = divmod(int(picture.argmax()), 32)
        far = (torch.arange(24)[:, None] - row) ** 2 + (torch.arange(32)[None] - column) ** 2
        assert picture[far > 8**2].max() < 0.01
        assert picture[far <= 1].min() > 0.6


def test_more_bubbles_show_more_and_never_more_than_the_image() -> None:
    few, many = (((occlude(IMAGES, n, 3.0, generator(5)) / IMAGES)[:, 0]) for n in (2, 40))
    assert many.mean() > 2 * few.mean() and many.max() <= 1


def test_the_same_generator_gives_the_same_images() -> None:
    for make in (lambda g: occlude(IMAGES, 3, 2.0, g), lambda g: phase_scrambled(IMAGES, g)):
        assert torch.equal(make(generator(7)), make(generator(7)))
        assert not torch.equal(make(generator(7)), make(generator(8)))


def test_noise_has_the_standard_deviation_asked_for() -> None:
    images = torch.zeros(8, 3, 64, 64)
    noise = add_noise(images, 0.7, generator(2))
    assert noise.std().item() == pytest.approx(0.7, rel=0.02) and abs(noise.mean().item()) < 0.01
    assert torch.equal(add_noise(images, 0.0, generator(2)), images)


@pytest.mark.parametrize("size", [(24, 32), (25, 31)])
def test_scrambling_keeps_amplitudes_and_means_and_moves_everything_else(size: tuple[int, int]) -> None:
    images = torch.rand(4, 3, *size, generator=generator(4), dtype=torch.float64)
    mask = phase_scrambled(images, generator(6))
    amplitudes = [torch.fft.fft2(x).abs() for x in (images, mask)]
    torch.testing.assert_close(*amplitudes)
    torch.testing.assert_close(mask.mean((2, 3)), images.mean((2, 3)))
    both = torch.stack([images.flatten(1), mask.flatten(1)])
    for image, picture in both.unbind(1):
        assert abs(torch.corrcoef(torch.stack([image, picture]))[0, 1]) < 0.4


def test_impossible_values_are_refused() -> None:
    for bad in (lambda: occlude(IMAGES, 0, 2.0, generator(0)), lambda: occlude(IMAGES, 1, 0.0, generator(0))):
        with pytest.raises(vs.VentralError):
            bad()
    with pytest.raises(vs.VentralError):
        add_noise(IMAGES, float("nan"), generator(0))
