"""How weights start. Cells set what is theirs afterwards (biases of gates)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ventralstream.budget import check_parameters

_FACTORIES = ("empty", "zeros", "ones", "full", "rand", "randn")
_TRUNCATED_STD = 0.87962566103423978  # standard deviation of a unit normal cut at two standard deviations


class _Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode in which nothing is compiled: torch need not load its compiler (over a second) to keep it out."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


class Allocating(_Mode):  # type: ignore[no-untyped-call]
    """Within it, what modules allocate is counted, and refused before it exceeds `ventralstream.budget.PARAMETERS`."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._overloadpacket.__name__ in _FACTORIES:
            check_parameters(args[0], self.numbers)
            self.numbers += math.prod(args[0])
        elif func._schema.name.endswith("_") and args[0].is_meta:
            return args[0]  # which has no numbers that could change
        return func(*args, **(kwargs or {}))


class Drawing(_Mode):  # type: ignore[no-untyped-call]
    """Within it, this thread's random numbers come from a seed and not from the global random state.

    They are those that `torch.manual_seed(seed)` would give, whatever draws them (torch's modules, a user's cell).
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed
        self.generators: dict[torch.device, torch.Generator] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded in func.tags and kwargs.get("generator") is None:
            of = args[0] if args else None
            device = of.device if isinstance(of, Tensor) else torch.device(kwargs.get("device") or "cpu")
            taking = _taking_a_generator(func)
            if device.type != "meta" and taking is not None:
                if device not in self.generators:
                    self.generators[device] = torch.Generator(device).manual_seed(self.seed)
                return taking(*args, **{**kwargs, "generator": self.generators[device]})
        return func(*args, **kwargs)


def _taking_a_generator(func: Any) -> Any:
    """The form of an operation that takes a generator; None if there is none."""
    if any(a.name == "generator" for a in func._schema.arguments):
        return func
    name = "generator" if func._overloadname == "default" else f"{func._overloadname}_generator"
    return getattr(func._overloadpacket, name, None)


def variance_scaling_(weight: Tensor, scale: float = 1.0) -> None:
    """TensorFlow's variance_scaling default: truncated normal with variance scale / fan_in (the ConvRNNs)."""
    fan_in = weight[0].numel()
    std = math.sqrt(scale / fan_in) / _TRUNCATED_STD
    nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)


def pass_on_(layer: nn.Conv2d) -> None:
    """Makes the first filters of a convolution pass one input channel on each, unchanged, as far as there are as many.

    Kernels of an even side have no middle, and those of a part of the channels pass nothing on: they stay as they are.
    """
    if layer.groups > 1 or any(side % 2 == 0 for side in layer.kernel_size):
        return
    nn.init.dirac_(layer.weight.data[: layer.weight.shape[1]])


def initialise(module: nn.Module, how: str) -> None:
    """Starts all convolutions and linear layers below `module`.

    Args:
        module: The network or a part of it.
        how: "torch" leaves torch's defaults (CORnet-R/-RT); "convrnn" is that of Nayebi et al. 2018 (variance scaling,
            the linear layer normal with std 0.01, its bias 1); "cornet_s" normal with std sqrt(2 / (k k out))
            (CORnet-S); "xavier" uniform (CORnet-Z); "he" normal by fan-in (Liao and Poggio 2016); "he_out" by fan-out
            (ResNets); "identity" as "he", but the first filters of each kernel with a middle pass one input channel on
            unchanged (after Zagoruyko & Komodakis 2017, and Jordan 2024). Biases start at 0 in all but "torch"; the
            linear layers of "cornet_s" and "he_out" start as torch's.
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
        elif how in ("he", "identity"):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if how == "identity" and isinstance(layer, nn.Conv2d):
                pass_on_(layer)
        elif how == "he_out" and not linear:
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        elif how == "cornet_s" and not linear:
            nn.init.normal_(layer.weight, std=math.sqrt(2 / (layer.weight[0, 0].numel() * layer.weight.shape[0])))
        if layer.bias is not None and not (how in ("cornet_s", "he_out") and linear):
            nn.init.constant_(layer.bias, 1.0 if how == "convrnn" and linear else 0.0)
