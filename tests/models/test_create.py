"""Networks by name, with weights from wherever: files and folders, however wrapped, and for other classes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import ventralstream as vs
from ventralstream.cells import GRU
from ventralstream.checkpoints import disk
from ventralstream.layers.specs import Act, Conv, GlobalPool
from ventralstream.models.classes import count_classes, fresh_readout, with_classes

NAME = "ff_shallow_cifar"
Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def net() -> vs.Network:
    return vs.create_model(NAME, num_classes=5, width=0.25, seed=1).eval()


def equal(one: vs.Network, other: vs.Network) -> bool:
    x = torch.randn(2, 3, 32, 32)
    return torch.equal(one(x).output, other(x).output)


def prefixed(prefix: str) -> Callable[[Tensors], Any]:
    return lambda tensors: {prefix + name: t for name, t in tensors.items()}


WRAPPED: dict[str, Callable[[Tensors], Any]] = {
    "plain": lambda t: t,
    **{prefix: prefixed(prefix) for prefix in ("module.", "_orig_mod.", "model.", "model.module._orig_mod.module.")},
    "an area compiled": lambda t: {k.replace("areas.conv2.", "areas.conv2._orig_mod."): v for k, v in t.items()},
    "averaged": lambda t: {"n_averaged": torch.tensor(3), **prefixed("module.")(t)},
    "state_dict": lambda t: {"state_dict": prefixed("model.")(t), "epoch": 3},
    "model": lambda t: {"model": {"model_state_dict": prefixed("module.")(t)}, "args": None},
}
FLAT = [how for how in WRAPPED if how not in ("state_dict", "model")]


@pytest.mark.parametrize("how", WRAPPED)
def test_a_file_of_tensors_however_wrapped(tmp_path: Path, net: vs.Network, how: str) -> None:
    torch.save(WRAPPED[how](dict(net.state_dict())), tmp_path / "w.pth")
    assert equal(vs.create_model(NAME, weights=tmp_path / "w.pth", width=0.25), net)
    if how in FLAT:
        save_file(WRAPPED[how](dict(net.state_dict())), tmp_path / "w.safetensors")
        assert equal(vs.create_model(NAME, weights=str(tmp_path / "w.safetensors"), width=0.25), net)


@pytest.mark.parametrize("how", FLAT)
def test_a_folder_and_the_hub_however_wrapped(tmp_path: Path, net: vs.Network, how: str, monkeypatch) -> None:
    vs.save_network(net, tmp_path / "user" / "net")
    (tmp_path / "user" / "net" / "SHA256SUMS").unlink()
    save_file(WRAPPED[how](dict(net.state_dict())), tmp_path / "user" / "net" / "model.safetensors")
    assert equal(vs.load_network(tmp_path / "user" / "net"), net)
    assert equal(vs.create_model(NAME, weights=tmp_path / "user" / "net"), net)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda repo, **k: str(tmp_path / repo))
    assert equal(vs.from_hub("user/net"), net)
    assert equal(vs.create_model(NAME, weights="user/net"), net)


def test_what_wraps_names_may_not_make_two_of_one(tmp_path: Path, net: vs.Network) -> None:
    tensors = dict(net.state_dict())
    name = next(iter(tensors))
    torch.save(tensors | {name.replace(".", "._orig_mod.", 1): tensors[name]}, tmp_path / "w.pth")
    with pytest.raises(vs.VentralError, match="differ only in what wraps their names"):
        vs.create_model(NAME, weights=tmp_path / "w.pth", width=0.25)


def test_a_file_under_its_authors_names(tmp_path: Path) -> None:
    from models.test_convert import cornet_file

    file = cornet_file(tmp_path / "z.pth")
    net = vs.create_model("cornet_z", weights=file)
    expected = torch.load(file, weights_only=True)["state_dict"]["module.V4.conv.weight"]
    assert torch.equal(net.areas["V4"].drive_layers.layers[0].conv.weight, expected)
    with pytest.raises(vs.VentralError, match=r"does not fit the network: .* missing"):
        vs.create_model("cornet_rt", weights=file)
    with pytest.raises(vs.VentralError, match="under those of the model's authors 'input_shape' cannot be changed"):
        vs.create_model("cornet_z", weights=file, input_shape=(3, 64, 64))

    tensors = torch.load(file, weights_only=True)["state_dict"]
    few = {name: t[:10] if "decoder" in name else t for name, t in tensors.items()}
    torch.save(few, tmp_path / "finetuned.pth")
    tuned = vs.create_model("cornet_z", weights=tmp_path / "finetuned.pth")
    x = torch.randn(1, 3, 64, 64)
    assert torch.allclose(tuned(x).output, net(x).output[:, :10])
    with pytest.warns(vs.FreshReadout, match="told 10 classes apart"):
        new = vs.create_model("cornet_z", weights=tmp_path / "finetuned.pth", num_classes=7)
    assert new(x).output.shape == (1, 7)


def test_files_that_do_not_fit(tmp_path: Path, net: vs.Network) -> None:
    torch.save(net.state_dict(), tmp_path / "w.pth")
    with pytest.raises(vs.VentralError, match=r"does not fit the network: .* misshapen"):
        vs.create_model(NAME, weights=tmp_path / "w.pth")  # of another width
    torch.save({k: v.to(torch.int32) for k, v in net.state_dict().items()}, tmp_path / "w.pth")
    with pytest.raises(vs.VentralError, match="is of type int32, expected float32"):
        vs.create_model(NAME, weights=tmp_path / "w.pth", width=0.25)
    torch.save({k: v * torch.nan for k, v in net.state_dict().items()}, tmp_path / "w.pth")
    with pytest.raises(vs.VentralError, match="not finite"):
        vs.create_model(NAME, weights=tmp_path / "w.pth", width=0.25)


def test_odd_tensors(tmp_path: Path, net: vs.Network) -> None:
    tensors, x = dict(net.state_dict()), torch.randn(1, 3, 32, 32)
    name = next(n for n, t in tensors.items() if t.dim() == 4)
    for odd, said in (
        (tensors[name].flatten(1).to_sparse(), "is sparse_coo, expected a dense one"),
        (tensors[name].to("meta"), "is without values"),
        ((tensors[name] * torch.nan).to(torch.float8_e4m3fn), "not finite"),
    ):
        odd = odd.to_dense().reshape(tensors[name].shape).to_sparse() if odd.is_sparse else odd
        torch.save(tensors | {name: odd}, tmp_path / "w.pth")
        with pytest.raises(vs.VentralError, match=said):
            vs.create_model(NAME, weights=tmp_path / "w.pth", width=0.25)
    torch.save(tensors | {name: tensors[name].to(torch.float8_e4m3fn)}, tmp_path / "w.pth")
    assert vs.create_model(NAME, weights=tmp_path / "w.pth", width=0.25)(x).output.isfinite().all()


def test_new_classes_on_old_weights(tmp_path: Path, net: vs.Network) -> None:
    vs.save_network(net, tmp_path / "W")
    x = torch.randn(2, 3, 32, 32)
    with pytest.warns(vs.FreshReadout) as caught:
        new = vs.create_model(NAME, weights=tmp_path / "W", num_classes=7, seed=3, steps=8)
    assert len(caught) == 1 and caught[0].filename == __file__, "it names the line that asked for it"
    assert "told 5 classes apart: its readout of 7 classes is fresh (areas.decoder" in str(caught[0].message)
    assert new(x).output.shape == (2, 7) and new.spec.steps == 8 and not new.training
    areas = [a.name for a in net.spec.areas[:-1]]
    was, is_ = (n(x, record=vs.Record(areas)) for n in (net, new))
    assert all(torch.equal(was[a].values[:, :6], is_[a].values[:, :6]) for a in areas)
    fresh = vs.create_model(NAME, num_classes=7, width=0.25, seed=3)
    ours = [dict(n.areas["decoder"].named_parameters()) for n in (new, fresh)]
    assert ours[0] and all(torch.equal(ours[0][k], ours[1][k]) for k in ours[1]), "the readout of that seed"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert equal(vs.create_model(NAME, weights=tmp_path / "W", num_classes=5), net), "as many classes: the same"


def test_every_registered_model_can_have_other_classes() -> None:
    for name in vs.list_models():
        spec = vs.model_spec(name)
        changed = with_classes(spec, 7)
        assert count_classes(changed) == 7 and changed == vs.model_spec(name, num_classes=7), name


def test_a_readout_that_has_no_classes_of_its_own() -> None:
    areas = (vs.Area("v1", (Conv(4), Act("relu"))), vs.Area("out", (Conv(4),), GRU(), (GlobalPool(),)))
    links = (vs.Connection("image", "v1", delay=0), vs.Connection("v1", "out"))
    spec = vs.NetworkSpec("own", areas, links, "out", (3, 8, 8), 4)
    with pytest.warns(vs.FreshReadout):
        assert fresh_readout(vs.build(spec, 0), 6, 0)(torch.randn(1, 3, 8, 8)).output.shape == (1, 6)
    bare = spec.replace(areas=(areas[0], vs.Area("out", output=(GlobalPool(),))))
    with pytest.raises(vs.VentralError, match="of 'own' cannot be changed: its readout area 'out' does not"):
        fresh_readout(vs.build(bare), 6)
    with pytest.raises(vs.VentralError, match="num_classes"):
        fresh_readout(vs.build(spec), 0)


def test_training_on_with_other_classes(tmp_path: Path, net: vs.Network) -> None:
    from ventralstream.training import Place, Recipe

    grey = vs.build(net.spec.replace(input_shape=(1, 16, 16), mean=(0.5,), std=(0.5,)), 0)
    vs.save_network(grey, tmp_path / "W")
    recipe = Recipe(data="scenes", size=16, subset=16, val_subset=16, epochs=1, batch_size=16)
    with pytest.warns(vs.FreshReadout, match="told 5 classes apart: its readout of 10"):
        vs.train(tmp_path / "W", recipe, tmp_path / "RUN", place=Place(threads=1))
    assert count_classes(disk.load_spec(tmp_path / "RUN")) == 10


@pytest.mark.parametrize("weights", ["no", "no/where/at/all", Path("nowhere"), ""])
def test_weights_that_are_nowhere(weights: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(vs.VentralError) as caught:
        vs.create_model("cornet_s", weights=weights)
    assert str(caught.value).isprintable()


def test_a_tag_comes_before_a_folder_of_its_name(tmp_path: Path, net: vs.Network, monkeypatch) -> None:
    from ventralstream.checkpoints import box

    monkeypatch.setattr(box, "FOLDER", tmp_path / "box")
    vs.save_network(net, box.FOLDER / NAME / "cifar10")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cifar10").mkdir()  # as a folder of data may be called
    assert equal(vs.create_model(NAME, weights="cifar10"), net)
    with pytest.raises(vs.VentralError, match="holds no saved network"):
        vs.create_model(NAME, weights="./cifar10")


def test_a_model_cannot_be_named_like_weights() -> None:
    with pytest.raises(vs.VentralError, match="what follows ':' names weights"):
        vs.register_model(name="a:b")(lambda: vs.model_spec(NAME))
