"""What a network does, recorded batch by batch: the one loop behind stores, assemblies and the Brain-Score plugin."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from ventralstream.data import Skipped
from ventralstream.errors import VentralError
from ventralstream.features.axes import Axis
from ventralstream.features.sources import Batch
from ventralstream.network import Network
from ventralstream.presentation import Presentation
from ventralstream.record import Record
from ventralstream.stimulus import Images, Stimulus
from ventralstream.timing import driven_steps


@dataclass(frozen=True)
class Asked:
    """What is asked of a network, worked out.

    Attributes:
        records: What is recorded; no area twice.
        presentation: What is shown when.
        steps: Steps of the unroll. No more are run than what is asked for needs.
        axes: The time of each recorded area.
    """

    records: tuple[Record, ...]
    presentation: Presentation
    steps: int
    axes: Mapping[str, Axis]

    @property
    def last(self) -> int:
        """The last step that is recorded."""
        return max(t for axis in self.axes.values() for t in axis.steps)


@dataclass(frozen=True)
class Recorded:
    """A batch of stimuli and what the network did.

    Attributes:
        ids: The B stimulus ids.
        skipped: The stimuli that could not be read.
        activations: Per area [B, T', ...], see `Record.reduce`, in the computer's memory; empty if B is 0.
        decision: [B, K], what the readout decides, if that was asked for.
    """

    ids: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    activations: dict[str, Tensor]
    decision: Tensor | None = None


def ask(
    net: Network,
    records: Record | Sequence[Record],
    steps: int | None = None,
    presentation: Presentation | None = None,
) -> Asked:
    """Works out what is asked of a network.

    Args:
        net: The network.
        records: What is recorded: one `Record`, or several with areas of their own (none, for decisions alone).
        steps: Steps of the unroll; the presentation's by default, if it is given and says so, else the spec's.
        presentation: What is shown when; the spec's by default.

    Raises:
        VentralError: for steps or areas that the network does not have, an area in two records, or one that the image
            never drives.
    """
    records = (records,) if isinstance(records, Record) else tuple(records)
    for record in records:
        if not isinstance(record, Record):
            raise VentralError(f"what is recorded is said by a Record, as in Record(['{net.spec.areas[0].name}'])")
    if not (presentation is None or isinstance(presentation, Presentation)):
        raise VentralError(f"a presentation is one of Constant(), Flash(...), ...; got {presentation!r}")
    steps = net.count_steps(steps, presentation)
    presentation = presentation or net.spec.presentation
    axes: dict[str, Axis] = {}
    for record in records:
        recorded_steps = record.resolve(net.spec, 0, steps)
        first = first_driven_steps(net, record, presentation, steps)
        for area, ts in recorded_steps.items():
            if area in axes:
                raise VentralError(f"two records name area '{area}'; give each area once")
            axes[area] = Axis(ts, net.spec.dt_ms, presentation.onset, first[area])
    return Asked(records, presentation, steps, axes)


def recorded(
    net: Network,
    asked: Asked,
    batches: Iterable[Batch],
    *,
    device: torch.device | None = None,
    decide: bool = False,
) -> Iterator[Recorded]:
    """Shows batches of stimuli to a network and gives what it did, one batch in memory at a time.

    The network is run in evaluation mode, without gradients, and is left as it is: also between two batches.

    Args:
        net: The network.
        asked: From `ask`.
        batches: From `Shown.batches`; they are brought to the device and the numbers' type of the network.
        device: Where to compute; None is where the network is, and elsewhere a copy of it is run.
        decide: Whether the readout's decision is wanted, too, after all steps.
    """
    home = device_of(net)
    if device is not None and (device.type, device.index or 0) != (home.type, home.index or 0):
        net, home = copy.deepcopy(net).to(device), device
    dtype = next((p.dtype for p in net.parameters() if p.is_floating_point()), torch.float32)
    for batch in batches:
        if batch.stimulus is None:
            yield Recorded((), batch.skipped, {})
            continue
        stimulus = _brought(batch.stimulus, home, dtype)
        with evaluating(net), torch.no_grad():
            output = net(
                stimulus,
                asked.steps if decide else asked.last + 1,  # what comes later cannot change it
                presentation=asked.presentation,
                readout="own" if decide else None,
                record=asked.records,
            )
        activations = {area: output[area].values.cpu() for area in asked.axes}
        yield Recorded(batch.ids, batch.skipped, activations, output.output.cpu() if decide else None)


def first_driven_steps(net: Network, record: Record, presentation: Presentation, steps: int) -> dict[str, int]:
    """The first step at which the image drives each recorded area, with this presentation.

    `Network.first_steps` is that for an image shown from step 0; here the image may come after a blank.

    Args:
        net: The network.
        record: The areas.
        presentation: What is shown when.
        steps: Steps of the unroll; more are looked at where these are too few.

    Raises:
        VentralError: The image never drives an area.
    """
    longest = max(steps, presentation.onset + max(net.first_steps[area] for area in record.areas) + 1)
    driven = driven_steps(net.spec, longest, presentation)
    for area in record.areas:
        if not any(driven[area]):
            raise VentralError(f"with this presentation the image never drives area '{area}'")
    return {area: driven[area].index(True) for area in record.areas}


def device_of(net: Network) -> torch.device:
    """Where a network is."""
    return next((t.device for t in net.state_dict().values()), torch.device("cpu"))


@contextmanager
def evaluating(net: Network) -> Iterator[None]:
    """Puts a network into evaluation mode and afterwards each of its modules back into its own."""
    training = [module for module in net.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _brought(stimulus: Stimulus, device: torch.device, dtype: torch.dtype) -> Stimulus:
    def bring(x: Images) -> Images:
        if not isinstance(x, Tensor):  # an array: the network takes it to itself
            return x
        return x.to(device, dtype) if x.is_floating_point() else x.to(device)  # whole numbers are refused by name

    if isinstance(stimulus, Mapping):
        return {name: bring(x) for name, x in stimulus.items()}
    return bring(stimulus)
