"""How well a model explains recordings and people: arrays with named dimensions in, scores out.

Names are imported when they are first used, so that `import ventralstream.brain` is light.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES: dict[str, tuple[str, ...]] = {
    "recordings": ("Exclusions", "align", "assembly", "mean_repetitions", "rebin", "select", "time_bins", "usable"),
    "spikes": ("from_spikes",),
    "netcdf": ("read", "write"),
    "datasets": (
        "human_occlusion",
        "human_speed_accuracy",
        "kriegeskorte92",
        "macaque_it",
        "macaque_v4",
    ),
    "stimuli": ("Stimuli",),
    "model_features": ("features", "features_from_store"),
    "alignment": ("align_time",),
    "reduction": ("PrincipalComponents", "Reduction", "SparseProjection"),
    "score": ("Score",),
    "splits": ("halves", "train_test_splits"),
    "mapping": ("LinearMap", "Mapping"),
    "pls": ("PLS",),
    "ridge": ("Ridge", "RidgeCV"),
    "reliability": ("CORRECTIONS", "Correction", "internal_consistency", "spearman_brown"),
    "neural_predictivity": ("MAPPINGS", "predictivity"),
    "dynamics": ("AreaAssignment", "assign_areas", "delayed", "generalisation_over_time", "lags", "time_courses"),
    "decoding": ("decoded_over_time",),
    "decoder": ("Decoder", "choice_probabilities", "fit_decoder"),
    "ost": ("i1_over_time", "object_solution_times", "ost_consistency", "solution_times"),
    "behavior": (
        "behavioral_ceiling",
        "behavioral_consistency",
        "brain_score_2019",
        "d_prime",
        "matrix_of_probabilities",
        "matrix_of_trials",
        "signature",
    ),
    "kappa": ("cohens_kappa", "error_consistency"),
    "accuracy": ("AccuracyCurve", "accuracy_by_difficulty", "accuracy_curve"),
    "similarity": ("Rdm", "compare", "linear_cka", "noise_ceiling", "rdm", "rsa", "rsa_over_time", "rsatoolbox_rdms"),
    "people": ("TimeMapping", "correct_over_time", "early_exits", "fit_time_mapping"),
    "masking": (
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
        return getattr(importlib.import_module(f"ventralstream.brain.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module 'ventralstream.brain' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
