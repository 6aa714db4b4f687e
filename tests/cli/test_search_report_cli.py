"""`ventral search report` and `ventral search table`."""

import pytest
from simulated_study import simulated

from ventralstream.search import table


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return simulated(tmp_path_factory.mktemp("study"), 8)


@pytest.fixture
def search(ventral, study):
    return lambda what, out: ventral("search", what, study.name, "--out", out, "--storage", study.storage.url)


def test_report(search, tmp_path):
    code, said, _ = search("report", tmp_path / "page.html")
    assert code == 0 and "page.html" in said
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


def test_table(search, tmp_path):
    code, said, _ = search("table", tmp_path / "trials.csv")
    assert code == 0 and "8 trials of 'made_up' are in" in said
    assert len(table(tmp_path / "trials.csv")) == 8


@pytest.mark.parametrize(
    ("what", "out", "said"),
    [
        ("report", "no/page.html", "no such file"),
        ("table", "no/t.csv", "non-existent directory"),
        ("table", "t.txt", "must end in .csv"),
    ],
)
def test_bad_places(search, tmp_path, what, out, said):
    code, _, error = search(what, tmp_path / out)
    assert code == 2 and said in error.lower() and "Traceback" not in error


def test_unknown_study(ventral, study, tmp_path):
    code, _, error = ventral(
        "search", "report", "made_ip", "--out", tmp_path / "p.html", "--storage", study.storage.url
    )
    assert code == 2 and "did you mean 'made_up'?" in error
