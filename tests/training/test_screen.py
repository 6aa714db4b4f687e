import io
import re

from rich.console import Console

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
