"""Weights: networks on disk, and published weights of others."""

from ventralstream.weights.disk import load_network, load_spec, save_network, write_text

__all__ = ["load_network", "load_spec", "save_network", "write_text"]
