"""What fits what: a saved network the images, a checkpoint's parts each other (one of another version may not)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from ventralstream.errors import VentralError
from ventralstream.training.task import metric_names

if TYPE_CHECKING:
    from ventralstream.data.source import SetInfo
    from ventralstream.spec import NetworkSpec
    from ventralstream.training.folder import Checkpoint


def check_channels(spec: NetworkSpec, data: SetInfo) -> None:
    """Raises VentralError if a network that has its weights takes images of other channels than a set's."""
    takes, has = spec.input_shape[0], data.preprocessing.channels
    if takes != has:
        raise VentralError(f"'{spec.name}' takes images of {takes} channels; those of '{data.name}' have {has}")


def check_fits(start: Checkpoint) -> None:
    """Raises VentralError if training could not go on from a checkpoint, which was read without a fault."""
    network = start.build()
    start.learnt()
    if start.seen.dim() != 2 or start.seen.shape[1] != 3:
        raise VentralError(f"what it has counted is of the shape {list(start.seen.shape)}; expected [processes, 3]")
    if start.metrics and start.metrics.splitlines()[0] != ",".join(("step", *metric_names(start.spec))):
        raise VentralError("its metrics have other columns")
    if start.optimizer is None:
        return
    optimizer = start.recipe.optimizer.build(network)
    optimizer.load_state_dict(start.optimizer)
    for parameter, kept in optimizer.state.items():
        for name, value in kept.items():
            if isinstance(value, Tensor) and value.dim() and value.shape != parameter.shape:
                shapes = f"{list(value.shape)} for a parameter of {list(parameter.shape)}"
                raise VentralError(f"the optimiser's '{name}' is of another shape: {shapes}")
