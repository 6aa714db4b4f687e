"""The first layer as a whitening of image patches, fitted once before training and learnt on from there."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ventralstream.errors import VentralError
from ventralstream.layers.conv import Conv2d
from ventralstream.layers.sequence import Sequence
from ventralstream.network import Network
from ventralstream.spec import IMAGE

_NOISE = 5e-4  # added to the variances: the weakest directions of a patch are noise, and would drown the rest
_NUMBERS_AT_ONCE = 2**24


@torch.no_grad()
def whiten(network: Network, images: Tensor) -> None:
    """Makes the convolutions that read the image whiten it (Jordan 2024, after Coates & Ng 2012).

    The first half of their filters are the strongest principal components of the images' patches, divided by their
    standard deviation; the second half are the same, negated, so that what a rectification cuts off one of them is
    in the other. Filters beyond twice the number of a patch's values stay as they were. Biases start at 0.

    Args:
        network: The network; its filters are changed.
        images: Normalised images [B, C, H, W] to fit to, some thousands.

    Raises:
        VentralError: if no convolution of all channels is what reads the image.
    """
    convs = [conv for i, c in enumerate(network.spec.connections) if c.source == IMAGE for conv in _reading(network, i)]
    if not convs:
        raise VentralError(f"'{network.spec.name}' cannot be whitened: its image is not read by a convolution")
    for conv in convs:
        weight = conv.conv.weight
        parts = _components(images, weight.shape[-1])[: len(weight) // 2].to(weight)
        weight[: len(parts)] = parts
        weight[len(parts) : 2 * len(parts)] = -parts
        if conv.conv.bias is not None:
            conv.conv.bias.zero_()


def _reading(network: Network, connection: int) -> list[Conv2d]:
    """The convolutions that read the image through a connection."""
    if str(connection) in network.transitions:
        sequences = list(network.transitions[str(connection)].layers)
    else:
        sequences = [network.areas[network.spec.connections[connection].target].drive_layers]
    firsts = [s.layers[0] for s in sequences if isinstance(s, Sequence) and len(s.layers)]
    channels = network.spec.input_shape[0]
    return [m for m in firsts if isinstance(m, Conv2d) and not m.spec.separable and m.conv.weight.shape[1] == channels]


def _components(images: Tensor, side: int) -> Tensor:
    """The whitened principal components of patches, the strongest first: [C side^2, C, side, side]."""
    channels = images.shape[1]
    size = channels * side * side
    count, total, products = 0, torch.zeros(size, dtype=torch.double), torch.zeros(size, size, dtype=torch.double)
    for image in torch.split(images.float().cpu(), max(1, _NUMBERS_AT_ONCE // (size * images[0, 0].numel()))):
        patches = F.unfold(image, side).transpose(1, 2).reshape(-1, size).double()
        count, total, products = count + len(patches), total + patches.sum(0), products + patches.T @ patches
    mean = total / count
    variances, directions = torch.linalg.eigh(products / count - torch.outer(mean, mean))
    directions = directions * torch.where(directions.sum(0) < 0, -1.0, 1.0)  # which of the two is not left to LAPACK
    parts = directions / (variances.clamp_min(0) + _NOISE).sqrt()
    filters: Tensor = parts.T.flip(0).reshape(-1, channels, side, side)
    return filters.float()
