import io
import re
import time

from PIL import Image
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ventralstream.data import FolderSet, Preprocessing
from ventralstream.layers.specs import GlobalPool, Linear
from ventralstream.training import Recipe
from ventralstream.training.folder import TENSORBOARD
from ventralstream.training.run import train
from ventralstream.training.screen import Screen


def run_with(tmp_path, spec, recipe, place, **console):
    text = io.StringIO()
    train(spec, recipe, tmp_path / "run", place=place, console=Console(file=text, width=100, **console))
    return text.getvalue()


def test_a_log_gets_a_line_for_each_epoch(tmp_path, spec, recipe, place, capfd, recwarn):
    lines = run_with(tmp_path, spec, recipe, place).splitlines()
    assert [line.split(":")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    assert "validation accuracy" in lines[0] and "train loss" in lines[0]
    shown = capfd.readouterr()
    assert shown.out == "" and shown.err == "", "Lightning is quiet"
    assert [str(w.message) for w in recwarn] == []


def test_a_log_gets_a_line_from_time_to_time(tmp_path, spec, recipe, place, monkeypatch):
    monkeypatch.setattr(Screen.__init__, "__defaults__", (0.0,))
    lines = run_with(tmp_path, spec, recipe, place).splitlines()
    assert lines[0].startswith("training: 1/12 batches, epoch 1/2, loss ") and lines[0].endswith(" left")
    assert [line.split(",")[1] for line in lines if "validating" in line] == [" validating"] * 2
    assert len(lines) == 11 + 2 + 2, "no line for the last batch, which its validation follows"


def test_a_terminal_gets_a_bar(tmp_path, spec, recipe, place):
    text = run_with(tmp_path, spec, recipe, place, force_terminal=True)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    assert "/12 batches, " in text and "validating" in text and "epoch 2/2: train loss" in text


def test_waiting_for_images_is_said_with_what_helps(tmp_path, spec, place, monkeypatch):
    for path in (tmp_path / split / name / f"{i}.png" for split in ("train", "val") for name in "ab" for i in range(6)):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (len(str(path)), 3, 7)).save(path)
    monkeypatch.setattr(Screen.__init__, "__defaults__", (0.0,))
    read, reader = Preprocessing.read, FolderSet.reader

    def slowly(self, path):
        time.sleep(0.05)
        return read(self, path)

    monkeypatch.setattr(Preprocessing, "read", slowly)
    monkeypatch.setattr(FolderSet, "reader", lambda *args: reader(args[0], None, *args[2:]))
    recipe = Recipe(data="folder", size=16, epochs=2, batch_size=4)
    areas = (spec.area("v1"), spec.area("it"), spec.area("decoder").replace(drive=(GlobalPool(), Linear(2))))
    place = place.replace(root=str(tmp_path), workers=0)
    text = run_with(tmp_path, spec.replace(areas=areas), recipe, place)
    advice = re.findall(r"steps wait (\d+)% of the time for images: more --workers, or `ventral data pack`", text)
    assert len(advice) == 1, text
    assert int(advice[0]) >= 5
    assert re.search(r"epoch 1/2, loss \d\.\d+, waiting for images \d+%, ", text)
    log = EventAccumulator(str(tmp_path / "run" / TENSORBOARD)).Reload()
    waited, worked = (log.Scalars(f"seconds/{name}") for name in ("waited", "worked"))
    assert len(waited) == len(worked) == 2
    assert all(event.value > 0.05 for event in waited)
