"""Registered models and their weights: `create_model`, `list_models`, `list_weights`."""

from ventralstream.models import (  # they register their models
    convrnn,
    convrnn_cifar,
    convrnn_digits,
    cornet,
    cornet_cifar,
    feedforward,
    liao_poggio,
    rcnn_cifar,
)
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
    "convrnn_digits",
    "cornet",
    "cornet_cifar",
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
    "rcnn_cifar",
    "register_model",
]
