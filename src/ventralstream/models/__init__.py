"""Registered models: `create_model`, `list_models`."""

from ventralstream.models import convrnn, convrnn_cifar, cornet, feedforward, liao_poggio  # they register their models
from ventralstream.models.registry import (
    Published,
    build,
    count_parameters,
    create_model,
    find_spec,
    list_models,
    model_entry,
    model_spec,
    register_model,
)

__all__ = [
    "Published",
    "build",
    "convrnn",
    "convrnn_cifar",
    "cornet",
    "count_parameters",
    "create_model",
    "feedforward",
    "find_spec",
    "liao_poggio",
    "list_models",
    "model_entry",
    "model_spec",
    "register_model",
]
