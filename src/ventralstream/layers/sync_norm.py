"""Batch normalisation by the statistics of a batch that several processes share, on any device.

Torch's own SyncBatchNorm needs a GPU. This is the same arithmetic in operations that every device and backend has: one
gathering of each process's mean, variance and count in the forward pass, one sum in the backward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn

from ventralstream.errors import VentralError

_OVER = (0, 2, 3)  # of [B, C, H, W]


class SyncNorm(nn.BatchNorm2d):
    """A BatchNorm2d that takes its statistics, in training mode, over the batches of all processes."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # Not part of a compiled graph, as processes meet in it. Said here, for torch loads its compiler to hear it.
        self.normalise: Callable[..., tuple[Tensor, ...]] = torch.compiler.disable(_Normalise.apply)  # type: ignore[no-untyped-call]

    @classmethod
    def of(cls, norm: nn.BatchNorm2d) -> SyncNorm:
        """One with the parameters and buffers of `norm`."""
        made = cls(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats, device="meta")
        made._parameters, made._buffers, made.training = norm._parameters, norm._buffers, norm.training
        return made

    def forward(self, input: Tensor) -> Tensor:
        """Normalises [B, C, H, W]."""
        if not self.training:
            return super().forward(input)
        output, mean, var, count = self.normalise(input, self.weight, self.bias, self.eps)
        if self.running_mean is not None and self.running_var is not None:
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
            rate = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
            unbiased = var * (count / (count - 1))
            self.running_mean.add_(rate * (mean.to(self.running_mean.dtype) - self.running_mean))
            self.running_var.add_(rate * (unbiased.to(self.running_var.dtype) - self.running_var))
        return output


def synchronise(network: nn.Module) -> None:
    """Makes every batch normalisation in a network a synchronised one, with the same parameters and buffers.

    Raises:
        VentralError: if it has one of another kind than BatchNorm2d.
    """
    for name, parent in list(network.named_modules()):
        for key, norm in parent.named_children():
            if type(norm) is nn.BatchNorm2d:
                setattr(parent, key, SyncNorm.of(norm))
            elif isinstance(norm, nn.modules.batchnorm._BatchNorm) and not isinstance(norm, (nn.BatchNorm2d, SyncNorm)):
                where = f"{name}.{key}".lstrip(".")
                raise VentralError(f"'{where}' is a {type(norm).__name__}, which cannot be synchronised; expected 2d")


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> tuple[Tensor, ...]:
        channels = x.shape[1]
        exact = torch.promote_types(x.dtype, torch.float32)
        var, mean = torch.var_mean(x.to(exact), _OVER, correction=0)
        own = torch.cat([mean, var, mean.new_tensor([x.numel() // channels])])
        each = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
        distributed.all_gather(each, own)
        means, variances, counts = torch.stack(each).split([channels, channels, 1], 1)  # type: ignore[no-untyped-call]
        count = counts.sum()
        mean = (counts * means).sum(0) / count
        var = (counts * (variances + (means - mean) ** 2)).sum(0) / count
        ctx.save_for_backward(x, weight, mean, (var + eps).rsqrt(), count)
        ctx.mark_non_differentiable(mean, var, count)
        return F.batch_norm(x, mean, var, weight, bias, False, 0.0, eps), mean, var, count

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale, count = ctx.saved_tensors
        wide = (None, slice(None), None, None)
        g = gradients[0].to(mean.dtype)
        centred = (x.to(mean.dtype) - mean[wide]) * scale[wide]
        sums = torch.stack([g.sum(_OVER), (g * centred).sum(_OVER)])
        of_bias, of_weight = sums.clone()
        distributed.all_reduce(sums)
        level, slope = sums / count
        factor = scale if weight is None else scale * weight
        to_x = (g - level[wide] - centred * slope[wide]) * factor[wide]
        learns = weight is not None
        return to_x.to(x.dtype), of_weight if learns else None, of_bias if learns else None, None
