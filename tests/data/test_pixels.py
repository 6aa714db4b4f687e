import torch
from torchvision.transforms.v2.functional import normalize

from ventralstream.data.pixels import generator, normalise, seed_of


def images(batch=64, channels=3, height=7, width=9):
    return torch.randint(1, 256, (batch, channels, height, width), generator=generator(1)).to(torch.uint8)


def test_normalise_is_torchvisions():
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
    torch.testing.assert_close(normalise(images(), mean, std), normalize(images().float() / 255, mean, std))


def test_a_seed_belongs_to_its_key_alone():
    keys = [(), (0,), (1,), (0, 0), (1, 2), (2, 1), (1, 2, 0), (1, 2, 0, 0), (2**40, 2)]
    assert len({seed_of(*key) for key in keys}) == len(keys)
    assert seed_of(1, 2, 0) == seed_of(1, 2, 0)
