"""Saved networks on the Hugging Face hub: `config.json`, `model.safetensors` and a model card."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from ventralstream.checkpoints.disk import PROVENANCE_FILE, SPEC_FILE, TENSOR_FILE, load_network, save_network
from ventralstream.errors import VentralError
from ventralstream.extras import require
from ventralstream.network import Network

_LICENCES = {"MIT": "mit", "GPL-3.0": "gpl-3.0", "BSD-3-Clause": "bsd-3-clause"}


def push_to_hub(
    network: Network,
    repo_id: str,
    *,
    provenance: str | Path | None = None,
    licence: str | None = None,
    private: bool | None = None,
    revision: str | None = None,
    commit_message: str = "Upload a ventralstream network",
    token: str | None = None,
) -> str:
    """Uploads a network.

    Args:
        network: The network.
        repo_id: "user/name"; the repository is made if need be.
        provenance: A `provenance.json` to upload beside it.
        licence: Of the weights, for the card; that of the provenance by default.
        private: Whether a new repository is private.
        revision: Branch.
        commit_message: Of the commit.
        token: Of the hub; the one stored on this machine by default.

    Returns:
        The commit's address.

    Raises:
        VentralError: if the hub refuses.
    """
    require("hub", "huggingface_hub")
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    api = HfApi(token=token, library_name="ventralstream")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_network(network, folder)
        known = {}
        if provenance is not None:
            text = Path(provenance).read_text()
            known = json.loads(text)
            (folder / PROVENANCE_FILE).write_text(text)
        (folder / "README.md").write_text(card(network, licence or known.get("licence"), known.get("source")))
        try:
            api.create_repo(repo_id, private=private, exist_ok=True)
            commit = api.upload_folder(
                repo_id=repo_id, folder_path=folder, revision=revision, commit_message=commit_message
            )
        except (HfHubHTTPError, HFValidationError) as error:
            raise VentralError(f"the hub refused '{repo_id}': {str(error).splitlines()[0]}") from None
    return str(commit.commit_url)


def from_hub(
    repo_id: str, *, revision: str | None = None, cache_dir: str | Path | None = None, token: str | None = None
) -> Network:
    """Downloads a network (once) and loads it, in evaluation mode.

    Args:
        repo_id: "user/name".
        revision: Branch, tag or commit.
        cache_dir: Where downloads are kept; the hub's own cache by default.
        token: Of the hub; the one stored on this machine by default.

    Raises:
        VentralError: if there is no such repository, or no network in it, or no connection.
    """
    return load_network(hub_folder(repo_id, revision, cache_dir, token))


def hub_folder(
    repo_id: str, revision: str | None = None, cache_dir: str | Path | None = None, token: str | None = None
) -> Path:
    """The local folder of a repository's network, downloaded if need be; see `from_hub`."""
    require("hub", "huggingface_hub")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            repo_id,
            revision=revision,
            cache_dir=cache_dir,
            token=token,
            allow_patterns=[SPEC_FILE, TENSOR_FILE, PROVENANCE_FILE],
            library_name="ventralstream",
        )
    except HFValidationError:
        raise VentralError(f"'{repo_id}' is neither a folder nor a hub repository ('user/name')") from None
    except LocalEntryNotFoundError:
        raise VentralError(f"'{repo_id}' is not on this machine, and the hub cannot be reached") from None
    except HfHubHTTPError as error:
        raise VentralError(f"the hub has no '{repo_id}' for you: {str(error).splitlines()[0]}") from None
    return Path(str(folder))


def card(network: Network, licence: str | None = None, source: str | None = None) -> str:
    """A model card with the hub's metadata."""
    spec = network.spec
    parameters = sum(p.numel() for p in network.parameters())
    lines = ["---", "library_name: ventralstream", "pipeline_tag: image-classification"]
    if licence in _LICENCES:
        lines.append(f"license: {_LICENCES[licence]}")
    lines += ["tags:", "- ventralstream", "- recurrent", "- neuroscience", "---", "", f"# {spec.name}", ""]
    lines.append(f"A recurrent convolutional network of {len(spec.areas)} areas, {parameters:,} parameters.")
    if source:
        lines.append(f"Source: {source}. Licence of the weights: {licence or 'none stated'}.")
    lines += [
        "",
        "```python",
        "import ventralstream as vs",
        "",
        'net = vs.from_hub("THIS_REPOSITORY")',
        f"out = net(images, steps={spec.steps})  # images [B, {', '.join(map(str, spec.input_shape))}], normalised",
        "```",
        "",
    ]
    return "\n".join(lines)
