"""ventralstream: recurrent convolutional models of the primate ventral visual stream.

Names are imported when they are first used, so that `import ventralstream` does not import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ventralstream.version import __version__ as __version__

if TYPE_CHECKING:
    from ventralstream import brain as brain
    from ventralstream import cells as cells
    from ventralstream import data as data
    from ventralstream import layers as layers
    from ventralstream import models as models
    from ventralstream import published as published
    from ventralstream import search as search
    from ventralstream import testing as testing
    from ventralstream import training as training
    from ventralstream.checkpoints import from_hub as from_hub
    from ventralstream.checkpoints import load_network as load_network
    from ventralstream.checkpoints import push_to_hub as push_to_hub
    from ventralstream.checkpoints import save_network as save_network
    from ventralstream.data import Augment as Augment
    from ventralstream.errors import FreshReadout as FreshReadout
    from ventralstream.errors import VentralError as VentralError
    from ventralstream.features.extraction import extract as extract
    from ventralstream.features.store import open_features as open_features
    from ventralstream.models import build as build
    from ventralstream.models import count_parameters as count_parameters
    from ventralstream.models import create_model as create_model
    from ventralstream.models import list_models as list_models
    from ventralstream.models import list_weights as list_weights
    from ventralstream.models import model_spec as model_spec
    from ventralstream.models import register_model as register_model
    from ventralstream.network import Network as Network
    from ventralstream.output import Decision as Decision
    from ventralstream.output import NetworkState as NetworkState
    from ventralstream.output import Output as Output
    from ventralstream.output import Recording as Recording
    from ventralstream.presentation import Constant as Constant
    from ventralstream.presentation import Flash as Flash
    from ventralstream.presentation import Masked as Masked
    from ventralstream.presentation import Movie as Movie
    from ventralstream.presentation import Neural as Neural
    from ventralstream.presentation import Presentation as Presentation
    from ventralstream.presentation import Segment as Segment
    from ventralstream.probes import transfer as transfer
    from ventralstream.readout import ClassPeak as ClassPeak
    from ventralstream.readout import ClassWeighted as ClassWeighted
    from ventralstream.readout import ConfidenceWeighted as ConfidenceWeighted
    from ventralstream.readout import Last as Last
    from ventralstream.readout import MaxConfidence as MaxConfidence
    from ventralstream.readout import Mean as Mean
    from ventralstream.readout import PerStep as PerStep
    from ventralstream.readout import Readout as Readout
    from ventralstream.readout import Threshold as Threshold
    from ventralstream.record import Record as Record
    from ventralstream.spec import Area as Area
    from ventralstream.spec import CellSpec as CellSpec
    from ventralstream.spec import Connection as Connection
    from ventralstream.spec import NetworkSpec as NetworkSpec
    from ventralstream.spec import rename_areas as rename_areas
    from ventralstream.spec import spec_from_json as spec_from_json
    from ventralstream.timing import first_steps as first_steps
    from ventralstream.training import SGD as SGD
    from ventralstream.training import AdamW as AdamW
    from ventralstream.training import DecisionLoss as DecisionLoss
    from ventralstream.training import Loss as Loss
    from ventralstream.training import MeanLoss as MeanLoss
    from ventralstream.training import Muon as Muon
    from ventralstream.training import Place as Place
    from ventralstream.training import RandomDurationLoss as RandomDurationLoss
    from ventralstream.training import RandomStepLoss as RandomStepLoss
    from ventralstream.training import Recipe as Recipe
    from ventralstream.training import Schedule as Schedule
    from ventralstream.training import WeightedLoss as WeightedLoss
    from ventralstream.training import list_recipes as list_recipes
    from ventralstream.training import load_recipe as load_recipe
    from ventralstream.training.run import resume as resume
    from ventralstream.training.run import train as train
    from ventralstream.unrolled import Unrolled as Unrolled
else:
    from ventralstream.lazy import attach

    __getattr__, __dir__, __all__ = attach(__name__)
