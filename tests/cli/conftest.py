import sys

import pytest

from ventralstream.cli import main


@pytest.fixture
def ventral(monkeypatch, capsys):
    """Runs a command line: (exit code, what it printed, what it said on stderr)."""

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["ventral", *map(str, args)])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run
