import torch
import torch.nn.functional as F
from torchvision.transforms.v2.functional import normalize

from ventralstream.data.pixels import generator, normalise, random_crop, random_flip, seed_of


def images(batch=64, channels=3, height=7, width=9):
    return torch.randint(1, 256, (batch, channels, height, width), generator=generator(1)).to(torch.uint8)


def test_normalise_is_torchvisions():
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
    torch.testing.assert_close(normalise(images(), mean, std), normalize(images().float() / 255, mean, std))


def test_crops_are_windows_of_the_image_in_black():
    before = images()
    after = random_crop(before, 2, generator(3))
    shifts = set()
    for old, new in zip(F.pad(before, (2, 2, 2, 2)), after, strict=True):
        places = [(y, x) for y in range(5) for x in range(5) if torch.equal(old[:, y : y + 7, x : x + 9], new)]
        assert len(places) == 1
        shifts.update(places)
    assert len(shifts) > 15  # of 25: all are possible, and 64 were drawn
    assert {y for y, _ in shifts} == {x for _, x in shifts} == set(range(5))
    assert torch.equal(random_crop(before, 0, generator(3)), before)


def test_about_half_of_the_images_are_flipped():
    before = images()
    after = random_flip(before, generator(3))
    flipped = [torch.equal(a, b.flip(-1)) for a, b in zip(after, before, strict=True)]
    kept = [torch.equal(a, b) for a, b in zip(after, before, strict=True)]
    assert all(f != k for f, k in zip(flipped, kept, strict=True))
    assert 16 < sum(flipped) < 48


def test_a_seed_belongs_to_its_key_alone():
    keys = [(), (0,), (1,), (0, 0), (1, 2), (2, 1), (1, 2, 0), (1, 2, 0, 0), (2**40, 2)]
    assert len({seed_of(*key) for key in keys}) == len(keys)
    assert seed_of(1, 2, 0) == seed_of(1, 2, 0)
