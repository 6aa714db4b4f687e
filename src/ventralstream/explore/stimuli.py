"""What a trace says of what is shown: the pictures as the network sees them, and what is on when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ventralstream.errors import VentralError
from ventralstream.explore.block import Block
from ventralstream.presentation import Presentation
from ventralstream.spec import IMAGE, NetworkSpec


def segments(spec: NetworkSpec, presentation: Presentation, steps: int) -> list[dict[str, Any]]:
    """What is shown when, cut at the last step; a blank with its colour."""
    found: list[dict[str, Any]] = []
    for step in range(steps):
        frame = presentation.frame(step)
        if found and found[-1]["frame"] == frame:
            found[-1]["stop"] = step + 1
        else:
            found.append({"shows": frame.shows, "start": step, "stop": step + 1, "frame": frame})
    for segment in found:
        frame = segment.pop("frame")
        if frame.shows == "blank":
            values = [
                frame.value * s + m if frame.space == "normalised" else frame.value
                for m, s in zip(spec.mean, spec.std, strict=True)
            ]
            grey = [round(255 * min(1.0, max(0.0, v))) for v in values]
            segment["colour"] = grey if len(grey) == 3 else grey[:1] * 3
    return found


def pictures(
    block: Block, spec: NetworkSpec, shown: Mapping[str, Any], names: Sequence[str], truths: Sequence[str]
) -> dict[str, Any]:
    """The pictures as the network sees them, [image, height, width, 3 or 1], and what they are called."""
    pictures = {key: block.add(_pixels(spec, x)) for key, x in shown.items()}
    count = len(shown[IMAGE])
    if any(len(given) not in (0, count) for given in (names, truths)):
        raise VentralError(f"{count} images need as many names and truths; got {len(names)} and {len(truths)}")
    return {
        "names": list(names) or [f"image {i + 1}" for i in range(count)],
        "truths": list(truths) or [""] * count,
        **pictures,
    }


def _pixels(spec: NetworkSpec, images: Tensor) -> NDArray[np.uint8]:
    mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (spec.mean, spec.std))
    levels = (images.detach().cpu().float() * std + mean).mul(255).round().clamp(0, 255).to(torch.uint8)
    result: NDArray[np.uint8] = levels.permute(0, 2, 3, 1).numpy()
    if result.shape[-1] not in (1, 3):
        result = result.astype(np.float32).mean(-1, keepdims=True).astype(np.uint8)
    return result
