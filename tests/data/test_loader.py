import os
import signal
import time
import warnings
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from PIL import Image

from ventralstream.data import folder as folder_module
from ventralstream.data.augment import Augment
from ventralstream.data.folder import Preprocessing, read_batches
from ventralstream.data.folder_set import FolderSet
from ventralstream.data.image_file import open_image
from ventralstream.data.loader import Loader
from ventralstream.data.memory import MemorySet
from ventralstream.data.pixels import generator, normalise
from ventralstream.data.source import SetInfo
from ventralstream.errors import VentralError


def in_memory(count=22):
    """Images of random pixels; the label is the row."""
    info = SetInfo("toy", tuple(map(str, range(count))), Preprocessing(8, resize="squash"))
    images = torch.randint(1, 256, (count, 3, 8, 8), generator=generator(0)).to(torch.uint8)
    return MemorySet(info, images, torch.arange(count), Augment(crop=2, flip="random"))


@pytest.fixture
def in_folder(tmp_path, picture):
    ids = tuple(f"{i:02}.png" for i in range(10))
    for id_ in ids:
        picture(tmp_path / id_)
    info = SetInfo("toy", ids, Preprocessing(16))
    return FolderSet(info, tmp_path, ids, torch.arange(10))


def collect(loader, epoch=None):
    if epoch is not None:
        loader.set_epoch(epoch)
    return list(loader)


def equal(a, b):
    return len(a) == len(b) and all(
        torch.equal(x, y) for p, q in zip(a, b, strict=True) for x, y in zip(p, q, strict=True)
    )


def test_training_batches():
    loader = Loader(in_memory(), 4, train=True)
    batches = collect(loader)
    assert len(batches) == len(loader) == 5
    images, labels = batches[0]
    assert images.shape == (4, 3, 8, 8) and images.dtype == torch.float32
    assert labels.shape == (4,) and labels.dtype == torch.int64
    rows = torch.cat([labels for _, labels in batches]).tolist()
    assert len(set(rows)) == 20 and rows != sorted(rows)


def test_evaluation_batches_are_all_images_in_order_as_they_are():
    data = in_memory()
    loader = Loader(data, 4, train=False)
    batches = collect(loader)
    assert len(batches) == len(loader) == 6 and len(batches[-1][1]) == 2
    assert torch.cat([labels for _, labels in batches]).tolist() == list(range(22))
    plain = normalise(data.images, data.preprocessing.mean, data.preprocessing.std)
    assert torch.equal(torch.cat([images for images, _ in batches]), plain)
    assert equal(batches, collect(loader, epoch=3))
    assert len(Loader(data, 11, train=False)) == 2


def test_an_epoch_is_a_function_of_seed_and_epoch():
    first = collect(Loader(in_memory(), 4, train=True, seed=1), epoch=2)
    torch.manual_seed(123)
    state = torch.get_rng_state()
    again = Loader(in_memory(), 4, train=True, seed=1)
    collect(again, epoch=5)
    assert equal(first, collect(again, epoch=2)) and equal(first, collect(again))
    assert torch.equal(state, torch.get_rng_state())
    assert not equal(first, collect(again, epoch=3))
    assert not equal(first, collect(Loader(in_memory(), 4, train=True, seed=2), epoch=2))


def test_augmentation_differs_between_epochs_and_batches():
    """With images that are all alike, whatever differs is the augmentation."""
    data = in_memory()
    alike = MemorySet(data.info, data.images[:1].expand(22, -1, -1, -1), data.labels, data.augment)
    loader = Loader(alike, 11, train=True)
    (a, _), (b, _) = collect(loader, epoch=0)
    (c, _), _ = collect(loader, epoch=1)
    assert not torch.equal(a, b) and not torch.equal(a, c)


def test_folder_augmentation_belongs_to_seed_epoch_and_image(in_folder):
    """Neither the batch size nor the number of workers matters, and the global state is left alone."""
    state = torch.get_rng_state()
    reference = {}
    for images, labels in collect(Loader(in_folder, 5, train=True, seed=3), epoch=1):
        reference.update(zip(labels.tolist(), images, strict=True))
    assert len(reference) == 10
    for workers in (0, 2):
        for images, labels in collect(Loader(in_folder, 2, train=True, seed=3, workers=workers), epoch=1):
            assert all(torch.equal(reference[i], x) for i, x in zip(labels.tolist(), images, strict=True))
    for images, labels in collect(Loader(in_folder, 5, train=True, seed=3), epoch=2):
        assert not any(torch.equal(reference[i], x) for i, x in zip(labels.tolist(), images, strict=True))
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("kind", ["memory", "folder"])
@pytest.mark.parametrize("train", [True, False])
def test_processes_that_share_batches_have_the_images_of_one_that_does_not(kind, train, in_folder):
    data = in_memory() if kind == "memory" else in_folder
    workers = 0 if kind == "memory" else 1
    options = {"train": train, "seed": 3, "workers": workers}
    whole = collect(Loader(data, 4, **options), epoch=1)
    parts = [collect(Loader(data, 4, rank=rank, world=3, **options), epoch=1) for rank in range(3)]
    for (images, labels), *shares in zip(whole, *parts, strict=True):
        for rank, (some, truth) in enumerate(shares):
            assert torch.equal(some, images[rank::3]) and torch.equal(truth, labels[rank::3])
    if not train:  # of the last batch there is nothing left for the last process
        assert len(parts[2][-1][1]) == 0 and parts[2][-1][0].shape[1:] == whole[0][0].shape[1:]


def test_each_process_reads_its_own_images_only(in_folder, monkeypatch):
    read = []

    def counting(path, channels):
        read.append(path.name)
        return open_image(path, channels)

    monkeypatch.setattr(folder_module, "open_image", counting)
    list(Loader(in_folder, 4, train=False, rank=1, world=2))
    assert read == ["01.png", "03.png", "05.png", "07.png", "09.png"]


def children():
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
def test_processes_are_started_once_and_end_with_the_loader(in_folder):
    before = children()
    loader = Loader(in_folder, 2, train=True, workers=2)
    assert children() == before
    whole = [collect(Loader(in_folder, 2, train=True), epoch) for epoch in range(3)]
    assert equal(collect(loader, 0), whole[0])
    workers = children() - before
    assert len(workers) == 2
    assert equal(collect(loader, 2), whole[2])
    loader.set_epoch(1)
    batches = iter(loader)
    assert equal([next(batches)], whole[1][:1])
    batches.close()
    assert equal(collect(loader, 1), whole[1]), "an iteration that was given up leaves no trace"
    assert children() - before == workers
    loader.close()
    assert children() == before
    assert equal(collect(loader, 2), whole[2]) and len(children() - before) == 2
    del loader
    assert children() == before


def test_waiting_is_measured(in_folder, monkeypatch):
    def slowly(path, channels):
        time.sleep(0.02)
        return open_image(path, channels)

    monkeypatch.setattr(folder_module, "open_image", slowly)
    loader = Loader(in_folder, 5, train=False)
    assert loader.waited == loader.worked == loader.waiting == 0
    for _ in loader:
        time.sleep(0.3)
    assert 0.2 <= loader.waited < 2 and 0.6 <= loader.worked < 6
    assert loader.waiting == pytest.approx(loader.waited / (loader.waited + loader.worked))
    batches = iter(loader)
    next(batches)
    assert loader.waited >= 0.1 and loader.worked == 0, "each iteration is measured anew"


def test_images_of_one_size_are_augmented_after_they_were_read(in_folder):
    """By processes as by this one; and without a part to be cut out they are those of the evaluation."""
    plain = torch.cat([images for images, _ in Loader(in_folder, 5, train=False)])
    augment = Augment(flip="alternating")
    mirrored = [None, None]
    for epoch in range(2):
        ((images, labels),) = collect(Loader(in_folder, 10, train=True, augment=augment, workers=epoch), epoch)
        same = (images == plain[labels]).flatten(1).all(1)
        other = (images == plain[labels].flip(-1)).flatten(1).all(1)
        assert torch.equal(same, ~other)
        mirrored[epoch] = other[labels.argsort()]
    assert torch.equal(mirrored[0], ~mirrored[1])
    ((images, _),) = collect(Loader(in_folder, 10, train=True, augment=Augment()))
    assert images.sum() == pytest.approx(plain.sum().item(), rel=1e-5)


@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_resized_crops_of_either_kind_are_parts_of_the_image(kind, in_folder, tmp_path):
    """Of an image that rises from left to right and from top to bottom, each part does, more slowly."""
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    ramp = torch.stack([2 * x, 2 * y, 3 * x]).to(torch.uint8)
    if kind == "memory":
        info = SetInfo("toy", ("a",), Preprocessing(64))
        data = MemorySet(info, ramp.expand(50, -1, -1, -1), torch.arange(50), Augment())
    else:
        Image.fromarray(ramp.permute(1, 2, 0).numpy()).save(tmp_path / "ramp.png")
        data = FolderSet(SetInfo("toy", ("a",), Preprocessing(64)), tmp_path, ("ramp.png",) * 50, torch.arange(50))
    loader = Loader(data, 50, train=True, augment=Augment(part=0.2, flip="random"))
    ((images, _),) = collect(loader)
    preprocessing = data.preprocessing
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (preprocessing.mean, preprocessing.std))
    pixels = (images * std + mean) * 255
    slope_y = (pixels[:, 1, 56, 32] - pixels[:, 1, 8, 32]) / 48 / 2
    slope_x = (pixels[:, 0, 32, 56] - pixels[:, 0, 32, 8]) / 48 / 2
    area = slope_x.abs() * slope_y
    assert (slope_y > 0).all() and 10 < (slope_x < 0).sum() < 40
    assert 0.18 < area.min() < 0.35 and 0.8 < area.max() < 1.02
    assert (slope_x.abs() / slope_y).log().abs().max() < 0.35  # log(4/3) = 0.29, and rounded pixels


def test_folder_evaluation_is_preprocessing_alone(in_folder):
    (images, labels), _, _ = collect(Loader(in_folder, 4, train=False))
    assert images.shape == (4, 3, 16, 16) and labels.tolist() == [0, 1, 2, 3]
    assert torch.equal(images, next(read_batches(in_folder.folder, in_folder.ids, 4, Preprocessing(16))).images)


@pytest.mark.parametrize("kind", ["memory", "folder"])
@pytest.mark.parametrize("done", [0, 1, 3, 5])
def test_an_interrupted_epoch_goes_on_with_the_next_batch(kind, done, in_folder):
    data = in_memory() if kind == "memory" else in_folder
    size = 4 if kind == "memory" else 2
    whole = collect(Loader(data, size, train=True, seed=1), epoch=2)
    interrupted = Loader(data, size, train=True, seed=1)
    interrupted.set_epoch(2)
    batches = iter(interrupted)
    before = [next(batches) for _ in range(done)]
    state = interrupted.state_dict()
    assert state["batches_done"] == done and state["epoch"] == 2
    resumed = Loader(data, size, train=True, seed=1)
    resumed.load_state_dict(state)
    resumed.set_epoch(2)  # as Lightning does: the epoch under way keeps its position
    assert resumed.state_dict() == state
    assert equal(whole, before + collect(resumed))
    assert equal(whole, collect(resumed)), "only the first iteration starts in the middle"
    assert resumed.state_dict()["batches_done"] == len(whole) == 5


def test_another_epoch_begins_at_its_beginning():
    loader = Loader(in_memory(), 4, train=True)
    loader.load_state_dict(loader.state_dict() | {"batches_done": 3})
    assert len(collect(loader, epoch=1)) == 5
    next(iter(loader))
    assert len(collect(loader)) == 5, "an iteration that was given up leaves no trace"


@pytest.mark.parametrize("change", [{"batch_size": 5}, {"seed": 1}, {"data": in_memory(21)}])
def test_a_state_of_other_batches_is_refused(change):
    state = Loader(in_memory(), 4, train=True).state_dict()
    options = {"data": in_memory(), "batch_size": 4, "seed": 0} | change
    with pytest.raises(VentralError, match="must go on so"):
        Loader(options["data"], options["batch_size"], train=True, seed=options["seed"]).load_state_dict(state)


@pytest.mark.parametrize(
    "change", [{"epoch": None}, {"batches_done": "3"}, {"batches_done": 99}, {"epoch": -1}, {"seed": 0.5}]
)
def test_a_state_that_is_none_is_refused(change):
    loader = Loader(in_memory(), 4, train=True)
    with pytest.raises(VentralError, match=r"whole number|cannot go on"):
        loader.load_state_dict(loader.state_dict() | change)
    with pytest.raises(VentralError, match="needs 'epoch'"):
        loader.load_state_dict({})


def test_a_reading_process_that_is_ended_is_one_sentence(in_folder, monkeypatch):
    def die(path, channels):
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(folder_module, "open_image", die)
    with pytest.raises(VentralError, match="a process that reads images was ended"):
        collect(Loader(in_folder, 2, train=False, workers=1))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_image_is_named(in_folder, workers):
    (in_folder.folder / "03.png").write_text("text")
    with pytest.raises(
        VentralError, match=r"^cannot read '.*03\.png': it is not an image in JPEG, .*format\. `ventral"
    ):
        collect(Loader(in_folder, 5, train=True, workers=workers))


def test_bad_arguments():
    for options in ({"batch_size": 0}, {"batch_size": 4, "seed": -1}, {"batch_size": 4, "workers": -1}):
        with pytest.raises(VentralError, match="batch size of 1 or more"):
            Loader(in_memory(), train=True, **options)
    with pytest.raises(VentralError, match="22 training images do not fill one batch of 23"):
        Loader(in_memory(), 23, train=True)
    assert len(Loader(in_memory(), 23, train=False)) == 1
    for rank, world in ((2, 2), (-1, 1), (0, 0)):
        with pytest.raises(VentralError, match="the rank of a loader"):
            Loader(in_memory(), 4, train=True, rank=rank, world=world)
    with pytest.raises(VentralError, match="got 8 for 8 pixels"):
        Loader(in_memory(), 4, train=True, augment=Augment(crop=8))


class Seen(LightningModule):
    """A linear readout that remembers the rows of the batches it was trained on."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.readout = torch.nn.Linear(192, 22)
        self.rows = []

    def training_step(self, batch, index):
        images, labels = batch
        self.rows.append(labels.tolist())
        return torch.nn.functional.cross_entropy(self.readout(images.flatten(1)), labels)

    def validation_step(self, batch, index):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


def fit(folder, limit, resume=None, callbacks=()):
    module = Seen()
    trainer = Trainer(
        **limit,
        accelerator="cpu",
        default_root_dir=folder,
        callbacks=list(callbacks),
        enable_checkpointing=bool(callbacks),
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    train, val = Loader(in_memory(), 4, train=True), Loader(in_memory(), 4, train=False)
    trainer.fit(module, train, val, ckpt_path=resume)
    return module


@pytest.mark.parametrize("limit", [{"max_epochs": 3}, {"max_steps": 15}], ids=["epochs", "steps"])
def test_lightning_resumes_in_the_middle_of_an_epoch(tmp_path, limit):
    """From a checkpoint after any step: the batches and the weights of a run that never stopped."""
    every_step = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=1, save_top_k=-1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = fit(tmp_path, limit, callbacks=[every_step])
        assert len(whole.rows) == 15 and whole.rows[:5] != whole.rows[5:10]
        for step in (1, 4, 5, 7, 10, 14):
            resumed = fit(tmp_path, limit, resume=tmp_path / f"step={step}.ckpt")
            assert resumed.rows == whole.rows[step:], step
            assert torch.equal(resumed.readout.weight, whole.readout.weight), step
