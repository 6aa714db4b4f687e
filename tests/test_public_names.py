"""What users and their tools see of the package: names, completion, types, and what each part needs installed."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import ventralstream as vs
from ventralstream.extras import EXTRAS, MissingExtra, require

ROOT = Path(vs.__file__).parents[2]
IMPORT_NAMES = {"pyyaml": "yaml", "pillow": "PIL", "scikit-learn": "sklearn", "google-crc32c": "google_crc32c"}


def run(code: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=folder)


@pytest.mark.parametrize("module", [vs, vs.brain])
def test_every_public_name_is_there_and_listed(module):
    for name in module.__all__:
        assert getattr(module, name) is not None
        assert name in dir(module)


def test_one_import_brings_the_rooms_and_no_torch():
    done = run(
        "import sys, ventralstream as vs\n"
        "assert 'torch' not in sys.modules\n"
        "vs.brain, vs.cells.list_cells, vs.models.create_model, vs.build, vs.train"
    )
    assert done.returncode == 0, done.stderr


def test_a_misspelt_name_is_no_name():
    with pytest.raises(AttributeError, match="ventralstream"):
        vs.create_modle  # noqa: B018


def test_jedi_completes_the_public_names():
    jedi = pytest.importorskip("jedi", reason="jedi is not installed")
    code = "import ventralstream as vs\nvs."
    names = {c.name for c in jedi.Script(code).complete(2, 3)}
    assert {"create_model", "Record", "brain", "extract", "train"} <= names
    code = "import ventralstream as vs\nvs.brain."
    assert "predictivity" in {c.name for c in jedi.Script(code).complete(2, 9)}


SCRIPT = """
from pathlib import Path

import numpy as np
import torch

import ventralstream as vs


def model_of(name: str, classes: int) -> vs.Network:
    net = vs.create_model(name, num_classes=classes, seed=1)
    return net.eval()


def responses(seed: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    return np.random.default_rng(seed).normal(size=(20, 8))


def main(folder: Path) -> float:
    net = model_of("rgc_shallow_cifar", 10)
    images = torch.randn(20, 3, 32, 32)
    out = net(images, steps=10, record=vs.Record(["conv3", "conv5"], reduce="mean"))
    shown = out["conv5"].values
    assert shown.dim() == 3
    ids = [f"image{i}" for i in range(20)]
    recordings = vs.brain.assembly(responses(0), stimulus_id=ids, neuroid_id=[f"n{i}" for i in range(8)])
    features = vs.brain.features(net, images, ["conv5"], stimulus_id=ids, record_steps=[9])
    score = vs.brain.predictivity(features["conv5"].isel(time_bin=0, drop=True), recordings, mapping="ridge")
    vs.save_network(net, folder)
    early = net.decide(images, threshold=0.5)
    print(early.times_ms, score.value)
    spec = vs.model_spec("cornet_s")
    print(vs.first_steps(spec)["IT"])
    return float(score.value)


if __name__ == "__main__":
    main(Path("saved"))
"""


def test_a_strict_type_checker_follows_users_and_finds_misspelt_names(tmp_path):
    pytest.importorskip("mypy", reason="mypy is not installed")
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text(SCRIPT)
    bad.write_text(SCRIPT.replace("vs.brain.predictivity", "vs.brain.predictvity").replace("vs.Record", "vs.Recrod"))
    root = Path(__file__).parents[1]  # its options are strict, and what it has found out with them is kept
    options = ["--config-file", str(root / "pyproject.toml"), "--cache-dir", str(root / ".mypy_cache")]
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "good.py", "bad.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
    )
    lines = [line for line in checked.stdout.splitlines() if "error:" in line]
    assert not [line for line in lines if line.startswith("good.py")], checked.stdout
    assert any("predictvity" in line for line in lines), checked.stdout
    assert any("Recrod" in line for line in lines), checked.stdout


# Stands in the way of all that the core does not need.
WITHOUT_EXTRAS = """
import sys
from ventralstream.extras import EXTRAS
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
absent = {package for packages in EXTRAS.values() for package in packages}
sys.meta_path.insert(0, Absent())
import importlib.util
of_python = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name.split(".")[0] in absent else of_python(name, *a)
import ventralstream as vs
"""


CORE = """
import torch
net = vs.create_model("rgc_shallow_cifar", num_classes=10).eval()
out = net(torch.randn(1, 3, 32, 32), record=vs.Record("conv5", reduce="mean"))
out.output.sum().backward()
assert out["conv5"].values.shape == (1, 10, 128)
assert net.decide(torch.randn(1, 3, 32, 32)).logits.shape == (1, 10)
"""
NEEDED = {
    "vs.extract": "extract",
    "vs.train": "train",
    "vs.brain.predictivity": "brain",
    "vs.from_hub('someone/something')": "hub",
}
ASKING = f"""
for asked in {list(NEEDED)}:
    try: eval(asked)
    except vs.VentralError as error: print(error)
    else: print("imported")
"""


def test_the_core_needs_none_of_the_extras_and_a_missing_one_is_one_sentence_with_the_command():
    done = run(WITHOUT_EXTRAS + CORE + ASKING)
    assert done.returncode == 0, done.stderr
    for said, (asked, extra) in zip(done.stdout.splitlines(), NEEDED.items(), strict=True):
        assert f"pip install 'ventralstream[{extra}]'" in said, asked
        assert extra == "hub" or said.endswith(f"not installed; pip install 'ventralstream[{extra}]'"), asked


# The command line where only some extras are installed. SciPy is scikit-learn's own.
COMMAND_LINE = """
from ventralstream.cli import main
sys.argv = ["ventral", *arguments]
main()
"""


@pytest.mark.parametrize(
    ("extras", "arguments", "said"),
    [
        ("cli", "search --help", "Search for architectures"),
        ("cli", "search create cifar-small", "pip install 'ventralstream[search]'"),
        ("cli", "demo --out demo", "pip install 'ventralstream[train]'"),
        ("explore", "explore --out page.html", "Open it in a browser"),
        ("explore", "explore --data neurons.nc --out page.html", "pip install 'ventralstream[brain]'"),
    ],
)
def test_a_command_runs_with_its_extra_alone_and_names_the_one_it_lacks(extras, arguments, said, tmp_path):
    there = {*EXTRAS[extras], "scipy"}
    code = WITHOUT_EXTRAS.replace("for package in packages}", f"for package in packages}} - {there!r}")
    command = f"arguments = {arguments.split()!r}\n{COMMAND_LINE}"
    done = run(code + command, tmp_path)
    assert said in done.stdout + done.stderr
    assert done.returncode == (2 if "pip" in said else 0), done.stderr


def test_the_table_of_extras_is_what_the_package_declares():
    if not (ROOT / "pyproject.toml").is_file():
        pytest.skip("the package is not installed from a checkout, so there is no pyproject.toml beside it")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert len(project["dependencies"]) <= 8

    def names(extra: str) -> set[str]:
        found: set[str] = set()
        for requirement in project["optional-dependencies"][extra]:
            name = requirement.split(">")[0].split("[")[0].strip()
            if name == "ventralstream":
                for other in requirement.split("[")[1].rstrip("]").split(","):
                    found |= names(other)
            else:
                found.add(IMPORT_NAMES.get(name, name))
        return found

    for extra, packages in EXTRAS.items():
        assert names(extra) == set(packages), extra
    assert names("all") == {package for packages in EXTRAS.values() for package in packages}


def test_an_unknown_extra_is_refused():
    with pytest.raises(vs.VentralError, match="did you mean 'brain'"):
        require("brian")
    with pytest.raises(MissingExtra):
        require("brain", "no_such_package_of_anyone")


def test_the_package_itself_is_typed():
    assert (Path(vs.__file__).parent / "py.typed").is_file()
    assert importlib.util.find_spec("ventralstream") is not None
