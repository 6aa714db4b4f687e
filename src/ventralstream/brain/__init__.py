"""How well a model explains recordings and people: arrays with named dimensions in, scores out.

Names are imported when they are first used, so that `import ventralstream.brain` is light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ventralstream.assembly import assembly as assembly
    from ventralstream.assembly import time_bins as time_bins
    from ventralstream.brain.behaviour.accuracy import AccuracyCurve as AccuracyCurve
    from ventralstream.brain.behaviour.accuracy import accuracy_by_difficulty as accuracy_by_difficulty
    from ventralstream.brain.behaviour.accuracy import accuracy_curve as accuracy_curve
    from ventralstream.brain.behaviour.answers import correct_over_time as correct_over_time
    from ventralstream.brain.behaviour.answers import early_exits as early_exits
    from ventralstream.brain.behaviour.decoder import Decoder as Decoder
    from ventralstream.brain.behaviour.decoder import choice_probabilities as choice_probabilities
    from ventralstream.brain.behaviour.decoder import fit_decoder as fit_decoder
    from ventralstream.brain.behaviour.kappa import cohens_kappa as cohens_kappa
    from ventralstream.brain.behaviour.kappa import error_consistency as error_consistency
    from ventralstream.brain.behaviour.masking import MaskingComparison as MaskingComparison
    from ventralstream.brain.behaviour.masking import MaskingCurves as MaskingCurves
    from ventralstream.brain.behaviour.masking import compare_masking as compare_masking
    from ventralstream.brain.behaviour.masking import masking_curves as masking_curves
    from ventralstream.brain.behaviour.masking import soa_steps as soa_steps
    from ventralstream.brain.behaviour.masking import trials_under_masking as trials_under_masking
    from ventralstream.brain.behaviour.ost import i1_over_time as i1_over_time
    from ventralstream.brain.behaviour.ost import object_solution_times as object_solution_times
    from ventralstream.brain.behaviour.ost import ost_consistency as ost_consistency
    from ventralstream.brain.behaviour.ost import solution_times as solution_times
    from ventralstream.brain.behaviour.signatures import behavioural_ceiling as behavioural_ceiling
    from ventralstream.brain.behaviour.signatures import behavioural_consistency as behavioural_consistency
    from ventralstream.brain.behaviour.signatures import brain_score_2019 as brain_score_2019
    from ventralstream.brain.behaviour.signatures import d_prime as d_prime
    from ventralstream.brain.behaviour.signatures import matrix_of_probabilities as matrix_of_probabilities
    from ventralstream.brain.behaviour.signatures import matrix_of_trials as matrix_of_trials
    from ventralstream.brain.behaviour.signatures import signature as signature
    from ventralstream.brain.behaviour.time_mapping import TimeMapping as TimeMapping
    from ventralstream.brain.behaviour.time_mapping import fit_time_mapping as fit_time_mapping
    from ventralstream.brain.mapping.alignment import align_time as align_time
    from ventralstream.brain.mapping.dynamics import AreaAssignment as AreaAssignment
    from ventralstream.brain.mapping.dynamics import assign_areas as assign_areas
    from ventralstream.brain.mapping.dynamics import delayed as delayed
    from ventralstream.brain.mapping.dynamics import generalisation_over_time as generalisation_over_time
    from ventralstream.brain.mapping.dynamics import lags as lags
    from ventralstream.brain.mapping.dynamics import time_courses as time_courses
    from ventralstream.brain.mapping.linear import LinearMap as LinearMap
    from ventralstream.brain.mapping.linear import Mapping as Mapping
    from ventralstream.brain.mapping.pls import PLS as PLS
    from ventralstream.brain.mapping.predictivity import MAPPINGS as MAPPINGS
    from ventralstream.brain.mapping.predictivity import predictivity as predictivity
    from ventralstream.brain.mapping.ridge import Ridge as Ridge
    from ventralstream.brain.mapping.ridge import RidgeCV as RidgeCV
    from ventralstream.brain.recordings import datasets as datasets
    from ventralstream.brain.recordings.datasets import human_occlusion as human_occlusion
    from ventralstream.brain.recordings.datasets import human_speed_accuracy as human_speed_accuracy
    from ventralstream.brain.recordings.datasets import image_metrics as image_metrics
    from ventralstream.brain.recordings.datasets import kriegeskorte92 as kriegeskorte92
    from ventralstream.brain.recordings.datasets import macaque_it as macaque_it
    from ventralstream.brain.recordings.datasets import macaque_v4 as macaque_v4
    from ventralstream.brain.recordings.decoding import decoded_over_time as decoded_over_time
    from ventralstream.brain.recordings.netcdf import read as read
    from ventralstream.brain.recordings.netcdf import write as write
    from ventralstream.brain.recordings.nwb import read_nwb as read_nwb
    from ventralstream.brain.recordings.presentations import Exclusions as Exclusions
    from ventralstream.brain.recordings.presentations import align as align
    from ventralstream.brain.recordings.presentations import mean_repetitions as mean_repetitions
    from ventralstream.brain.recordings.presentations import rebin as rebin
    from ventralstream.brain.recordings.presentations import select as select
    from ventralstream.brain.recordings.presentations import usable as usable
    from ventralstream.brain.recordings.reliability import CORRECTIONS as CORRECTIONS
    from ventralstream.brain.recordings.reliability import Correction as Correction
    from ventralstream.brain.recordings.reliability import internal_consistency as internal_consistency
    from ventralstream.brain.recordings.reliability import spearman_brown as spearman_brown
    from ventralstream.brain.recordings.spikes import from_spikes as from_spikes
    from ventralstream.brain.score import Score as Score
    from ventralstream.brain.similarity.cka import linear_cka as linear_cka
    from ventralstream.brain.similarity.rdm import Rdm as Rdm
    from ventralstream.brain.similarity.rdm import compare as compare
    from ventralstream.brain.similarity.rdm import noise_ceiling as noise_ceiling
    from ventralstream.brain.similarity.rdm import rdm as rdm
    from ventralstream.brain.similarity.rdm import rsatoolbox_rdms as rsatoolbox_rdms
    from ventralstream.brain.similarity.rsa import rsa as rsa
    from ventralstream.brain.similarity.rsa import rsa_over_time as rsa_over_time
    from ventralstream.brain.splits import halves as halves
    from ventralstream.brain.splits import train_test_splits as train_test_splits
    from ventralstream.data.stimuli import Stimuli as Stimuli
    from ventralstream.features.assemblies import features as features
    from ventralstream.features.assemblies import features_from_store as features_from_store
    from ventralstream.features.reduction import PrincipalComponents as PrincipalComponents
    from ventralstream.features.reduction import Reduction as Reduction
    from ventralstream.features.reduction import SparseProjection as SparseProjection
else:
    from ventralstream.extras import require
    from ventralstream.lazy import attach

    require("brain")
    __getattr__, __dir__, __all__ = attach(__name__)
