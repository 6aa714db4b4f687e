"""Published files into a network, by their format."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ventralstream.checkpoints.state_dict import read_state_dict
from ventralstream.network import Network
from ventralstream.published.about import Format
from ventralstream.published.convrnn import load_convrnn
from ventralstream.published.cornet import load_cornet
from ventralstream.published.resnet import load_resnet


def load_published(network: Network, format: Format, source: Path) -> list[Path]:
    """Loads published weights into a network of that model.

    Args:
        network: The network.
        format: Of the file.
        source: The file; of a TensorFlow checkpoint its prefix, or its `.index` file.

    Returns:
        The files that were read.

    Raises:
        VentralError: if a file cannot be read, or does not fit the network; nothing is loaded then.
    """
    if format == "tensorflow":
        from ventralstream.published.tf_checkpoint import checkpoint_files, read_tf_checkpoint

        load_convrnn(network, read_tf_checkpoint(source))
        return checkpoint_files(source)
    load = load_cornet if format == "cornet" else load_resnet
    load(network, read_state_dict(source))
    return [source]


def sha256_of(path: Path) -> str:
    """A file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
