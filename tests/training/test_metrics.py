import pytest

from ventralstream.training.metrics import CsvMetrics, read_rows


def test_a_resumed_file_is_that_of_a_run_that_never_stopped(tmp_path):
    whole, resumed = CsvMetrics(tmp_path / "whole.csv", ("loss",)), CsvMetrics(tmp_path / "run.csv", ("loss",))
    for step in (1, 2, 3, 4):
        whole.log_metrics({"loss": step / 3}, step=step)
    for step in (1, 2, 3):
        resumed.log_metrics({"loss": step / 3}, step=step)
    with (tmp_path / "run.csv").open("a") as file:
        file.write("4,1.33")  # the process was killed here
    assert [row["step"] for row in read_rows(tmp_path / "run.csv")] == ["1", "2", "3"]
    resumed = CsvMetrics(tmp_path / "run.csv", ("loss",), step=2)
    for step in (3, 4):
        resumed.log_metrics({"loss": step / 3}, step=step)
    assert (tmp_path / "run.csv").read_text() == (tmp_path / "whole.csv").read_text()


def test_what_is_not_measured_is_empty_and_what_is_no_column_is_refused(tmp_path):
    metrics = CsvMetrics(tmp_path / "m.csv", ("a", "b"))
    metrics.log_metrics({"b": 0.5}, step=7)
    assert read_rows(tmp_path / "m.csv") == [{"step": "7", "a": "", "b": "0.5"}]
    with pytest.raises(ValueError, match="c"):
        metrics.log_metrics({"c": 1.0}, step=8)
    assert read_rows(tmp_path / "nowhere.csv") == []
