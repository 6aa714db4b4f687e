import io

from rich.console import Console

from ventralstream import progress
from ventralstream.progress import Progress


def shown(monkeypatch, every=10.0, pace=4.0, total=5, first=0, **console):
    """What is written of a task whose every part takes `pace` seconds."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    text = io.StringIO()
    with Progress(
        "reading", total, "images", done=first, every=every, console=Console(file=text, width=90, **console)
    ) as bar:
        for done in range(first + 1, total + 1):
            now[0] += pace
            bar.update(done, f"[bold]{done}\x1b[31m\n")
    return text.getvalue()


def test_a_log_gets_a_line_from_time_to_time_and_one_at_the_end(monkeypatch):
    lines = shown(monkeypatch).splitlines()
    assert lines == [
        r"reading: 3/5 images, [bold]3\x1b[31m\n, 0:00:08 left",
        r"reading: 5/5 images, [bold]5\x1b[31m\n, in 0:00:20",
    ]


def test_the_time_left_is_at_this_sessions_pace(monkeypatch):
    assert "4/5 images" in shown(monkeypatch, every=0, first=3) and "0:00:04 left" in shown(
        monkeypatch, every=0, first=3
    )


def test_a_terminal_gets_a_bar_and_nothing_of_it_stays(monkeypatch):
    text = shown(monkeypatch, force_terminal=True)
    assert "reading" in text and "/5" in text and text.endswith("\x1b[1A\x1b[2K")


def test_a_quiet_console_shows_nothing(monkeypatch):
    assert shown(monkeypatch, quiet=True) == ""
