"""`ventral list`, `ventral show`, `--config`, and how errors look."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import ventralstream as vs
from ventralstream import cli


def run(capsys, monkeypatch, *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["ventral", *arguments])
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit) as stop:
        cli.main()
        raise SystemExit(0)
    out, err = capsys.readouterr()
    return int(stop.value.code or 0), out, err


def test_show_rgc_shallow(capsys, monkeypatch) -> None:
    code, out, _ = run(capsys, monkeypatch, "show", "rgc_shallow", "--steps", "16", "--json")
    data = json.loads(out)
    assert code == 0
    assert abs(data["parameters"] / 23.96e6 - 1) < 1e-3
    assert data["flops_planned"] <= 0.61 * data["flops_naive"]
    assert data["flops_planned_batched"] < data["flops_planned"]
    assert data["area_steps_naive"] == 96 and data["area_steps_planned"] == 46
    assert data["training_bytes"] < data["training_bytes_naive"]
    assert vs.spec_from_json(data["spec"]) == vs.model_spec("rgc_shallow")


def test_show_draws_the_unroll(capsys, monkeypatch) -> None:
    code, out, _ = run(capsys, monkeypatch, "show", "cornet_s")
    assert code == 0
    assert "decoder  " in out and "reused" in out and "53.42 M" in out


def test_show_a_saved_network(capsys, monkeypatch, tmp_path) -> None:
    vs.save_network(vs.create_model("ff_shallow_cifar", seed=0, num_classes=4), tmp_path)
    code, out, _ = run(capsys, monkeypatch, "show", str(tmp_path), "--json")
    assert code == 0 and json.loads(out)["spec"]["areas"][-1]["drive"][-1]["features"] == 4


def test_names_are_no_markup(capsys, monkeypatch, tmp_path) -> None:
    net = vs.create_model("ff_shallow_cifar", seed=0)
    vs.save_network(vs.build(net.spec.replace(name="a[/b] [red]\x1b[2J")), tmp_path)
    code, out, _ = run(capsys, monkeypatch, "show", str(tmp_path))
    assert code == 0 and out.startswith("a[/b] [red]\\x1b[2J  ")


def test_list(capsys, monkeypatch) -> None:
    code, out, _ = run(capsys, monkeypatch, "list", "cornet*", "--json")
    assert code == 0
    assert [(r["name"], r["parameters"]) for r in json.loads(out)][-1] == ("cornet_z", 2071656)
    code, out, _ = run(capsys, monkeypatch, "list")
    assert code == 0 and all(name in out for name in vs.list_models())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["show", "rgc_shalow"], "did you mean 'rgc_shallow'"),
        (["show", "rgc_shallow", "--steps", "0"], "steps is 0"),
        (["show", "RGC_Shallow"], "did you mean 'rgc_shallow'"),
        (["list", "--recipes", "--published"], "--recipes lists something else than --published"),
        (["list", "--weights", "--recipes"], "--recipes lists something else than --weights"),
        (["list", "--weights", "--family", "cornet"], "--weights lists something else than --family"),
        (["list", "rgc_shalow"], "did you mean 'rgc_shallow'"),
        (["train", "--config", "nowhere.yaml"], "the config file 'nowhere.yaml' is not there"),
    ],
)
def test_bad_input_is_one_sentence(capsys, monkeypatch, arguments, expected) -> None:
    code, out, err = run(capsys, monkeypatch, *arguments)
    assert code == 2 and out == "" and expected in err
    assert len(err.strip().splitlines()) == 1


def test_an_unknown_command_or_option_is_no_traceback(capsys, monkeypatch) -> None:
    for arguments in (["shw"], ["show", "rgc_shallow", "--stepz", "3"]):
        code, _, err = run(capsys, monkeypatch, *arguments)
        assert code == 2 and "Traceback" not in err and err


def test_config_file(capsys, monkeypatch, tmp_path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("epochz: 3\n")
    code, _, err = run(capsys, monkeypatch, "train", "rgc_shallow_cifar", "--config", str(path))
    assert code == 2 and "did you mean 'epochs'" in err
    path.write_text("[1, 2")
    code, _, err = run(capsys, monkeypatch, "train", "rgc_shallow_cifar", "--config", str(path))
    assert code == 2 and "not valid YAML" in err


def test_help_does_not_import_torch() -> None:
    code = (
        "import sys; sys.argv = ['ventral', '--help']\n"
        "from ventralstream import cli\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    pass\n"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
