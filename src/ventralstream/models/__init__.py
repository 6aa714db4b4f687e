"""Registered models and their weights: `create_model`, `list_models`, `list_weights`."""

from ventralstream.models import convrnn, convrnn_cifar, cornet, feedforward, liao_poggio  # they register their models
from ventralstream.models.create import create_model, find_spec, list_weights, open_model
from ventralstream.models.registry import (
    build,
    count_parameters,
    list_models,
    model_entry,
    model_spec,
    register_model,
)

__all__ = [
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
    "list_weights",
    "model_entry",
    "model_spec",
    "open_model",
    "register_model",
]
