"""A moving average of a network's weights, which is then what the run has learnt."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from ventralstream.checkpoints.disk import distinct_tensors
from ventralstream.network import Network


class Average:
    """An exponential moving average of a network's tensors, in a network of its own.

    Weights and the running statistics of normalisations are averaged alike; counts are the newest. At the beginning
    the decay is smaller, (1 + n) / (10 + n) in batch n, so that the first weights are soon forgotten.

    Args:
        network: The network that learns.
        decay: What is kept of the average in a batch.
        tensors: The average so far, from a checkpoint; empty at the beginning.

    Attributes:
        network: The averaged network.
    """

    def __init__(self, network: Network, decay: float, tensors: Mapping[str, Tensor]) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.decay = decay
        if tensors:
            self.network.load_state_dict(tensors)

    @torch.no_grad()
    def add(self, network: Network, batch: int) -> None:
        """Takes in the weights after `batch` batches (counted from 1) of the run."""
        part = 1 - min(self.decay, (1 + batch) / (10 + batch))
        mean, new = distinct_tensors(self.network), network.state_dict()  # shared kernels have several names
        floating = [name for name, x in mean.items() if x.is_floating_point()]
        torch._foreach_lerp_([mean[name] for name in floating], [new[name] for name in floating], part)
        for name in mean.keys() - set(floating):
            mean[name].copy_(new[name])
