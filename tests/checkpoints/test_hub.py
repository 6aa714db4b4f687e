"""The hub's conventions, with its client played by this disk."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

import ventralstream as vs
from ventralstream.models import count_parameters


class Hub:
    """What the hub's client does, on this disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, **kwargs):
        return self

    def create_repo(self, repo_id, *, private, exist_ok):
        (self.folder / repo_id).mkdir(parents=True, exist_ok=exist_ok)

    def upload_folder(self, *, repo_id, folder_path, revision, commit_message):
        shutil.copytree(folder_path, self.folder / repo_id, dirs_exist_ok=True)

        class Commit:
            commit_url = f"hub/{repo_id}/commit/1"

        return Commit

    def snapshot_download(self, repo_id, *, allow_patterns, **kwargs):
        assert {"config.json", "model.safetensors"} <= set(allow_patterns)
        return str(self.folder / repo_id)


def test_to_the_hub_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    hub = Hub(tmp_path)
    monkeypatch.setattr(huggingface_hub, "HfApi", hub)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    net = vs.create_model("rgc_shallow_cifar", seed=0).eval()
    assert vs.push_to_hub(net, "lab/rgc", licence="MIT") == "hub/lab/rgc/commit/1"
    card = (tmp_path / "lab" / "rgc" / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: ventralstream\n") and "license: mit" in card
    assert f"{count_parameters(net.spec):,}" in card
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(vs.from_hub("lab/rgc")(x).output, net(x).output)
    assert torch.equal(vs.create_model("rgc_shallow_cifar", weights="lab/rgc")(x).output, net(x).output)


def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name, expected in (("lab/none", "cannot be reached"), ("no such folder/x/y", "neither a folder nor")):
        with pytest.raises(vs.VentralError, match=expected):
            vs.create_model("rgc_shallow", weights=name)


def test_the_network_fails_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's library lets through what its library of HTTP raises."""
    import httpx2
    import huggingface_hub

    def refused(*args: object, **kwargs: object) -> None:
        raise httpx2.ProxyError("403 Forbidden")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refused)
    with pytest.raises(vs.VentralError, match="'lab/x' cannot be downloaded from the hub: 403 Forbidden"):
        vs.from_hub("lab/x")
    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", refused)
    net = vs.create_model("ff_shallow_cifar", seed=0)
    with pytest.raises(vs.VentralError, match="the hub cannot be reached: 403 Forbidden"):
        vs.push_to_hub(net, "lab/x")

    def unknown(*args: object, **kwargs: object) -> None:
        raise huggingface_hub.errors.LocalTokenNotFoundError("no token")

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", unknown)
    with pytest.raises(vs.VentralError, match="the hub needs a token"):
        vs.push_to_hub(net, "lab/x")


def test_a_card_is_what_the_hub_reads(tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    from ventralstream.checkpoints.hub import card

    net = vs.create_model("ff_shallow_cifar")
    read = ModelCard(card(net, "GPL-3.0", "somebody: 2019"))
    assert read.data.license == "gpl-3.0" and read.data.library_name == "ventralstream"
    assert read.data.pipeline_tag == "image-classification" and "recurrent" in read.data.tags
    assert "Source: somebody: 2019. Licence of the weights: GPL-3.0." in read.text
    assert ModelCard(card(net, "none stated")).data.license is None


def test_provenance_goes_along_or_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    hub = Hub(tmp_path)
    monkeypatch.setattr(huggingface_hub, "HfApi", hub)
    net = vs.create_model("ff_shallow_cifar")
    path = tmp_path / "provenance.json"
    for text, expected in ((None, "no such file"), ("{", "cannot be read"), ("[]", "expected a JSON object")):
        if text is not None:
            path.write_text(text)
        with pytest.raises(vs.VentralError, match=expected):
            vs.push_to_hub(net, "lab/x", provenance=path)
    path.write_text(json.dumps({"licence": "MIT", "source": "here"}))
    vs.push_to_hub(net, "lab/x", provenance=path)
    assert "license: mit" in (tmp_path / "lab/x/README.md").read_text()
    assert json.loads((tmp_path / "lab/x/provenance.json").read_text())["source"] == "here"
    assert (tmp_path / "lab/x/SHA256SUMS").is_file()


def test_a_file_is_no_repository(tmp_path: Path) -> None:
    (tmp_path / "weights.pth").touch()
    with pytest.raises(vs.VentralError, match=r"weights\.pth' is a file; expected the folder"):
        vs.from_hub(str(tmp_path / "weights.pth"))
