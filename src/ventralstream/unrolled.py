"""An unrolled network whose input and outputs are plain tensors: what exporters and many tools ask for."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ventralstream.errors import VentralError
from ventralstream.layers import shortcuts
from ventralstream.network import Network
from ventralstream.presentation import Presentation
from ventralstream.readout import Readout
from ventralstream.record import Record, Reduce


class Unrolled(nn.Module):
    """A network with the arguments of its call fixed: images [B, C, H, W] in, tensors out.

    For `torch.export`, ONNX, Captum, thingsvision and others that know modules of tensors only:

        torch.onnx.export(Unrolled(net.eval(), steps=16).export(images), f="net.onnx", dynamo=True)

    It runs plainly, each module's call one step of the whole batch, as where hooks wait (`docs/how-to/hooks.md`):
    slower than the network's own call, and the same to the last bit whoever watches.

    Args:
        network: The network; this module holds it, as `network`.
        steps: How many steps; as for the network's call.
        presentation: What is shown when; the spec's by default.
        readout: How the logits become a decision; the spec's by default.
        record: Areas whose activations are given too.
        reduce: How, see `Record.reduce`.

    Its call gives the decision [B, K]; with areas to record, a tuple of it and of each area's activations [B, T, ...].
    """

    def __init__(
        self,
        network: Network,
        steps: int | None = None,
        *,
        presentation: Presentation | None = None,
        readout: Readout | None = None,
        record: Sequence[str] = (),
        reduce: Reduce = "none",
    ) -> None:
        super().__init__()
        self.network = network
        self.steps, self.presentation, self.readout = steps, presentation, readout
        self.record = Record(record, reduce=reduce) if record else None

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The decision, or (decision, activations, ...)."""
        with nullcontext() if shortcuts.traced() else shortcuts.plainly():
            out = self.network.forward(  # not its call: tools that hook every module take tensors only
                images,
                self.steps,
                presentation=self.presentation,
                readout=self.readout or "own",
                record=self.record,
            )
        if self.record is None:
            return out.output
        return (out.output, *(out[area].values for area in self.record.areas))

    def export(self, images: Tensor, **options: Any) -> torch.export.ExportedProgram:
        """The program of `torch.export` for any batch size, with the parameters as they are now.

        Args:
            images: Normalised images of the size to export for, at least two.
            options: Of `torch.export.export`, such as `strict`.
        """
        if len(images) < 2:
            raise VentralError("export from a batch of at least two images; what is made of one would be for one only")
        self.network.traits()  # what the plan depends on is looked at now
        with shortcuts.settled():
            return torch.export.export(self, (images,), dynamic_shapes=({0: torch.export.Dim("batch")},), **options)
