"""Published weights to saved networks, strictly."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

import ventralstream as vs
from ventralstream.cli import app
from ventralstream.models.convert import convert
from ventralstream.published import load_convrnn, read_tf_checkpoint


def cornet_file(path: Path, prefix: str = "module.") -> Path:
    """A state dict of CORnet-Z as its authors save it: a training checkpoint with the prefix of DataParallel."""
    torch.manual_seed(0)
    shapes = {"V1.conv": (64, 3, 7), "V2.conv": (128, 64, 3), "V4.conv": (256, 128, 3), "IT.conv": (512, 256, 3)}
    state = {f"{prefix}{k}.weight": torch.randn(o, i, s, s) for k, (o, i, s) in shapes.items()}
    state |= {f"{prefix}{k}.bias": torch.randn(o) for k, (o, _, _) in shapes.items()}
    state |= {
        f"{prefix}decoder.linear.weight": torch.randn(1000, 512),
        f"{prefix}decoder.linear.bias": torch.randn(1000),
    }
    torch.save({"epoch": 3, "state_dict": state}, path)
    return path


def test_a_cornet_state_dict(tmp_path: Path) -> None:
    net = convert(cornet_file(tmp_path / "z.pth"), "cornet_z", tmp_path / "W")
    x = torch.randn(1, 3, 64, 64)
    loaded = vs.create_model("cornet_z", weights=tmp_path / "W")
    assert torch.equal(loaded(x).output, net(x).output)
    told = json.loads((tmp_path / "W" / "provenance.json").read_text())
    assert told["licence"] == "GPL-3.0" and len(told["class_names"]) == 1000 and list(told["files"]) == ["z.pth"]
    config = json.loads((tmp_path / "W" / "config.json").read_text())
    assert config["mean"] == [0.485, 0.456, 0.406] and config["presentation"]["type"] == "presentation"
    with pytest.raises(vs.VentralError, match="of 'cornet_z', not of 'cornet_s'"):
        vs.create_model("cornet_s", weights=tmp_path / "W")
    with pytest.warns(vs.FreshReadout, match="'cornet_z' told 1000 classes apart: its readout of 10 classes is fresh"):
        assert vs.create_model("cornet_z", weights=tmp_path / "W", num_classes=10)(x).output.shape == (1, 10)


def test_what_cannot_be_converted(tmp_path: Path) -> None:
    def sentence(source: Path, model: str, *expected: str) -> None:
        with pytest.raises(vs.VentralError) as caught:
            convert(source, model, tmp_path / "W")
        assert "\n" not in str(caught.value)
        for part in expected:
            assert part in str(caught.value)
        assert not (tmp_path / "W").exists()

    good = cornet_file(tmp_path / "z.pth", prefix="")
    sentence(good, "cornet_s", "missing (V1.conv1.weight", "left over (V1.conv.weight")
    sentence(good, "rgc_shallow_cifar", "no published weights are known")
    sentence(good, "rgc_shalow", "did you mean 'rgc_shallow'")
    sentence(tmp_path / "none.pth", "cornet_z", "no file")
    sentence(tmp_path / "none.ckpt", "rgc_shallow", "none.ckpt.index")
    (tmp_path / "text.pth").write_text("hello")
    sentence(tmp_path / "text.pth", "cornet_z", "cannot be read")
    torch.save({"weights": [1, 2]}, tmp_path / "list.pth")
    sentence(tmp_path / "list.pth", "cornet_z", "holds no state dict")
    (tmp_path / "cut.pth").write_bytes(good.read_bytes()[:1000])
    sentence(tmp_path / "cut.pth", "cornet_z", "cannot be read")


def test_nothing_but_tensors_is_unpickled(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "exploded",))

    torch.save({"state_dict": Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(vs.VentralError, match="cannot be read"):
        convert(tmp_path / "bomb.pth", "cornet_z", tmp_path / "W")
    assert not (tmp_path / "exploded").exists()


def test_tensorflow_types_shapes_and_slices(reference: Path) -> None:
    found = read_tf_checkpoint(reference / "convrnns" / "tiny_mixed.ckpt.index")
    expected = {
        "a/float32": np.array([[0, 0.5, 1], [1.5, 2, 2.5]], np.float32),
        "a/float64": np.linspace(-1, 1, 5),
        "a/int32": np.array([[1, -2], [3, 2147483647]], np.int32),
        "a/int64": np.array([-(2**40), 7]),
        "a/uint8": np.arange(5, dtype=np.uint8),
        "a/bool": np.array([True, False, True]),
        "a/half": np.array([0.5, -1.25, 65504.0], np.float16),
        "b/scalar": np.float32(3.25),
        "b/empty": np.zeros((0, 4), np.float32),
        "c/part": np.arange(14, dtype=np.float32).reshape(7, 2),
    } | {f"many/v_{i:03d}": np.float32(i) for i in range(300)}
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype, name
        np.testing.assert_array_equal(found[name], value, err_msg=name)


@pytest.mark.parametrize(
    "damage", ["cut the data", "flip a byte of the data", "cut the index", "flip the index", "lose the data"]
)
def test_damaged_tensorflow_checkpoints(reference: Path, tmp_path: Path, damage: str) -> None:
    for file in (reference / "convrnns").glob("tiny_mixed.ckpt.*"):
        shutil.copy(file, tmp_path)
    index, data = tmp_path / "tiny_mixed.ckpt.index", tmp_path / "tiny_mixed.ckpt.data-00000-of-00001"
    target = data if "data" in damage else index
    raw = bytearray(target.read_bytes())
    if damage.startswith("cut"):
        target.write_bytes(raw[:-20])
    elif damage.startswith("flip"):
        raw[5] ^= 255
        target.write_bytes(raw)
    else:
        target.unlink()
    with pytest.raises(vs.VentralError, match=r"tiny_mixed\.ckpt") as caught:
        read_tf_checkpoint(tmp_path / "tiny_mixed.ckpt")
    assert "\n" not in str(caught.value)


def test_an_index_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "x.index").write_bytes(b"\0" * 60 + struct.pack("<Q", 1))
    with pytest.raises(vs.VentralError, match="no valid end"):
        read_tf_checkpoint(tmp_path / "x")


def test_convert_on_the_command_line(reference: Path, tmp_path: Path) -> None:
    from originals import images
    from typer.testing import CliRunner

    source = reference / "convrnns" / "timedecay_shallow.ckpt"
    result = CliRunner().invoke(
        app, ["convert", str(source), "--model", "timedecay_shallow", "--out", str(tmp_path / "W")]
    )
    assert result.exit_code == 0, result.output
    net = vs.create_model("timedecay_shallow", weights=tmp_path / "W")
    expected = np.load(reference / "convrnns" / "timedecay_shallow.npz")["default.logits"]
    with torch.no_grad():
        out = net(images()).output.numpy()
    assert np.abs(out - expected).max() < 1e-4 * expected.std()


def test_other_names_than_a_network_has_are_listed() -> None:
    net = vs.create_model("timedecay_shallow")
    with pytest.raises(vs.VentralError, match=r"18 missing .*1 left over \(mine\)"):
        load_convrnn(net, {"mine": np.zeros(3), "tnn_model/conv1/pre_0/bias/Momentum": 0, "global_step": 1})
    with pytest.raises(vs.VentralError, match="has no cell"):
        load_convrnn(vs.create_model("ff_shallow"), {})


def test_the_list_says_where_weights_are_published() -> None:
    from typer.testing import CliRunner

    page = "https://github.com/dicarlolab/CORnet"
    told = CliRunner().invoke(app, ["list", "cornet*", "--published"])
    assert told.exit_code == 0 and page in told.output
    rows = json.loads(CliRunner().invoke(app, ["list", "cornet*", "--published", "--json"]).output)
    assert {row["published_weights"] for row in rows} == {page}
    (own,) = json.loads(CliRunner().invoke(app, ["list", "rgc_shallow_cifar", "--json"]).output)
    assert own["published_weights"] is None
