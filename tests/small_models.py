"""Published networks made narrow and small, for tests in float64."""

from __future__ import annotations

import torch

import ventralstream as vs
from ventralstream.models import build
from ventralstream.network import Network


def narrow(data, least: int):
    """A spec's JSON with an eighth of the channels, `least` at least."""
    if isinstance(data, dict):
        widths = ("channels", "cell_channels")
        return {k: max(least, v // 8) if k in widths and v > least else narrow(v, least) for k, v in data.items()}
    return [narrow(v, least) for v in data] if isinstance(data, list) else data


def small_published(name: str) -> Network:
    """The model in float64, narrow, for small images, its time decays other than 0."""
    spec = vs.model_spec(name, num_classes=7)
    text = spec.to_text()
    size = min(66 if '"valid"' in text else 48, spec.input_shape[1])  # what the last area's kernel needs
    spec = vs.spec_from_json(narrow(spec.to_json(), 32 if '"group"' in text else 8))
    net = build(spec.replace(input_shape=(spec.input_shape[0], size, size)), seed=0).double().eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for tensor_name, tensor in net.named_parameters():
            tensor.add_(0.01 * torch.randn_like(tensor))
            if tensor_name.endswith("tau"):  # 0 would hide its effect
                tensor.add_(0.2)
    return net
