"""How weights start. Cells set what is theirs afterwards (biases of gates)."""

from __future__ import annotations

import math

from torch import Tensor, nn

_TRUNCATED_STD = 0.87962566103423978  # standard deviation of a unit normal cut at two standard deviations


def variance_scaling_(weight: Tensor, scale: float = 1.0) -> None:
    """TensorFlow's variance_scaling default: truncated normal with variance scale / fan_in (paper A)."""
    fan_in = weight[0].numel()
    std = math.sqrt(scale / fan_in) / _TRUNCATED_STD
    nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)


def initialise(module: nn.Module, how: str) -> None:
    """Starts all convolutions and linear layers below `module`.

    Args:
        module: The network or a part of it.
        how: "torch" leaves torch's defaults (CORnet-R/-RT); "convrnn" is paper A's (variance scaling, the linear
            layer normal with std 0.01, its bias 1); "cornet_s" normal with std sqrt(2 / (k k out)) (paper B);
            "xavier" uniform (CORnet-Z); "he" normal by fan-in (paper C); "he_out" by fan-out (ResNets). Biases start
            at 0 in all but "torch"; the linear layers of "cornet_s" and "he_out" start as torch's.
    """
    if how == "torch":
        return
    for layer in module.modules():
        linear = isinstance(layer, nn.Linear)
        if not isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            continue
        if how == "convrnn" and linear:
            nn.init.normal_(layer.weight, std=0.01)
        elif how == "convrnn":
            variance_scaling_(layer.weight)
        elif how == "xavier":
            nn.init.xavier_uniform_(layer.weight)
        elif how == "he":
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        elif how == "he_out" and not linear:
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        elif how == "cornet_s" and not linear:
            nn.init.normal_(layer.weight, std=math.sqrt(2 / (layer.weight[0, 0].numel() * layer.weight.shape[0])))
        if layer.bias is not None and not (how in ("cornet_s", "he_out") and linear):
            nn.init.constant_(layer.bias, 1.0 if how == "convrnn" and linear else 0.0)
