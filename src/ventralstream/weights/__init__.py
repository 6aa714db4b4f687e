"""Weights: networks on disk, and published weights of others."""

from ventralstream.weights.convrnn import load_convrnn
from ventralstream.weights.cornet import load_cornet
from ventralstream.weights.disk import load_network, load_spec, save_network, write_text
from ventralstream.weights.hub import from_hub, push_to_hub
from ventralstream.weights.resnet import load_resnet
from ventralstream.weights.tf_checkpoint import read_tf_checkpoint

__all__ = [
    "from_hub",
    "load_convrnn",
    "load_cornet",
    "load_network",
    "load_resnet",
    "load_spec",
    "push_to_hub",
    "read_tf_checkpoint",
    "save_network",
    "write_text",
]
