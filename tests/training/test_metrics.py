import time

import pytest

from ventralstream.training.metrics import Metrics, read_rows
from ventralstream.training.run import resume, train


def test_a_resumed_file_is_that_of_a_run_that_never_stopped(tmp_path):
    whole, resumed = Metrics(tmp_path / "whole.csv", ("loss",)), Metrics(tmp_path / "run.csv", ("loss",))
    for step in (1, 2, 3, 4):
        whole.add(step, loss=step / 3)
    for step in (1, 2):
        resumed.add(step, loss=step / 3)
    saved = resumed.text
    resumed.add(3, loss=1.0)
    with (tmp_path / "run.csv").open("a") as file:
        file.write("4,1.33")  # the process was killed here
    assert [row["step"] for row in read_rows(tmp_path / "run.csv")] == ["1", "2", "3"]
    resumed = Metrics(tmp_path / "run.csv", ("loss",), saved)
    for step in (3, 4):
        resumed.add(step, loss=step / 3)
    assert (tmp_path / "run.csv").read_text() == (tmp_path / "whole.csv").read_text() == whole.text


def test_what_is_not_measured_is_empty_and_what_is_no_column_is_refused(tmp_path):
    metrics = Metrics(tmp_path / "m.csv", ("a", "b"))
    metrics.add(7, b=0.5)
    assert read_rows(tmp_path / "m.csv") == [{"step": "7", "a": "", "b": "0.5"}]
    with pytest.raises(ValueError, match="c"):
        metrics.add(8, c=1.0)
    assert read_rows(tmp_path / "nowhere.csv") == []


@pytest.mark.parametrize("set_back", [0.0, 10 * 86_400.0], ids=["at once", "the clock was set back"])
def test_tensorboard_shows_each_row_once(tmp_path, monkeypatch, spec, recipe, place, stop, set_back):
    """However soon, by its clock, a run goes on."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    place = place.replace(checkpoint_every=3600.0)  # that of the first epoch; after it a row is logged, and again later
    with pytest.raises(BaseException, match="power"):
        train(spec, recipe, tmp_path / "run", place=place, after_batch=stop(11))
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - set_back)
    resume(tmp_path / "run")
    board = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    rows = read_rows(tmp_path / "run" / "metrics.csv")
    for name in ("train_loss", "val_accuracy"):
        expected = [(int(row["step"]), pytest.approx(float(row[name]))) for row in rows if row[name]]
        assert [(event.step, event.value) for event in board.Scalars(name)] == expected
