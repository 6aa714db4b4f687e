"""The command line's edge: whatever comes in, one sentence on stderr, no traceback, an exit code that is not 0."""

import os
import signal
import subprocess
import sys

import pytest
import typer

from ventralstream.cli import main
from ventralstream.errors import Interrupted

COMMAND = [sys.executable, "-m", "ventralstream"]


@pytest.fixture
def ventral(monkeypatch, capsys):
    """Runs a command line: (exit code, what it printed, what it said on stderr)."""

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["ventral", *map(str, args)])
        with pytest.raises(SystemExit) as stop:
            main()
        shown = capsys.readouterr()
        return stop.value.code or 0, shown.out, shown.err

    return run


@pytest.fixture
def failing(monkeypatch, ventral):
    """What `ventral list` does when listing fails."""

    def run(error):
        def fail(*args, **kwargs):
            raise error

        monkeypatch.setattr("ventralstream.models.list_models", fail)
        return ventral("list")

    return run


def assert_one_sentence(found, *parts):
    code, printed, said = found
    assert code == 2 and printed == "" and said.startswith("error: ") and said.count("\n") == 1, said
    assert "Traceback" not in said and len(said) < 4200
    for part in parts:
        assert part in said


@pytest.mark.parametrize(
    "args",
    [
        ["show", "a" * 5000],
        ["evaluate", "a" * 300],
        ["train", "a" * 300, "--out", "x"],
        ["train", "a/" * 5000, "--out", "x"],
        ["train", "rgc_shallow_cifar", "--data", "scenes", "--out", "a" * 300],
        ["train", "--resume", "a" * 300],
        ["train", "--config", "a" * 300],
        ["convert", "a" * 300, "--model", "rgc_shallow", "--out", "x"],
        ["show", "caf\udce9"],
        ["evaluate", "caf\udce9"],
        ["train", "--resume", "caf\udce9"],
        ["train", "--config", "caf\udce9"],
        ["show", "\x1b[31m[bold]\nred"],
        ["train", "--epochs", "\udce9"],
        ["tr\x1bain"],
        ["train", "--epoch", "3"],
        ["train", "--epochs", "1e400"],
        ["train", "rgc_shallow_cifar", "--lr", "nan", "--out", "x"],
        ["train", "rgc_shallow_cifar", "--seed", str(2**64), "--out", "x"],
        ["evaluate", ".", "--subset", "0"],
        ["train", "rgc_shallow_cifar", "--subset", "0", "--out", "x"],
    ],
)
def test_arguments(tmp_path, monkeypatch, ventral, args):
    monkeypatch.chdir(tmp_path)
    found = ventral(*args)
    assert_one_sentence(found)
    assert "\x1b" not in found[2] and not list(tmp_path.iterdir())


CONFIGS = {
    "a list": b"- a\n- b\n",
    "a number": b"5\n",
    "false": b"false",
    "binary": bytes(range(256)),
    "latin-1": "data: caf\xe9".encode("latin1"),
    "empty": b"",
    "a comment": b"# nothing\n",
    "deep YAML": b"[" * 100_000,
    "deep JSON": b'{"a":' * 100_000,
    "a key twice": b"epochs: 1\nepochs: 2\n",
    "an option twice": b"val-subset: 1\nval_subset: 2\n",
    "unknown": b"epoch: 3\n",
    "2.5 epochs": b"epochs: 2.5\n",
    "true epochs": b"epochs: true\n",
    "a text for a number": b"epochs: abc\n",
    "a number for a flag": b"remat: 3\n",
    "a list for a text": b"data: [a]\n",
    "no value": b"epochs:\n",
    "a date": b"data: 2020-01-01\n",
    "a tag": b'epochs: !!python/object/apply:os.system ["true"]\n',
    "references": b'a: &a ["lol", "lol"]\nb: &b [*a, *a]\n',
    "merges": b"a: &a {x: 1}\nb:\n  <<: *a\n",
    "a huge number": b"epochs: " + b"9" * 10_000,
    "a list as a key": b"? [a]\n: 1\n",
    "two documents": b"--- {epochs: 1}\n--- {epochs: 2}\n",
    "large": b"a: b\n" * 400_000,
    "escapes": b'"\\e[31mred\\n[bold]": 1\n',
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_config_files(tmp_path, ventral, kind):
    (tmp_path / "options.yaml").write_bytes(CONFIGS[kind])
    found = ventral("train", "--config", tmp_path / "options.yaml")
    assert_one_sentence(found, "'epochs'" if "epochs" in kind else "")
    if kind == "unknown":
        assert "unknown option 'epoch'" in found[2] and "did you mean 'epochs'" in found[2]
    if kind == "escapes":
        assert r"'\x1b[31mred\n[bold]'" in found[2]


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: path.symlink_to(path)], ids=["dir", "pipe", "loop"])
def test_a_config_that_is_no_file(tmp_path, ventral, make):
    make(tmp_path / "options.yaml")
    assert_one_sentence(ventral("train", "--config", tmp_path / "options.yaml"), "expected a YAML file")


def test_options_by_their_names_on_the_command_line(tmp_path, ventral):
    (tmp_path / "options.yaml").write_text("json: true\nsubset: 0\n")
    assert_one_sentence(ventral("evaluate", tmp_path, "--config", tmp_path / "options.yaml"), "--subset is 0")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (MemoryError(), 2, "too little memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 20 GiB"), 2, "too little memory"),
        (RecursionError("maximum recursion depth exceeded"), 2, "nested too deeply"),
        (
            PermissionError(13, "Permission denied", "some/file"),
            2,
            "cannot read or write 'some/file': permission denied",
        ),
        (OSError(28, "No space left on device"), 2, "no space left on device"),
        (KeyError("x\n\x1by"), 1, "a fault of ventralstream"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (Interrupted.by(signal.SIGTERM, "stopped; carry on with x"), 143, "stopped; carry on with x"),
    ],
)
def test_what_a_command_may_end_with(failing, error, code, message):
    found, printed, said = failing(error)
    assert found == code and printed == "" and message in said.lower()
    assert said.count("\n") == 1 and "\x1b" not in said and "Traceback" not in said


def test_a_signal_while_options_are_read_keeps_its_code(ventral, monkeypatch):
    def read(*args, **options):
        raise Interrupted.by(signal.SIGTERM, "interrupted")

    monkeypatch.setattr(typer.core.TyperGroup, "make_context", read)
    assert ventral("--version") == (143, "", "interrupted\n")


def test_faults_can_be_traced(failing, monkeypatch):
    monkeypatch.setenv("VENTRALSTREAM_TRACEBACK", "1")
    with pytest.raises(KeyError):
        failing(KeyError("x"))


@pytest.mark.skipif(os.name != "posix", reason="uses a POSIX shell and /dev/full")
@pytest.mark.parametrize(
    ("shell", "codes", "said"),
    [
        ("{} --help | head -1", {0, 1}, ""),
        ("{} --version >&-", {2}, "error: stdout is closed"),
        ("{} --version > /dev/full", {1, 2}, "error: cannot "),
        ("{} --version 2>&-", {0}, ""),
    ],
)
def test_streams_that_do_not_take_what_is_written(shell, codes, said):
    line = "set -o pipefail; " + shell.format(f"{sys.executable} -m ventralstream")
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    assert done.returncode in codes and done.stderr.lower().startswith(said) and done.stderr.count("\n") == bool(said)


@pytest.mark.parametrize("environment", [{"COLUMNS": "0"}, {"PYTHONOPTIMIZE": "2"}], ids=str)
def test_environments_that_show_nothing_or_strip_docstrings(environment):
    line = [sys.executable, "-m", "ventralstream", "show", "ff_shallow_cifar"]
    done = subprocess.run(line, capture_output=True, text=True, env=os.environ | environment)
    assert (done.returncode, done.stderr) == (0, "") and "conv1" in done.stdout


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX environment")
def test_no_home_and_no_place_to_write(tmp_path):
    """Nothing but PATH, in a folder that is gone: PyTorch itself needs one."""
    gone = tmp_path / "gone"
    gone.mkdir()
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    line = f"rmdir {gone}; exec {sys.executable} -m ventralstream show ff_shallow_cifar --json"
    done = subprocess.run(["bash", "-c", line], cwd=gone, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "error: the current folder is gone; expected to be in one\n")
    line = f"exec {sys.executable} -m ventralstream show ff_shallow_cifar --json"
    done = subprocess.run(["bash", "-c", line], cwd="/", env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
