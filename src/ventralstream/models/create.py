"""Networks by name: a registered model with fresh weights, those in the box, published ones, or saved ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ventralstream.checkpoints.box import boxed_folder, boxed_tags
from ventralstream.checkpoints.disk import class_names, load_network, load_spec, put_tensors
from ventralstream.checkpoints.hub import hub_folder
from ventralstream.checkpoints.state_dict import read_state_dict
from ventralstream.errors import VentralError, printable, unknown
from ventralstream.files import is_folder, why_no_file
from ventralstream.models.classes import for_classes_of, fresh_readout, tensor_shapes
from ventralstream.models.registry import build, list_models, model_entry, model_spec
from ventralstream.network import Network
from ventralstream.spec import NetworkSpec

PUBLISHED = "published"  # the tag of what the authors of a model publish
_OF_A_RUN = ("steps", "presentation", "readout", "dt_ms")  # options that change no parameter


def create_model(name: str, *, weights: str | Path | None = None, seed: int | None = None, **options: Any) -> Network:
    """Builds a registered model, with fresh weights or with trained ones.

    Args:
        name: Its name; see `list_models`. "NAME:TAG" is the same as NAME with `weights="TAG"`.
        weights: None starts fresh ones. A tag (`list_weights`): of weights that come with the package, such as
            "cifar10", or "published" for those of the model's authors, downloaded once. Or weights of this model in a
            folder (`save_network`, `ventral convert`, a training run), a file (a torch state dict or safetensors), or a
            hub repository ("user/name").
        seed: Makes fresh weights reproducible without touching the global random state; None uses that state.
        options: See `model_spec`. With `weights` those that leave the parameters as they are: steps, presentation,
            readout, dt_ms; and num_classes: where the weights are of another number of classes, the last layer is
            fresh, and the warning `FreshReadout` says so. (A file of tensors alone takes all options.)

    Returns:
        The network; in evaluation mode if its weights are not fresh.

    Raises:
        VentralError: for an unknown model, tag or option, or weights of another model.
    """
    name, tag = split_tag(name)
    if tag and weights is not None:
        raise VentralError(f"'{name}:{tag}' names its weights already; leave out weights={str(weights)!r}")
    weights = tag or weights
    if weights is None:
        return build(model_spec(name, **options), seed)
    model_entry(name)
    num_classes = options.pop("num_classes", None)
    later = {key: options.pop(key) for key in _OF_A_RUN if key in options}
    network = _with_weights(name, weights, options)
    if network.spec.name != name:
        raise VentralError(f"the weights in '{printable(weights)}' are of '{network.spec.name}', not of '{name}'")
    if num_classes is not None:
        network = fresh_readout(network, num_classes, seed, stacklevel=3)
    network.spec = network.spec.replace(**later)
    return network


@dataclass(frozen=True)
class Opened:
    """A network that was opened by what it is called on the command line.

    Attributes:
        network: The network, in evaluation mode.
        name: What to call it: a folder's name, NAME:TAG, or "NAME (untrained)".
        weights: Where its weights are from: the folder, "in the package", "published by its authors", or "untrained
            (seed 0)".
        class_names: Its classes in the order of the logits; empty if they are not known.
        trained: Whether it has weights that were saved.
    """

    network: Network
    name: str
    weights: str
    class_names: tuple[str, ...]
    trained: bool = True


def open_model(model: str | Path, seed: int = 0) -> Opened:
    """Opens a network by what it is called on the command line.

    Args:
        model: The folder of a run or of a saved network; NAME:TAG, a registered model with weights (see
            `create_model`); or NAME, with fresh ones.
        seed: Of fresh weights.
    """
    if is_folder(model):
        return Opened(load_network(model), Path(model).resolve().name, str(model), class_names(model))
    name, tag = split_tag(str(model))
    network = create_model(str(model), seed=seed).eval()
    if not tag:
        return Opened(network, f"{name} (untrained)", f"untrained (seed {seed})", (), trained=False)
    if folder := boxed_folder(name, tag):
        return Opened(network, str(model), "in the package", class_names(folder))
    from ventralstream.models.convert import imagenet_classes

    return Opened(network, str(model), "published by its authors", imagenet_classes())


def find_spec(model: str | Path) -> NetworkSpec:
    """The spec of what `open_model` opens; nothing is loaded or downloaded for it."""
    if is_folder(model):
        return load_spec(model)
    name, tag = split_tag(str(model))
    if tag and tag not in weight_tags(name):
        raise _no_such_weights(name, tag)
    folder = boxed_folder(name, tag)
    return load_spec(folder) if folder else model_spec(name)


def split_tag(model: str) -> tuple[str, str]:
    """ "NAME:TAG" as (NAME, TAG); the tag is "" where there is none."""
    name, colon, tag = model.partition(":")
    if colon and not tag:
        raise VentralError(f"'{printable(model)}' names no weights after ':'; expected NAME or NAME:TAG")
    return name, tag


def list_weights(pattern: str = "*") -> list[str]:
    """The weights that there are by name, as "NAME:TAG", sorted by model.

    Args:
        pattern: That the model's name matches ("rgc*").
    """
    return [f"{name}:{tag}" for name in list_models(pattern) for tag in weight_tags(name)]


def weight_tags(model: str) -> list[str]:
    """The tags of the weights that there are of a registered model: those in the box, and "published"."""
    published = model_entry(model).published
    return [*boxed_tags(model), *([PUBLISHED] if published is not None and published.files else [])]


def _with_weights(name: str, weights: str | Path, options: dict[str, Any]) -> Network:
    tagged = isinstance(weights, str) and weights in (PUBLISHED, *boxed_tags(name))
    if not tagged and not is_folder(weights) and not why_no_file(weights):
        return _from_file(name, Path(weights), options)
    if options:
        raise VentralError(
            f"'{next(iter(options))}' cannot be changed on saved weights; only {', '.join((*_OF_A_RUN, 'num_classes'))}"
            " can"
        )
    if weights == PUBLISHED:
        from ventralstream.models.convert import read_published

        return read_published(name)[0]
    if isinstance(weights, str) and (folder := boxed_folder(name, weights)):
        return load_network(folder)
    if is_folder(weights):
        return load_network(weights)
    if "/" in str(weights):
        return load_network(hub_folder(str(weights)))
    raise _no_such_weights(name, str(weights))


def _no_such_weights(name: str, tag: str) -> VentralError:
    tags = weight_tags(name)
    if not tags:
        return VentralError(
            f"unknown weights '{printable(tag)}' of '{name}', of which there are none by name; expected the folder of a"
            " saved network or a run, a file of tensors, or a hub repository ('user/name')"
        )
    return unknown("weights", printable(tag), tags, f" of model '{name}'")


def _from_file(name: str, path: Path, options: dict[str, Any]) -> Network:
    """A model with the tensors of a file, under our names or, where it has none of them, under its authors'."""
    spec, tensors = model_spec(name, **options), read_state_dict(path)
    published = model_entry(name).published
    if published is not None and not set(tensors) & set(tensor_shapes(spec)):
        from ventralstream.models.convert import read_published

        if options:
            raise VentralError(
                f"'{printable(path)}' has none of our names of tensors, and under those of the model's authors"
                f" '{next(iter(options))}' cannot be changed"
            )
        linear = [tensor for tensor in tensors.values() if tensor.dim() == 2]  # all else is convolutions and vectors
        return read_published(name, path, *(len(tensor) for tensor in linear[:1]))[0]
    network = build(for_classes_of(spec, tensors))
    put_tensors(network, tensors, path)
    return network.eval()
