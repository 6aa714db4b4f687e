"""Saved networks on the Hugging Face hub: `config.json`, `model.safetensors` and a model card."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from ventralstream.checkpoints.disk import (
    PROVENANCE_FILE,
    SPEC_FILE,
    SUMS_FILE,
    TENSOR_FILE,
    load_network,
    read_provenance,
    save_network,
)
from ventralstream.errors import VentralError, printable, reason
from ventralstream.extras import require
from ventralstream.files import why_no_file
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
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    api = HfApi(token=token, library_name="ventralstream")
    known = None
    if provenance is not None:
        if why := why_no_file(provenance):
            raise VentralError(f"the provenance '{printable(provenance)}' cannot be read: {why}")
        known = read_provenance(Path(provenance))
    licence, source = (own or (known or {}).get(key) for own, key in ((licence, "licence"), (None, "source")))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_network(network, folder, known)
        (folder / "README.md").write_text(card(network, licence, source), encoding="utf-8")
        try:
            api.create_repo(repo_id, private=private, exist_ok=True)
            commit = api.upload_folder(
                repo_id=repo_id, folder_path=folder, revision=revision, commit_message=commit_message
            )
        except (HfHubHTTPError, HFValidationError) as error:
            raise VentralError(f"the hub refused '{printable(repo_id)}': {reason(error)}") from None
        except LocalTokenNotFoundError:
            raise VentralError("the hub needs a token to know you: `hf auth login`, or token=...") from None
        except _unreachable() as error:
            raise VentralError(f"the hub cannot be reached: {reason(error)}") from None
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

    named = f"'{printable(repo_id)}'"
    if not why_no_file(repo_id):
        raise VentralError(f"{named} is a file; expected the folder of a saved network, or a hub repository")
    try:
        folder = snapshot_download(
            repo_id,
            revision=revision,
            cache_dir=cache_dir,
            token=token,
            allow_patterns=[SPEC_FILE, TENSOR_FILE, SUMS_FILE, PROVENANCE_FILE],
            library_name="ventralstream",
        )
    except HFValidationError:
        raise VentralError(f"{named} is neither a folder nor a hub repository ('user/name')") from None
    except LocalEntryNotFoundError:
        raise VentralError(
            f"{named} is no folder here, and as a hub repository not on this machine; the hub cannot be reached"
        ) from None
    except HfHubHTTPError as error:
        raise VentralError(f"{named} is no folder here, and the hub has none for you: {reason(error)}") from None
    except _unreachable() as error:  # a full disk, a connection that breaks, a proxy that refuses
        raise VentralError(f"{named} cannot be downloaded from the hub: {reason(error)}") from None
    return Path(str(folder))


def _unreachable() -> tuple[type[Exception], ...]:
    """What the hub's library raises where files or the network fail.

    It lets through what comes of its own library of HTTP, which is another one by version.
    """
    http = [sys.modules[name].HTTPError for name in ("httpx2", "httpx") if name in sys.modules]
    return OSError, *http


def card(network: Network, licence: str | None = None, source: str | None = None) -> str:
    """A model card with the hub's metadata."""
    from huggingface_hub import ModelCard, ModelCardData

    spec = network.spec
    parameters = sum(p.numel() for p in network.parameters())
    data = ModelCardData(
        library_name="ventralstream",
        pipeline_tag="image-classification",
        license=_LICENCES.get(licence or ""),
        tags=["ventralstream", "recurrent", "neuroscience"],
    )
    origin = f"Source: {source}. Licence of the weights: {licence or 'none stated'}.\n" if source else ""
    shape = ", ".join(map(str, spec.input_shape))
    text = f"""---
{data.to_yaml()}
---

# {spec.name}

A recurrent convolutional network of {len(spec.areas)} areas, {parameters:,} parameters.
{origin}
```python
import ventralstream as vs

net = vs.from_hub("THIS_REPOSITORY")
out = net(images, steps={spec.steps})  # images [B, {shape}], normalised
```
"""
    return str(ModelCard(text))
