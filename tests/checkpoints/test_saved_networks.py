"""A saved network comes back exactly, or not at all and with a sentence."""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

import ventralstream as vs
from ventralstream.checkpoints import disk
from ventralstream.checkpoints.disk import class_names
from ventralstream.models import find_spec

FILES = ("config.json", "model.safetensors", "SHA256SUMS")


def spec(channels: int = 3, steps: int = 4) -> vs.NetworkSpec:
    return vs.model_spec("ff_shallow_cifar", num_classes=channels, steps=steps)


@pytest.fixture(scope="module")
def net() -> vs.Network:
    return vs.build(spec(), seed=0).eval()


@pytest.fixture
def saved(net: vs.Network, tmp_path: Path) -> Path:
    vs.save_network(net, tmp_path / "saved")
    return tmp_path / "saved"


def refused(folder: Path, *expected: str) -> None:
    with pytest.raises(vs.VentralError) as caught:
        vs.load_network(folder)
    assert str(caught.value).isprintable()
    for part in expected:
        assert part in str(caught.value)


def same(a: vs.Network, b: vs.Network) -> bool:
    states = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return a.spec == b.spec and all(torch.equal(x, y) for x, y in states)


def test_what_is_saved(net: vs.Network, saved: Path) -> None:
    assert {f.name for f in saved.iterdir()} == set(FILES)
    assert same(vs.load_network(saved), net)
    assert len({f.stat().st_mode for f in saved.iterdir()}) == 1, "who may read one may read all"
    if sums := shutil.which("sha256sum"):
        assert subprocess.run([sums, "--quiet", "-c", "SHA256SUMS"], cwd=saved, capture_output=True).returncode == 0
    (saved / "notes.txt").write_text("a file of the user's own")
    (saved / "model.safetensors.part").write_text("left over")
    assert same(vs.load_network(saved), net)


def test_flipped_bits_are_found(saved: Path) -> None:
    draw = random.Random(0)
    for name in FILES:
        whole = (saved / name).read_bytes()
        for _ in range(12):
            data = bytearray(whole)
            at = (
                draw.randrange(len(data))
                if name != "SHA256SUMS"
                else draw.randrange(data.index(b"\n") + 1, len(data) - 1)
            )
            data[at] ^= 1 << draw.randrange(8)
            (saved / name).write_bytes(data)
            refused(saved)
        (saved / name).write_bytes(whole)
    vs.load_network(saved)


def test_a_network_of_ones_own_tensors_has_no_checksum_to_fail(net: vs.Network, saved: Path) -> None:
    tensors = load_file(saved / "model.safetensors")
    save_file({k: v + 1 if v.is_floating_point() else v for k, v in tensors.items()}, saved / "model.safetensors")
    refused(saved, "model.safetensors", "delete SHA256SUMS")
    (saved / "SHA256SUMS").unlink()
    assert not same(vs.load_network(saved), net)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_paths_that_are_no_files(saved: Path, name: str) -> None:
    path = saved / name
    for make, expected in (
        (path.mkdir, "folder"),
        (lambda: os.mkfifo(path), "named pipe"),
        (lambda: path.symlink_to("gone"), "link to nothing"),
        (lambda: path.symlink_to("/dev/zero"), "device"),
    ):
        path.unlink()
        make()
        refused(saved, name, expected)
        if path.is_dir():
            path.rmdir()
            path.touch()
    path.unlink()
    refused(saved, name)


DEEP = '{"a":' * 100_000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        '"x"',
        "null",
        DEEP,
        "[" * 100_000,
        '{"type": "network"}',
        '{"type": "conv"}',
        "\ufeff{}",
        "NaN",
    ],
    ids=range(12),
)
def test_a_config_that_is_none(saved: Path, text: str) -> None:
    (saved / "config.json").write_text(text)
    refused(saved, "config.json")


def test_a_config_of_odd_bytes_or_of_another_version(net: vs.Network, saved: Path) -> None:
    path = saved / "config.json"
    config = json.loads(path.read_text())
    path.write_bytes(b"\xff\xfe\x00{")
    refused(saved, "config.json", "not UTF-8")
    path.write_text(json.dumps(config | {"holograms": 3}))
    refused(saved, "holograms")
    sums = saved / "SHA256SUMS"
    sums.write_text(sums.read_text().replace("# ventralstream ", "# ventralstream 99.", 1))
    refused(saved, "holograms", "saved by ventralstream 99.")
    path.write_text(net.spec.replace(steps=9).to_text())
    refused(saved, "config.json in", "its checksum differs")
    path.write_text(spec(channels=5).to_text())
    refused(saved, "does not fit", "misshapen")


def header(data: bytes, change: Callable[[dict[str, Any]], Any]) -> bytes:
    (size,) = struct.unpack("<Q", data[:8])
    table = json.loads(data[8 : 8 + size])
    change(table)
    text = json.dumps(table).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + size :]


def first(table: dict[str, Any]) -> dict[str, Any]:
    return table[min(table)]


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: b"",
        lambda d: d[:7],
        lambda d: d[:100],
        lambda d: d[:-1],
        lambda d: d + b"more",
        lambda d: struct.pack("<Q", 1 << 62) + d[8:],
        lambda d: struct.pack("<Q", 200_000_000) + d[8:],
        lambda d: b"hello, world",
        lambda d: header(d, lambda t: first(t).update(dtype="F128")),
        lambda d: header(d, lambda t: first(t).update(shape=[1 << 40, 1 << 40])),
        lambda d: header(d, lambda t: first(t).update(shape=[-1])),
        lambda d: header(d, lambda t: first(t).update(data_offsets=[0, 1 << 50])),
        lambda d: header(d, lambda t: first(t).update(data_offsets=[8, 0])),
        lambda d: header(d, lambda t: t.update({"a\nb\x1b[2J": t.pop(min(t))})),
        lambda d: header(d, lambda t: t.pop(max(t))),
        lambda d: header(d, lambda t: t.clear()),
    ],
    ids=range(16),
)
def test_tensors_that_are_damaged(saved: Path, damage: Callable[[bytes], bytes]) -> None:
    path = saved / "model.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    (saved / "SHA256SUMS").unlink()
    refused(saved, "model.safetensors")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda x: x.fill_(float("nan")), "not finite"),
        (lambda x: x.index_fill_(0, torch.tensor([0]), float("inf")), "not finite"),
        (lambda x: x.to(torch.complex64), "of type complex64, expected float32"),
        (lambda x: x.to(torch.int64), "of type int64, expected float32"),
        (lambda x: x[..., None], "misshapen"),
    ],
)
def test_tensors_that_are_no_weights(
    net: vs.Network, saved: Path, change: Callable[[torch.Tensor], torch.Tensor], expected: str
) -> None:
    tensors = load_file(saved / "model.safetensors")
    name = next(k for k, v in tensors.items() if v.dim() == 4)
    save_file(tensors | {name: change(tensors[name].clone())}, saved / "model.safetensors")
    (saved / "SHA256SUMS").unlink()
    refused(saved, name, expected)


def test_what_is_not_finite_is_not_saved(net: vs.Network, saved: Path) -> None:
    broken = vs.build(net.spec, seed=1)
    next(p for p in broken.parameters() if p.dim() == 1).data[0] = float("nan")
    with pytest.raises(vs.VentralError, match="1 values that are not finite"):
        vs.save_network(broken, saved)
    assert same(vs.load_network(saved), net)


@pytest.mark.parametrize("at", ["model.safetensors", "config.json", "SHA256SUMS", "provenance.json"])
def test_a_full_disk_leaves_the_old_network_whole(
    net: vs.Network, saved: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """Full when that file is written."""

    def full(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    write = Path.write_text
    if at == "model.safetensors":
        monkeypatch.setattr(disk, "save_tensors", full)
    monkeypatch.setattr(Path, "write_text", lambda p, *a, **o: full() if at in p.name else write(p, *a, **o))
    with pytest.raises(vs.VentralError, match=r"cannot be saved in .*no space left") as caught:
        vs.save_network(vs.build(spec(steps=7), seed=1), saved, {"source": "here"})
    assert isinstance(caught.value, OSError)
    assert same(vs.load_network(saved), net)
    assert {f.name for f in saved.iterdir()} == set(FILES)


def test_a_disk_that_takes_no_tensors_is_an_error_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise SafetensorError("I/O error: No space left on device")

    monkeypatch.setattr(disk, "save_file", full)
    with pytest.raises(OSError, match=r"cannot write .*No space left"):
        disk.save_tensors({"a": torch.zeros(3)}, tmp_path / "a.safetensors")


@pytest.mark.parametrize("renames", range(3))
def test_a_saving_that_is_cut_off_is_said(
    net: vs.Network, saved: Path, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    """Killed after so many of the three files got their names."""
    left, replace = [renames], Path.replace

    def killing(path: Path, target: Path) -> Path:
        if left[0] == 0:
            raise SystemExit
        left[0] -= 1
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", killing)
    with pytest.raises(SystemExit):
        vs.save_network(vs.build(spec(steps=7), seed=1), saved)
    if renames == 0:
        assert same(vs.load_network(saved), net)
    else:
        refused(saved, "a saving was cut off")


def test_folders_that_cannot_be_written(net: vs.Network, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("file", "file/below", "x" * 300, "\0"):
        with pytest.raises(vs.VentralError, match="cannot be saved in"):
            vs.save_network(net, tmp_path / name)


def test_provenance_belongs_to_its_weights(net: vs.Network, saved: Path) -> None:
    vs.save_network(net, saved)
    assert class_names(saved) == ()
    disk.save_network(net, saved, {"class_names": ["a", "b"]})
    assert class_names(saved) == ("a", "b")
    vs.save_network(net, saved)
    assert class_names(saved) == (), "those were of other weights"
    path = saved / "provenance.json"
    for text in ("", "[]", "{", "[" * 100_000, '{"class_names": 3}', '{"class_names": [1]}'):
        path.write_text(text)
        with pytest.raises(vs.VentralError, match=r"provenance\.json' does not tell the names of the classes"):
            class_names(saved)
    path.unlink()
    path.mkdir()
    with pytest.raises(vs.VentralError, match="it is a folder"):
        class_names(saved)


@pytest.mark.parametrize("name", ["x" * 300, "\0", "no/such", "a\nb"])
def test_odd_paths_of_saved_networks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    loads: list[Callable[[], object]] = [
        lambda: vs.load_network(name),
        lambda: vs.create_model("ff_shallow_cifar", weights=name),
        lambda: find_spec(name),
    ]
    for load in loads:
        with pytest.raises(vs.VentralError) as caught:
            load()
        assert "\n" not in str(caught.value) or "unknown model" in str(caught.value)
