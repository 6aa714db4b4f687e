import numpy as np
import pytest
import torch
from PIL import Image

from ventralstream.data.augment import Augment
from ventralstream.data.pixels import generator
from ventralstream.data.views import augmented, draw_views, part_of, resampled
from ventralstream.errors import VentralError

SIZE = (9, 11)


@pytest.fixture
def images():
    return torch.randint(0, 256, (40, 3, *SIZE), generator=generator(0)).to(torch.uint8)


def views(augment, rows=range(40), seed=0, epoch=0, size=SIZE):
    return draw_views(augment, torch.tensor(list(rows)), size, seed, epoch)


def one_by_one(images, augment, views, fill):
    """The same, pixel for pixel, in NumPy's words."""
    out = []
    for i, image in enumerate(images.numpy()):
        c, (down, right) = augment.crop, views.shift[i].tolist()
        if views.mirrored[i]:
            image, right = image[:, :, ::-1], -right
        padded = np.pad(image, ((0, 0), (c, c), (c, c)), mode="reflect") if c else image
        image = padded[:, c + down :, c + right :][:, : images.shape[2], : images.shape[3]].copy()
        y, x = (views.hole[i] - augment.cutout // 2).tolist()
        if augment.cutout:
            image[:, max(y, 0) : y + augment.cutout, max(x, 0) : x + augment.cutout] = np.reshape(fill, (3, 1, 1))
        out.append(image)
    return torch.from_numpy(np.stack(out))


@pytest.mark.parametrize(
    "augment",
    [
        Augment(),
        Augment(crop=3),
        Augment(crop=8),
        Augment(flip="random"),
        Augment(flip="alternating"),
        Augment(cutout=4),
        Augment(cutout=5),
        Augment(crop=2, flip="random", cutout=3),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_batch_is_what_its_images_are_one_by_one(images, augment, dtype):
    drawn, fill = views(augment), [10, 20, 30]
    found = augmented(images.to(dtype), augment, drawn, fill)
    assert found.dtype == dtype
    assert torch.equal(found, one_by_one(images.to(dtype), augment, drawn, fill))


def test_without_options_nothing_happens(images):
    assert augmented(images, Augment(), views(Augment()), [0, 0, 0]) is images


EVERYTHING = Augment(part=0.3, crop=3, flip="random", cutout=4)


def test_a_view_belongs_to_seed_epoch_and_image_alone():
    whole = views(EVERYTHING, range(1000), 3, 5)
    some = [999, 0, 17, 17, 4]
    few = views(EVERYTHING, some, 3, 5)
    for name in ("box", "shift", "mirrored", "hole"):
        assert torch.equal(getattr(whole, name)[some], getattr(few, name)), name
        for other in (views(EVERYTHING, range(1000), 4, 5), views(EVERYTHING, range(1000), 3, 6)):
            different = (getattr(whole, name) != getattr(other, name)).float().mean()
            assert different > 0.4, name
    assert torch.equal(whole[2:4].shift, whole.shift[2:4]) and torch.equal(whole.to("cpu").box, whole.box)


def test_views_are_drawn_evenly_and_independently():
    """Each number 1/n of the time, within five standard errors; none tells another, the next image's or epoch's."""
    count = 40_000
    a, b = views(EVERYTHING, range(count)), views(EVERYTHING, range(count), epoch=1)
    for numbers, n in ((a.shift[:, 0] + 3, 7), (a.shift[:, 1] + 3, 7), (a.mirrored.long(), 2), (a.hole[:, 1], 11)):
        share = torch.bincount(numbers, minlength=n) / count
        assert len(share) == n
        assert (share - 1 / n).abs().max() < 5 * (1 / n / count) ** 0.5
    for i in range(4):
        assert torch.histc(a.box[:, i].float(), 20, 0, 1).sub(count / 20).abs().max() < 5 * (count / 20) ** 0.5
    drawn = torch.cat([torch.cat([v.box, v.shift, v.mirrored[:, None], v.hole], -1) for v in (a, b)], -1)
    drawn = torch.cat([drawn, drawn.roll(1, 0)], -1)
    off = torch.corrcoef(drawn.T) - torch.eye(drawn.shape[1])
    assert off.abs().max() < 5 / count**0.5


def test_alternating_flips_show_both_sides_in_two_epochs():
    epochs = torch.stack([views(Augment(flip="alternating"), range(1000), epoch=e).mirrored for e in range(6)])
    assert (epochs[0] ^ epochs[1]).all()
    assert torch.equal(epochs[0], epochs[2]) and torch.equal(epochs[1], epochs[5])
    assert 400 < epochs[0].sum() < 600
    assert not views(Augment(crop=2)).mirrored.any()


def test_parts_have_the_size_and_the_shape_that_was_asked_for():
    augment = Augment(part=0.08)
    box = views(augment, range(4000)).box.numpy()
    top, left, height, width = torch.from_numpy(part_of((300, 400), augment, box)).T
    assert top.min() >= 0 and (top + height).max() <= 300 + 1e-9
    assert left.min() >= 0 and (left + width).max() <= 400 + 1e-9
    uncut = (height < 300) & (width < 400)
    share, ratio = (height * width / 120_000)[uncut], (width / height)[uncut]
    assert uncut.float().mean() > 0.7
    assert 0.08 <= share.min() < 0.081
    assert ratio.min() >= 3 / 4 - 1e-9 and ratio.max() <= 4 / 3 + 1e-9
    assert abs((ratio > 1)[share < 0.5].double().mean() - 0.5) < 0.05


@pytest.mark.parametrize("part", [(0.0, 0.0, 40.0, 60.0), (3.3, 7.7, 20.5, 41.2), (10.0, 12.0, 5.5, 6.25)])
def test_parts_are_resized_as_pillow_does_it(part):
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(60.0), indexing="ij")
    image = ((y * 3 + x * 2 + 40 * torch.sin(x / 4) + 40).clamp(0, 255)).to(torch.uint8)
    top, left, height, width = part
    edges = (left, top, left + width, top + height)
    pillow = np.array(Image.fromarray(image.numpy()).resize((60, 40), Image.Resampling.BILINEAR, box=edges))
    ours = resampled(image[None, None], torch.tensor([part], dtype=torch.float64))
    assert ours.dtype == torch.uint8 and ours.shape == (1, 1, 40, 60)
    assert (ours[0, 0].int() - torch.from_numpy(pillow).int()).abs().max() <= 1  # Pillow's weights are rounded
    floats = resampled(image[None, None].double(), torch.tensor([part], dtype=torch.float64))
    assert floats.dtype == torch.float64 and (floats - ours).abs().max() <= 0.501


def test_bad_options_are_refused():
    with pytest.raises(VentralError, match="fewer pixels than an image has, got 32 for 32"):
        Augment(crop=32).check_size(32)
    Augment(crop=31).check_size(32)
    for options in ({"flip": "altrenating"}, {"crop": -1}, {"part": 0.0}, {"cutout": 1.5}):
        with pytest.raises(VentralError):
            Augment(**options)
