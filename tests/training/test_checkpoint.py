import errno
import json
import pickletools

import pytest
import torch

from ventralstream.errors import VentralError
from ventralstream.training import checkpoint
from ventralstream.training.checkpoint import (
    STATE,
    SUMS,
    TENSORS,
    checkpoints,
    position,
    position_name,
    read_checkpoint,
    write_checkpoint,
)

SHARED = torch.arange(6.0)
CONTENT = {
    "state_dict": {"a.b": torch.randn(2, 3), "half": torch.randn(2).bfloat16(), "rng": torch.get_rng_state()},
    "optimizer_states": [
        {
            "state": {0: {"step": torch.tensor(3.0)}, 1: {}},
            "param_groups": [{"lr": 0.1, "betas": (0.9, 0.99)}],
        }
    ],
    "transposed": torch.randn(3, 2).T,
    "shared": [SHARED, SHARED[2:]],
    "nothing": None,
    "flag": True,
    "infinite": float("inf"),
    "third": 1 / 3,
    "text": "a/b",
    "@tensor": "not one",
    "empty": {},
}


def assert_same(a, b):
    assert type(a) is type(b)
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype and torch.equal(a, b)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert a == b


def test_what_is_read_is_what_was_written(tmp_path):
    write_checkpoint(tmp_path / "one", CONTENT)
    assert_same(read_checkpoint(tmp_path / "one"), CONTENT)
    assert {p.name for p in (tmp_path / "one").iterdir()} == {STATE, TENSORS, SUMS}
    json.loads((tmp_path / "one" / STATE).read_text())


def test_it_holds_no_pickle(tmp_path):
    write_checkpoint(tmp_path / "one", CONTENT)
    for file in (tmp_path / "one").iterdir():
        with pytest.raises(ValueError):
            list(pickletools.genops(file.read_bytes()))


def cut(data, part):
    return data[: int(len(data) * part)]


def flipped(data, part):
    at = min(int(len(data) * part), len(data) - 1)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("file", [STATE, TENSORS, SUMS])
@pytest.mark.parametrize("damage", [cut, flipped])
@pytest.mark.parametrize("part", [0.0, 0.5, 0.99])
def test_a_damaged_one_is_one_sentence(tmp_path, file, damage, part):
    write_checkpoint(tmp_path / "one", CONTENT)
    path = tmp_path / "one" / file
    path.write_bytes(damage(path.read_bytes(), part))
    with pytest.raises(VentralError, match=r"^the checkpoint '.*one' is damaged: ") as error:
        read_checkpoint(tmp_path / "one")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device")])
def test_a_full_disk_leaves_the_one_that_was_there(tmp_path, monkeypatch, error):
    write_checkpoint(tmp_path / "one", CONTENT)

    def full(*_):
        raise error

    monkeypatch.setattr(checkpoint, "save_tensors", full)
    with pytest.raises(OSError):
        write_checkpoint(tmp_path / "one", {"newer": 1})
    assert_same(read_checkpoint(tmp_path / "one"), CONTENT)
    assert list(tmp_path.iterdir()) == [tmp_path / "one"], "nothing half written stays"


@pytest.mark.parametrize("kind", ["file", "link", "loop"])
def test_what_stands_in_its_place_is_replaced(tmp_path, kind):
    path = tmp_path / "one"
    {"file": lambda: path.write_text("?"), "link": lambda: path.symlink_to(tmp_path / "nowhere")}.get(
        kind, lambda: path.symlink_to(path)
    )()
    write_checkpoint(path, CONTENT)
    assert_same(read_checkpoint(path), CONTENT)


def test_what_cannot_be_kept_is_refused_before_anything_is_written(tmp_path):
    for content in ({"f": {"g": print}}, {"f": {(1, 2): 3}}):
        with pytest.raises(VentralError, match="checkpoint"):
            write_checkpoint(tmp_path / "one", content)
    with pytest.raises(VentralError, match="two tensors of a checkpoint would be named 'a/b'"):
        write_checkpoint(tmp_path / "one", {"a": {"b": SHARED}, "a/b": SHARED})
    assert not list(tmp_path.iterdir())


def test_a_half_written_one_is_none_and_does_not_stand_in_the_way(tmp_path):
    name = position_name(0, 3)
    (tmp_path / f"{name}.part").mkdir()
    (tmp_path / f"{name}.part" / TENSORS).write_text("half")
    assert checkpoints(tmp_path) == [] == checkpoints(tmp_path / "nowhere")
    write_checkpoint(tmp_path / name, CONTENT)
    write_checkpoint(tmp_path / name, {"newer": 1})
    assert checkpoints(tmp_path) == [tmp_path / name] == list(tmp_path.iterdir())
    assert read_checkpoint(tmp_path / name) == {"newer": 1}


def test_names_are_positions_in_order(tmp_path):
    positions = [(0, 5), (0, 1_000_000), (1, 0), (2, 7), (1000, 0)]
    for at in reversed(positions):
        write_checkpoint(tmp_path / position_name(*at), {})
    assert [position(path.name) for path in checkpoints(tmp_path)] == positions
    with pytest.raises(VentralError, match="not a checkpoint's name"):
        position("last")
