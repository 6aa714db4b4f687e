"""Our models as Brain-Score `BrainModel`s, for its benchmarks and its leaderboard.

    from ventralstream.brainscore import VentralBrainModel

    model = VentralBrainModel(vs.create_model("rgc_shallow", weights="..."), steps=17)
    score = brainscore_vision.load_benchmark("MajajHong2015public.IT-pls")(model)

This file needs the package brainscore-vision; nothing else of ours imports it.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from ventralstream.assembly import TimeBins
from ventralstream.brain.behaviour.decoder import Decoder, fit_decoder
from ventralstream.errors import VentralError, unknown
from ventralstream.features.batches import Recorded, ask, recorded
from ventralstream.features.commitment import commit, published_regions, step_weights
from ventralstream.features.shown import shown
from ventralstream.network import Network
from ventralstream.presentation import Presentation
from ventralstream.record import Record
from ventralstream.values import Count, fit

try:
    from brainscore_core.supported_data_standards.brainio.assemblies import (  # type: ignore[import-not-found]
        BehavioralAssembly,
        NeuroidAssembly,
    )
    from brainscore_vision.model_interface import BrainModel  # type: ignore[import-not-found]
except ModuleNotFoundError as error:
    if (error.name or "").split(".")[0] not in ("brainscore_core", "brainscore_vision"):
        raise
    raise ModuleNotFoundError(
        "ventralstream.brainscore needs Brain-Score 2.4 or later: pip install brainscore-vision", name=error.name
    ) from None

CLASSIFIER_C = 1e-3
"""Inverse strength of the penalty of the classifier of probabilities (docs/papers.md B.5)."""

IMAGENET_CLASSES = 1000

Stimuli: TypeAlias = Any
"""A Brain-Score `StimulusSet`, or paths of images."""


class VentralBrainModel(BrainModel):
    """A network as a subject of Brain-Score's experiments.

    It records (`start_recording`) and answers (`start_task` with "label" or "probabilities"); what was asked for last
    is what `look_at` gives. The network is run in evaluation mode, where nothing in it is random, and left as it is.

    Args:
        network: The network.
        identifier: The model's name; the spec's by default.
        regions: For each region ("V1", "V2", "V4", "IT", or of your own naming) its area or areas. By default those
            that the registered model's authors assign; see `published_regions`.
        class_names: What the network's classes are called, in order, for the task "label"; several may have the same
            name. Not needed where there are 1,000 classes, which are taken for ImageNet's.
        visual_degrees: How wide the network's image is taken to be; Brain-Score's usual 8 degrees.
        steps: Steps of the unroll; as for `Network`. The answer is taken at the last one.
        presentation: What is shown when; the network's own by default. Times count from the image's onset.
        delay_ms: How much later the brain is than the model: step t lasts from t * dt_ms + delay_ms.
        reduce: Recordings are of every unit of an area ("flatten", as Brain-Score does), or of the "mean" or "max" of
            each channel over space.
        batch_size: Images at a time.

    Raises:
        VentralError: for regions, steps or class names that the network does not have.
    """

    def __init__(
        self,
        network: Network,
        *,
        identifier: str | None = None,
        regions: Mapping[str, str | Sequence[str]] | None = None,
        class_names: Sequence[str] | None = None,
        visual_degrees: int = 8,
        steps: int | None = None,
        presentation: Presentation | None = None,
        delay_ms: float = 0.0,
        reduce: Literal["flatten", "mean", "max"] = "flatten",
        batch_size: int = 16,
    ) -> None:
        spec = network.spec
        height, width = spec.input_shape[1:]
        if height != width:
            raise VentralError(f"'{spec.name}' takes {height} x {width} pixels; Brain-Score's images are square")
        if reduce not in ("flatten", "mean", "max"):
            raise unknown("reduce", reduce, ("flatten", "mean", "max"))
        self.network = network
        self.regions = commit(published_regions(spec) if regions is None else regions, (a.name for a in spec.areas))
        self.steps = network.count_steps(steps, presentation)
        self.presentation = presentation or spec.presentation
        self.delay_ms = delay_ms
        self.reduce = reduce
        self.batch_size = fit(batch_size, Count, "batch_size")
        self._identifier = identifier or spec.name
        self._visual_degrees = visual_degrees
        self._class_names = self._check_names(class_names)
        self._doing: _Recording | _Labelling | Decoder | Literal["nothing"] | None = None

    @property
    def identifier(self) -> str:
        """The model's name."""
        return self._identifier

    def visual_degrees(self) -> int:
        """How many degrees of the visual field the image covers."""
        return self._visual_degrees

    def start_recording(self, recording_target: str, time_bins: TimeBins) -> None:
        """Makes `look_at` give recordings.

        Args:
            recording_target: One of the regions.
            time_bins: Start and end of each bin in ms from the image's onset.

        Raises:
            VentralError: for an unknown region, or a bin that the model has no step for.
        """
        if recording_target not in self.regions:
            raise unknown("region", recording_target, self.regions, f" of '{self.identifier}'")
        # as they are given: Brain-Score looks bins up by their numbers, and arrays are no numbers
        bins = [tuple(np.asarray(b).tolist()) for b in time_bins]
        spec, onset = self.network.spec, self.presentation.onset
        if onset >= self.steps:
            raise VentralError(f"the presentation does not show the image in {self.steps} steps")
        records, weights = [], {}
        for area in self.regions[recording_target]:
            there = range(spec.area(area).start, self.steps)
            values = step_weights(bins, there, spec.dt_ms, self.delay_ms - onset * spec.dt_ms, area)
            used = np.flatnonzero(values.any(0))
            records.append(Record(area, tuple(there[i] for i in used), self.reduce))
            weights[area] = values[:, used]
        self._doing = _Recording(recording_target, bins, records, weights)

    def start_task(
        self,
        task: str,
        fitting_stimuli: Stimuli | Sequence[str] | None = None,
        *,
        aggregation: Literal["mean", "max"] = "mean",
        number_of_trials: int = 1,
        require_variance: bool = False,
    ) -> None:
        """Makes `look_at` give answers.

        Args:
            task: `BrainModel.Task`'s "label", "probabilities" or "passive".
            fitting_stimuli: For "label" the labels to choose among, or "imagenet"; for "probabilities" a `StimulusSet`
                with `image_label`, which a softmax classifier is fitted to on what the readout area reads at the last
                step (standardised features, C = 1e-3; docs/papers.md B.5).
            aggregation: Of the probabilities of the network's classes that have the same label.
            number_of_trials: Ignored: all trials of a network are alike.
            require_variance: As in `look_at`.

        Raises:
            VentralError: for another task, labels that the network does not know, or stimuli without `image_label`.
        """
        _check_variance(require_variance)
        if task == BrainModel.Task.passive:
            self._doing = "nothing"
        elif task == BrainModel.Task.label:
            if fitting_stimuli is None:
                raise VentralError("the task 'label' needs the labels to choose among, or 'imagenet'")
            self._doing = self._labelling(fitting_stimuli, aggregation)
        elif task == BrainModel.Task.probabilities:
            fitted = _Shown.of(fitting_stimuli)
            if "image_label" not in fitted.columns:
                raise VentralError("the task 'probabilities' needs fitting stimuli with a column 'image_label'")
            features = self._read_by_readout(fitted)
            labels = fitted.columns["image_label"]
            self._doing = fit_decoder(features, labels, l2=1 / (CLASSIFIER_C * len(features)))
        else:
            known = (BrainModel.Task.label, BrainModel.Task.probabilities, BrainModel.Task.passive)
            raise unknown("task", task, known)

    def look_at(self, stimuli: Stimuli, number_of_trials: int = 1, require_variance: bool = False) -> Any:
        """Shows images to the model.

        Args:
            stimuli: A `StimulusSet`, or paths of images.
            number_of_trials: Ignored: all trials of a network are alike, and so is their mean.
            require_variance: Trials that differ are an error to ask for: the network has no noise.

        Returns:
            What was asked for last, with all columns of the stimuli as coordinates. A recording is a `NeuroidAssembly`
            [presentation, neuroid, time_bin], without time_bin if that is one bin, in the order of the stimuli. A label
            is a `BehavioralAssembly` [choice, presentation] (one choice), probabilities [presentation, choice]. None
            for "passive".

        Raises:
            VentralError: Nothing was asked for, or an image cannot be read.
        """
        _check_variance(require_variance)
        if self._doing is None:
            raise VentralError("the model was asked for nothing; start_recording or start_task comes before look_at")
        if self._doing == "nothing":
            return None
        looked = _Shown.of(stimuli)
        if isinstance(self._doing, _Recording):
            return self._record(looked, self._doing)
        if isinstance(self._doing, _Labelling):
            return self._label(looked, self._doing)
        probabilities = self._doing.probabilities(self._read_by_readout(looked))
        coords = looked.coords() | {"choice": ("choice", self._doing.classes)}
        return BehavioralAssembly(probabilities, coords=coords, dims=["presentation", "choice"])

    def _show(self, looked: _Shown, records: Sequence[Record], decide: bool = False) -> Iterator[Recorded]:
        """What the network does with the different images, a batch at a time."""
        images = shown(self.network, looked.paths, resize="squash")  # the whole image, as experiments do
        asked = ask(self.network, records, self.steps, self.presentation)
        return recorded(self.network, asked, images.all_readable(self.batch_size), decide=decide)

    # --- recordings ---------------------------------------------------------------------------------------------------

    def _record(self, looked: _Shown, what: _Recording) -> Any:
        batches = []
        for batch in self._show(looked, what.records):
            areas = [
                torch.einsum("btn,kt->bnk", batch.activations[area].float(), torch.from_numpy(weights).float())
                for area, weights in what.weights.items()
            ]
            batches.append(torch.cat(areas, 1).numpy())
        values = np.concatenate(batches)
        if len(looked.rows) != len(looked.paths):  # else each presentation shows an image of its own
            values = values[looked.rows]
        coords = looked.coords() | self._neuroids(what)
        for taken in ("region", "neuroid_id", "layer", "channel", "channel_y", "channel_x"):
            if taken in looked.columns:
                raise VentralError(f"the stimuli have a column '{taken}', which is a coordinate of neuroids; rename it")
        if len(what.bins) == 1:
            return NeuroidAssembly(values[..., 0], coords=coords, dims=["presentation", "neuroid"])
        starts, ends = zip(*what.bins, strict=True)
        coords |= {"time_bin_start": ("time_bin", list(starts)), "time_bin_end": ("time_bin", list(ends))}
        return NeuroidAssembly(values, coords=coords, dims=["presentation", "neuroid", "time_bin"])

    def _neuroids(self, what: _Recording) -> dict[str, tuple[str, NDArray[Any]]]:
        shapes = self.network.spec.shapes().output
        units = {area: shapes[area] if self.reduce == "flatten" else shapes[area][:1] for area in what.weights}
        index = {area: np.indices(unit).reshape(len(unit), -1) for area, unit in units.items()}
        layer = np.concatenate([np.full(i.shape[1], area) for area, i in index.items()])
        columns = {
            "neuroid_id": np.concatenate([[f"{a}.{n}" for n in range(i.shape[1])] for a, i in index.items()]),
            "region": np.full(len(layer), what.region),
            "layer": layer,
        }
        for axis, name in enumerate(("channel", "channel_y", "channel_x")):
            if all(len(unit) > axis for unit in units.values()):
                columns[name] = np.concatenate([i[axis] for i in index.values()])
        return {name: ("neuroid", values) for name, values in columns.items()}

    # --- behaviour ----------------------------------------------------------------------------------------------------

    def _read_by_readout(self, looked: _Shown) -> NDArray[np.float32]:
        """What the readout area reads for the last logits, averaged over space: [presentation, feature]."""
        spec = self.network.spec
        readout = spec.area(spec.readout_area)
        last = (self.steps if readout.stop is None else min(readout.stop, self.steps)) - 1
        read = [c for _, c in spec.inputs(readout.name) if c.kind not in ("lateral", "feedback")]
        steps: dict[str, list[int]] = {}
        for connection in read:
            steps.setdefault(connection.source, []).append(last - connection.delay)
        records = [Record(source, tuple(dict.fromkeys(ts)), "mean") for source, ts in steps.items()]
        at = {record.areas[0]: record.steps or () for record in records}
        batches = [
            torch.cat([b.activations[c.source][:, at[c.source].index(last - c.delay)].float() for c in read], 1)
            for b in self._show(looked, records)
        ]
        features: NDArray[np.float32] = torch.cat(batches)[looked.rows].numpy()
        return features

    def _labelling(self, choices: str | Sequence[str], aggregation: str) -> _Labelling:
        if aggregation not in ("mean", "max"):
            raise unknown("aggregation", aggregation, ("mean", "max"))
        classes = self.network.spec.shapes().output[self.network.spec.readout_area][0]
        if self._class_names is None and classes != IMAGENET_CLASSES:
            raise VentralError(
                f"the {classes} classes of '{self.identifier}' have no names to choose labels by; give class_names"
            )
        if isinstance(choices, str):
            if choices != "imagenet":
                raise unknown("set of labels", choices, ("imagenet",))
            if classes != IMAGENET_CLASSES:
                raise VentralError(f"'{self.identifier}' has {classes} classes, not the 1000 of ImageNet")
            return _Labelling(_synsets(), [[i] for i in range(classes)], aggregation, True)
        labels = [str(c) for c in choices]
        if self._class_names is None:
            return _Labelling(labels, [_imagenet_classes(label) for label in labels], aggregation, False)
        for label in labels:
            if label not in self._class_names:
                raise unknown("label", label, self._class_names, f" of '{self.identifier}'")
        groups = [[i for i, name in enumerate(self._class_names) if name == label] for label in labels]
        return _Labelling(labels, groups, aggregation, False)

    def _label(self, looked: _Shown, what: _Labelling) -> Any:
        decisions = [b.decision.float() for b in self._show(looked, (), decide=True) if b.decision is not None]
        logits = torch.cat(decisions)[looked.rows]
        probabilities = logits.softmax(-1)
        join = torch.amax if what.aggregation == "max" else torch.mean
        joined = torch.stack([join(probabilities[:, group], dim=1) for group in what.classes], 1)
        chosen = joined.argmax(1).numpy()
        answers = np.array(what.labels)[chosen]
        coords = looked.coords() | {"label": ("presentation", answers)}
        if what.imagenet:
            coords |= {"synset": ("presentation", answers), "logit": ("presentation", chosen)}
        return BehavioralAssembly(answers[None], coords=coords, dims=["choice", "presentation"])

    def _check_names(self, names: Sequence[str] | None) -> list[str] | None:
        if names is None:
            return None
        classes = self.network.spec.shapes().output[self.network.spec.readout_area][0]
        if len(names) != classes:
            raise VentralError(f"'{self.identifier}' has {classes} classes; got {len(names)} class_names")
        return [str(n) for n in names]


@dataclass(frozen=True)
class _Recording:
    """What is recorded: of each area the steps that count, and per area their weights [bin, step]."""

    region: str
    bins: list[tuple[float, ...]]
    records: list[Record]
    weights: dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class _Labelling:
    """The labels to choose among, and the network's classes of each."""

    labels: list[str]
    classes: list[list[int]]
    aggregation: str
    imagenet: bool


@dataclass(frozen=True)
class _Shown:
    """Stimuli: the different images, which of them each presentation shows, and what is known of the presentations."""

    paths: list[str]
    rows: NDArray[np.int64]
    columns: dict[str, NDArray[Any]]

    @classmethod
    def of(cls, stimuli: Stimuli) -> _Shown:
        if hasattr(stimuli, "get_stimulus"):
            paths = [str(stimuli.get_stimulus(id_)) for id_ in stimuli["stimulus_id"]]
            columns = {str(name): np.asarray(stimuli[name]) for name in stimuli.columns}
        elif isinstance(stimuli, Sequence) and not isinstance(stimuli, str):
            paths = [str(path) for path in stimuli]
            columns = {"stimulus_id": np.array(paths)}
        else:
            raise VentralError(f"stimuli are a StimulusSet or a list of paths; got {type(stimuli).__name__}")
        if not paths:
            raise VentralError("there are no stimuli")
        columns["stimulus_path"] = np.array(paths)
        different = {path: i for i, path in enumerate(dict.fromkeys(paths))}
        return cls(list(different), np.array([different[path] for path in paths]), columns)

    def coords(self) -> dict[str, tuple[str, Any]]:
        """Their columns as coordinates of presentations."""
        return {name: ("presentation", values) for name, values in self.columns.items()}


def _check_variance(required: bool) -> None:
    if required:
        raise VentralError("trials that differ were asked for (require_variance), but a network has no noise")


def _synsets() -> list[str]:
    """ImageNet's synsets in the order of its 1,000 classes, as brainscore_vision has them."""
    home = importlib.resources.files("brainscore_vision.model_helpers.brain_transformation")
    return (home / "imagenet_classes.txt").read_text().split()


def _imagenet_classes(label: str) -> list[int]:
    """The classes of ImageNet that Brain-Score counts to a label."""
    from brainscore_vision.model_helpers.brain_transformation.behavior import (  # type: ignore[import-not-found]
        LabelToImagenetIndices,
    )

    try:
        return list(LabelToImagenetIndices.label_to_indices(label))
    except AttributeError:
        known = [n.removesuffix("_indices") for n in vars(LabelToImagenetIndices) if n.endswith("_indices")]
        raise unknown("label", label, [n for n in known if n != "label_to"]) from None
