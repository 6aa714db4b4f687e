"""The registry of models: a name, a function that gives the spec, and what is known of it; no weights."""

from __future__ import annotations

import fnmatch
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from ventralstream.errors import VentralError, unknown
from ventralstream.layers.init import Drawing
from ventralstream.network import Network
from ventralstream.published.about import Published
from ventralstream.spec import NetworkSpec
from ventralstream.values import Seed, checked, fit

Family = Literal["convrnn", "cornet", "liao_poggio", "rcnn", "feedforward", "user"]
SpecMaker = Callable[..., NetworkSpec]


@dataclass(frozen=True)
class Entry:
    """A registered model.

    Attributes:
        name: Its name.
        make: Gives its spec; its parameters (num_classes first) are the model's options.
        family: The paper's family.
        summary: One line.
        published: What is published of it; None for our own.
    """

    name: str
    make: SpecMaker
    family: Family
    summary: str
    published: Published | None = None


_MODELS: dict[str, Entry] = {}


def register_model(
    family: Family = "user", name: str = "", published: Published | None = None
) -> Callable[[SpecMaker], SpecMaker]:
    """Registers a function that gives a spec as a model; its docstring's first line is the summary."""

    def register(make: SpecMaker) -> SpecMaker:
        key = name or make.__name__
        if ":" in key:
            raise VentralError(f"'{key}' cannot be a model's name: what follows ':' names weights")
        if key in _MODELS:
            raise VentralError(f"the model name '{key}' is taken")
        known = checked(make)
        _MODELS[key] = Entry(key, known, family, (inspect.getdoc(make) or "").split("\n")[0], published)
        return known

    return register


def model_entry(name: str) -> Entry:
    """The registry's entry; an unknown name is an error that gives the nearest one."""
    if name not in _MODELS:
        raise unknown("model", name, _MODELS)
    return _MODELS[name]


def list_models(pattern: str = "*", family: Family | None = None, published: bool | None = None) -> list[str]:
    """Names of the registered models, sorted.

    Args:
        pattern: That the name matches ("rgc*").
        family: Of which family; None is any.
        published: Whether published weights exist of it; None is either.

    Raises:
        VentralError: for an unknown family.
    """
    if family not in (None, *get_args(Family)):
        raise unknown("family", family, get_args(Family))
    return sorted(
        e.name
        for e in _MODELS.values()
        if fnmatch.fnmatch(e.name, pattern)
        and family in (None, e.family)
        and published in (None, e.published is not None)
    )


def model_spec(name: str, **options: object) -> NetworkSpec:
    """The spec of a registered model.

    Args:
        name: Its name.
        options: Options of the model's function (num_classes, ...), or fields of the spec (steps, readout, ...).

    Raises:
        VentralError: for an unknown model or option.
    """
    entry = model_entry(name)
    own = list(inspect.signature(entry.make).parameters)
    fields = list(NetworkSpec.__dataclass_fields__)
    for key in options:
        if key not in own and key not in fields:
            raise unknown("option", key, own + fields, f" of model '{name}'")
    spec = entry.make(**{k: v for k, v in options.items() if k in own})
    return spec.replace(name=name, **{k: v for k, v in options.items() if k not in own})


def build(spec: NetworkSpec, seed: int | None = None) -> Network:
    """Builds a network of any spec; `seed` as in `create_model`."""
    if seed is None:
        return Network(spec)
    with Drawing(fit(seed, Seed, "seed")):
        return Network(spec)


def count_parameters(spec: NetworkSpec) -> int:
    """The number of trainable parameters, without making them."""
    with torch.device("meta"):
        return sum(p.numel() for p in Network(spec).parameters() if p.requires_grad)
