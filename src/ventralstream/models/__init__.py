"""Registered models: `create_model`, `list_models`."""

from ventralstream.models import (  # they register their models
    convrnn,
    convrnn_cifar,
    cornet,
    cornet_cifar,
    feedforward,
    liao_poggio,
    rcnn_cifar,
)
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
    "cornet_cifar",
    "count_parameters",
    "create_model",
    "feedforward",
    "find_spec",
    "liao_poggio",
    "list_models",
    "model_entry",
    "model_spec",
    "rcnn_cifar",
    "register_model",
]
