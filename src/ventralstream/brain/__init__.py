"""How well a model explains recordings and people: arrays with named dimensions in, scores out.

Names are imported when they are first used, so that `import ventralstream.brain` is light.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES: dict[str, tuple[str, ...]] = {
    "assembly": ("assembly", "time_bins"),
    "brain.recordings.presentations": ("Exclusions", "align", "mean_repetitions", "rebin", "select", "usable"),
    "brain.recordings.spikes": ("from_spikes",),
    "brain.recordings.netcdf": ("read", "write"),
    "brain.recordings.nwb": ("read_nwb",),
    "brain.recordings.datasets": (
        "human_occlusion",
        "human_speed_accuracy",
        "image_metrics",
        "kriegeskorte92",
        "macaque_it",
        "macaque_v4",
    ),
    "data.stimuli": ("Stimuli",),
    "features.assemblies": ("features", "features_from_store"),
    "brain.mapping.alignment": ("align_time",),
    "features.reduction": ("PrincipalComponents", "Reduction", "SparseProjection"),
    "brain.score": ("Score",),
    "brain.splits": ("halves", "train_test_splits"),
    "brain.mapping.linear": ("LinearMap", "Mapping"),
    "brain.mapping.pls": ("PLS",),
    "brain.mapping.ridge": ("Ridge", "RidgeCV"),
    "brain.recordings.reliability": ("CORRECTIONS", "Correction", "internal_consistency", "spearman_brown"),
    "brain.mapping.predictivity": ("MAPPINGS", "predictivity"),
    "brain.mapping.dynamics": (
        "AreaAssignment",
        "assign_areas",
        "delayed",
        "generalisation_over_time",
        "lags",
        "time_courses",
    ),
    "brain.recordings.decoding": ("decoded_over_time",),
    "brain.behaviour.decoder": ("Decoder", "choice_probabilities", "fit_decoder"),
    "brain.behaviour.ost": ("i1_over_time", "object_solution_times", "ost_consistency", "solution_times"),
    "brain.behaviour.signatures": (
        "behavioural_ceiling",
        "behavioural_consistency",
        "brain_score_2019",
        "d_prime",
        "matrix_of_probabilities",
        "matrix_of_trials",
        "signature",
    ),
    "brain.behaviour.kappa": ("cohens_kappa", "error_consistency"),
    "brain.behaviour.accuracy": ("AccuracyCurve", "accuracy_by_difficulty", "accuracy_curve"),
    "brain.similarity.rdm": (
        "Rdm",
        "compare",
        "noise_ceiling",
        "rdm",
        "rsatoolbox_rdms",
    ),
    "brain.similarity.rsa": ("rsa", "rsa_over_time"),
    "brain.similarity.cka": ("linear_cka",),
    "brain.behaviour.people": ("TimeMapping", "correct_over_time", "early_exits", "fit_time_mapping"),
    "brain.behaviour.masking": (
        "MaskingComparison",
        "MaskingCurves",
        "compare_masking",
        "masking_curves",
        "soa_steps",
        "trials_under_masking",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [*_HOME_OF]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"ventralstream.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module 'ventralstream.brain' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
