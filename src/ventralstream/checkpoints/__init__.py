"""Saved networks: on disk and on the hub."""

from ventralstream.checkpoints.disk import load_network, load_spec, save_network
from ventralstream.checkpoints.hub import from_hub, push_to_hub

__all__ = ["from_hub", "load_network", "load_spec", "push_to_hub", "save_network"]
