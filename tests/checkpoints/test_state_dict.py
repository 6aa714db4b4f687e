"""State dicts of others: nested, prefixed, foreign and hostile."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import ventralstream as vs
from ventralstream.checkpoints.state_dict import read_state_dict
from ventralstream.models.convert import convert
from ventralstream.published import load_convrnn, load_cornet, load_resnet

Tensors = dict[str, Any]


def of_cornet_z(classes: int = 4) -> Tensors:
    torch.manual_seed(0)
    shapes = {"V1.conv": (64, 3, 7), "V2.conv": (128, 64, 3), "V4.conv": (256, 128, 3), "IT.conv": (512, 256, 3)}
    state = {f"{k}.weight": torch.randn(o, i, s, s) for k, (o, i, s) in shapes.items()}
    state |= {f"{k}.bias": torch.randn(o) for k, (o, _, _) in shapes.items()}
    return state | {"decoder.linear.weight": torch.randn(classes, 512), "decoder.linear.bias": torch.randn(classes)}


@pytest.fixture(scope="module")
def state() -> Tensors:
    return of_cornet_z()


@pytest.fixture(scope="module")
def cornet() -> vs.Network:
    return vs.create_model("cornet_z", num_classes=4)


def prefixed(state: Tensors, prefix: str) -> Tensors:
    return {f"{prefix}{k}": v for k, v in state.items()}


WRAPPED: dict[str, Callable[[Tensors], Any]] = {
    "plain": lambda s: s,
    "of DataParallel": lambda s: prefixed(s, "module."),
    "compiled": lambda s: prefixed(s, "_orig_mod."),
    "both": lambda s: prefixed(s, "module._orig_mod."),
    "of Lightning": lambda s: {"epoch": 3, "state_dict": prefixed(s, "model."), "lr_schedulers": []},
    "nested": lambda s: {"epoch": 3, "state_dict": prefixed(s, "module."), "optimizer": {"state": {}}},
    "model": lambda s: {"model": s, "args": None},
    "model_state_dict": lambda s: {"model_state_dict": s},
    "twice": lambda s: {"model": {"state_dict": s}},
    "double": lambda s: {k: v.double() for k, v in s.items()},
    "half": lambda s: {k: v.half() for k, v in s.items()},
    "bfloat16": lambda s: {k: v.bfloat16() for k, v in s.items()},
    "parameters": lambda s: {k: torch.nn.Parameter(v) for k, v in s.items()},
}


@pytest.mark.parametrize("how", WRAPPED)
def test_weights_in_what_they_come_in(tmp_path: Path, state: Tensors, cornet: vs.Network, how: str) -> None:
    for values in cornet.parameters():
        values.data.zero_()
    torch.save(WRAPPED[how](state), tmp_path / "z.pth")
    for given in (WRAPPED[how](state), read_state_dict(tmp_path / "z.pth")):
        load_cornet(cornet, given)
        weight = cornet.areas["V2"].drive_layers.layers[0].conv.weight
        torch.testing.assert_close(weight.detach(), state["V2.conv.weight"], rtol=1e-2, atol=1e-2)


def test_safetensors_is_read_too(tmp_path: Path, state: Tensors) -> None:
    save_file(prefixed(state, "module."), tmp_path / "z.safetensors")
    assert set(read_state_dict(tmp_path / "z.safetensors")) == set(state)


NAME = "V2.conv.weight"
FOREIGN: dict[str, tuple[Callable[[Tensors], Any], str]] = {
    "nothing": (lambda s: {}, "got nothing"),
    "None": (lambda s: None, "of type 'NoneType'"),
    "a list": (lambda s: [1], "of type 'list'"),
    "an empty wrapping": (lambda s: {"state_dict": {}}, "got nothing"),
    "numbers for names": (lambda s: dict(enumerate(s.values())), "under 0"),
    "no tensors": (lambda s: dict.fromkeys(s, "weights"), "of type 'str' under 'V1.conv.weight'"),
    "arrays of NumPy": (lambda s: {k: v.numpy() for k, v in s.items()}, "of type 'ndarray'"),
    "complex": (lambda s: s | {NAME: s[NAME].to(torch.complex64)}, f"'{NAME}' of .* of type complex64"),
    "integers": (lambda s: s | {NAME: s[NAME].to(torch.int64)}, f"'{NAME}' of .* of type int64"),
    "bytes": (lambda s: s | {NAME: s[NAME].to(torch.uint8)}, "of type uint8"),
    "yes and no": (lambda s: s | {NAME: s[NAME] > 0}, "of type bool"),
    "sparse": (lambda s: s | {NAME: s[NAME].to_sparse()}, "sparse"),
    "no storage": (lambda s: s | {NAME: s[NAME].to("meta")}, "expected floating-point"),
    "NaN": (lambda s: s | {NAME: torch.full_like(s[NAME], torch.nan)}, "147456 numbers that are not finite|not finite"),
    "infinite": (lambda s: s | {NAME: s[NAME] / 0}, "not finite"),
    "too large for float32": (lambda s: s | {NAME: s[NAME].double() * 1e300}, "not finite"),
    "misshapen": (lambda s: s | {NAME: s[NAME][..., None]}, f"misshapen .{NAME}"),
    "of another network": (lambda s: {"conv1.weight": torch.ones(3)}, "10 missing .* 1 left over"),
    "expanded to 2^40": (lambda s: s | {NAME: torch.ones(1).expand(1 << 20, 1 << 20)}, "misshapen"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_foreign_state_dicts_are_one_sentence(state: Tensors, cornet: vs.Network, case: str) -> None:
    make, expected = FOREIGN[case]
    load_cornet(cornet, state)
    before = {k: v.clone() for k, v in cornet.state_dict().items()}
    for load in (load_cornet, load_resnet):
        net = cornet if load is load_cornet else vs.create_model("resnet18")
        with pytest.raises(vs.VentralError, match=expected if load is load_cornet else ".") as caught:
            load(net, make(state))
        assert str(caught.value).isprintable()
    assert all(torch.equal(v, before[k]) for k, v in cornet.state_dict().items()), "nothing is loaded"


def test_values_that_are_no_arrays_in_a_dict_of_tensorflow() -> None:
    net = vs.create_model("timedecay_shallow")
    for variables in (None, [], {1: 2}, {"a": object()}, {"a": [[1], [1, 2]]}, {"a": "x"}):
        with pytest.raises(vs.VentralError) as caught:
            load_convrnn(net, variables)  # type: ignore[arg-type]
        assert str(caught.value).isprintable()


def test_weights_of_tensorflow_that_are_none(reference: Path) -> None:
    from ventralstream.published import read_tf_checkpoint

    variables: Tensors = dict(read_tf_checkpoint(reference / "convrnns" / "timedecay_shallow.ckpt"))
    net = vs.create_model("timedecay_shallow")
    name = "tnn_model/conv1/pre_0/bias"
    for values in (variables[name].astype(np.int32), variables[name] + 1j, variables[name] * np.nan):
        with pytest.raises(vs.VentralError, match=rf"'{name}' of the checkpoint .*(of type|not finite)"):
            load_convrnn(net, variables | {name: values})


@pytest.mark.parametrize("model", ["ff_shallow_cifar", "rgc_shallow_cifar", "cornet_z", "cornet_s", "resnet18"])
def test_loaders_refuse_networks_of_other_families(model: str) -> None:
    net = vs.create_model(model, num_classes=4)
    tensors = {"conv1.weight": torch.zeros(64, 3, 7, 7)}
    for load, own in ((load_cornet, "cornet"), (load_resnet, "resnet"), (load_convrnn, "none")):
        with pytest.raises(vs.VentralError) as caught:
            load(net, tensors)
        assert str(caught.value).isprintable() and "zip" not in str(caught.value)
        assert ("does not fit" if model.startswith(own) else "is not|has no|last area|connection") and caught.value


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return (Path.touch, (self.target,))


def test_pickles_are_refused_and_nothing_tells_to_load_them(tmp_path: Path, state: Tensors) -> None:
    fuse = tmp_path / "exploded"
    torch.save({"state_dict": state, "args": Bomb(fuse)}, tmp_path / "zip.pth")
    torch.save({"state_dict": Bomb(fuse)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "raw.pth").write_bytes(__import__("pickle").dumps(Bomb(fuse)))
    for name in ("zip", "old", "raw"):
        with pytest.raises(vs.VentralError, match=r"cannot be read as a torch state dict") as caught:
            read_state_dict(tmp_path / f"{name}.pth")
        assert str(caught.value).isprintable() and "trust" not in str(caught.value)
    assert not fuse.exists()


def test_files_that_are_no_state_dict(tmp_path: Path, state: Tensors) -> None:
    torch.save(state, tmp_path / "z.pth")
    whole = (tmp_path / "z.pth").read_bytes()
    for i, data in enumerate((b"", b"text", whole[:1000], whole[:-100], whole[100:], b"PK\3\4" + bytes(100))):
        (tmp_path / f"{i}.pth").write_bytes(data)
        (tmp_path / f"{i}.safetensors").write_bytes(data)
    (tmp_path / "folder.pth").mkdir()
    os.mkfifo(tmp_path / "pipe.pth")
    os.mkfifo(tmp_path / "pipe.safetensors")
    for path in sorted(tmp_path.iterdir()):
        if path.name != "z.pth":
            with pytest.raises(vs.VentralError) as caught:
                read_state_dict(path)
            assert str(caught.value).isprintable() and path.name in str(caught.value)


@pytest.mark.parametrize(
    ("model", "page"),
    [
        ("rgc_shallow", "https://github.com/neuroailab/convrnns"),
        ("cornet_s", "https://github.com/dicarlolab/CORnet"),
        ("resnet18", "https://docs.pytorch.org/vision/stable/models/resnet.html"),
    ],
)
def test_a_checkpoint_that_is_not_there_says_where_it_is_published(tmp_path: Path, model: str, page: str) -> None:
    with pytest.raises(vs.VentralError, match=r"there is no file .*absent") as caught:
        convert(tmp_path / "absent", model, tmp_path / "W")
    assert page in str(caught.value) and not (tmp_path / "W").exists()
    from ventralstream.models.cards import card

    assert page in card(model)
