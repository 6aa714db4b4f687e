"""Files and folders whole or not there, and claims."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ventralstream.errors import VentralError
from ventralstream.files import claimed, replace_folder, replacing_folder

HOLDER = """
import os, sys, time
from pathlib import Path
from ventralstream.files import claimed
with claimed(Path(sys.argv[1]), str):
    if os.fork() == 0:  # a process that it started, and that lives on
        time.sleep(30)
    print("claimed", flush=True)
    sys.stdin.read()
"""


def folder(path: Path, text: str) -> Path:
    path.mkdir()
    (path / "a").write_text(text)
    return path


def texts(root: Path) -> dict[str, str]:
    return {path.name: (path / "a").read_text() for path in root.iterdir()}


def test_a_folder_is_replaced_when_the_new_one_is_whole(tmp_path):
    folder(tmp_path / "one", "old")
    with pytest.raises(ZeroDivisionError), replacing_folder(tmp_path / "one") as part:
        (part / "a").write_text("half")
        1 / 0  # noqa: B018
    assert texts(tmp_path) == {"one": "old"}
    with replacing_folder(tmp_path / "one") as part:
        (part / "a").write_text("new")
    assert texts(tmp_path) == {"one": "new"}


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_process_killed_while_it_replaces_a_folder_loses_neither(tmp_path, monkeypatch, renames):
    folder(tmp_path / "one", "old")
    new = folder(tmp_path / "one.part", "new")
    replace, count = Path.replace, []

    def until_killed(path, target):
        if len(count) == renames:
            raise KeyboardInterrupt
        count.append(1)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", until_killed)
    if renames < 2:
        with pytest.raises(KeyboardInterrupt):
            replace_folder(new, tmp_path / "one")
        assert sorted(texts(tmp_path).values()) == ["new", "old"]
        monkeypatch.undo()
        replace_folder(new, tmp_path / "one")
    else:
        replace_folder(new, tmp_path / "one")
    assert texts(tmp_path) == {"one": "new"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without such locks")
def test_a_claim_ends_with_its_process(tmp_path):
    """Also if it is killed, though the file stays and a process that it started lives on."""
    path = tmp_path / "lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert holder.stdout.readline() == b"claimed\n"
        with (
            pytest.raises(VentralError, match=f"^process {holder.pid} on .* is at it"),
            claimed(path, lambda other: f"{other} is at it"),
        ):
            pass
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        assert path.exists()
        with claimed(path, str):
            assert path.read_text().startswith(f"process {os.getpid()} on ")
        assert not path.exists()
    finally:
        os.killpg(holder.pid, signal.SIGKILL)
