"""CORnet-S for 32-px images: the published areas and steps, narrow, behind a first area of two small kernels."""

from __future__ import annotations

from ventralstream.cells import CORnetS
from ventralstream.layers.specs import Act, Conv, Norm, Pool
from ventralstream.models.cifar import CIFAR_MEAN, CIFAR_STD
from ventralstream.models.cornet import AREAS, circuit
from ventralstream.models.registry import register_model
from ventralstream.spec import NetworkSpec
from ventralstream.values import Channels, Count, Side

WIDTHS = (32, 64, 96)  # of V2, V4 and IT
STRIDES = (1, 2, 2)


@register_model("cornet")
def cornet_s_cifar(
    num_classes: Channels = 10, times: tuple[Count, Count, Count] = (2, 4, 2), scale: Side = 2
) -> NetworkSpec:
    """CORnet-S for 32-px images (our choice of sizes; 0.62 M parameters): V2 has maps of 16 px.

    Args:
        num_classes: Classes.
        times: Steps of V2, V4 and IT.
        scale: Width of the bottlenecks, in multiples of the channels.
    """
    stem = (Conv(32), Norm(), Act("relu"), Conv(64, bias=False), Pool(), Norm(), Act("relu"))
    cells = [CORnetS(count, scale, stride=stride) for count, stride in zip(times, STRIDES, strict=True)]
    spec = circuit("cornet_s_cifar", AREAS, stem, WIDTHS, cells, num_classes)
    return spec.replace(input_shape=(3, 32, 32), mean=CIFAR_MEAN, std=CIFAR_STD)
