"""Checks our models as Brain-Score BrainModels with the real package; run by scripts/check_brainscore.sh.

Shows generated gratings to a small untrained network: recordings over time, labels, probabilities, a toy benchmark of
simulated neurons scored by Brain-Score's own machinery, and our scores against Brain-Score's on the same arrays.
Prints a line for each check; ends with status 1 if one fails.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from brainscore_core.supported_data_standards.brainio.assemblies import (
    BehavioralAssembly,
    DataAssembly,
    NeuroidAssembly,
    NeuronRecordingAssembly,
)
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from brainscore_vision import load_metric
from brainscore_vision.benchmark_helpers.neural_common import NeuralBenchmark, average_repetition
from brainscore_vision.model_helpers.brain_transformation.behavior import ProbabilitiesMapping
from brainscore_vision.model_interface import BrainModel
from PIL import Image

import ventralstream as vs
from ventralstream.assembly import assembly
from ventralstream.brain.behaviour.decoder import fit_decoder
from ventralstream.brain.behaviour.ost import PUBLISHED_L2, i1_over_time, ost_consistency, solution_times
from ventralstream.brain.behaviour.signatures import behavioural_ceiling, behavioural_consistency
from ventralstream.brain.mapping.predictivity import predictivity
from ventralstream.brain.similarity.rsa import rsa
from ventralstream.brainscore import VentralBrainModel
from ventralstream.errors import VentralError

# Brain-Score's load_metric otherwise runs "pip install" of what a metric asks for, with whichever pip comes first.
os.environ["BS_INSTALL_DEPENDENCIES"] = "no"

LABELS = ("horizontal", "rising", "vertical", "falling")
IMAGES, NEUROIDS, REPETITIONS = 160, 12, 10
REGIONS = {"V4": "conv4", "IT": ("conv4", "conv5")}
STEPS, DT_MS = 12, 10
TOLERANCE = 1e-3  # of scores, ours against theirs

failures: list[str] = []
started = time.monotonic()


def check(what: str, good: bool, seen: object = "") -> None:
    """Prints whether a check holds, and what was seen."""
    print(
        f"{time.monotonic() - started:5.1f} s  {'ok  ' if good else 'FAIL'}  {what}{f': {seen}' if seen != '' else ''}"
    )
    if not good:
        failures.append(what)


def refused(what: str, call: Callable[[], object]) -> None:
    """Checks that bad input is one sentence."""
    try:
        call()
    except VentralError as error:
        check(what, "\n" not in str(error), error)
    else:
        check(what, False, "nothing was raised")


def gratings(folder: Path) -> StimulusSet:
    """Noisy gratings of four orientations, as a Brain-Score stimulus set."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:48, :48] / 48
    rows, paths = [], {}
    for i in range(IMAGES):
        angle, cycles, phase = np.pi / 4 * (i % 4), random.uniform(3, 5), random.uniform(0, 2 * np.pi)
        wave = np.sin(2 * np.pi * cycles * (x * np.sin(angle) + y * np.cos(angle)) + phase)
        noisy = 127 + 90 * wave[..., None] * random.uniform(0.5, 1, 3) + 15 * random.normal(size=(48, 48, 3))
        id_ = f"grating-{i:03d}"
        paths[id_] = folder / f"{id_}.png"
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(paths[id_])
        rows.append({"stimulus_id": id_, "image_label": LABELS[i % 4], "object_name": LABELS[i % 4], "cycles": cycles})
    return named(StimulusSet(rows), paths, "ventralstream-gratings")


def named(stimuli: StimulusSet, paths: dict[str, Path], identifier: str) -> StimulusSet:
    """A stimulus set with its paths and name."""
    stimuli.stimulus_paths, stimuli.identifier = paths, identifier
    return stimuli


def part(stimuli: StimulusSet, rows: slice, identifier: str) -> StimulusSet:
    """Some of the stimuli."""
    return named(StimulusSet(stimuli.iloc[rows].reset_index(drop=True)), stimuli.stimulus_paths, identifier)


def shown_directly(net: Any, stimuli: StimulusSet) -> Any:
    """The network's own output to the stimuli, recorded at every step, without the code that is checked."""
    images = []
    for id_ in stimuli["stimulus_id"]:
        with Image.open(stimuli.get_stimulus(id_)) as image:
            images.append(np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR)))
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (net.spec.mean, net.spec.std))
    with torch.no_grad():
        return net((pixels - mean) / std, STEPS, record=vs.Record(("conv4", "conv5"), reduce="flatten"))


def check_recordings(model: VentralBrainModel, stimuli: StimulusSet) -> None:
    """Recordings over time: coordinates, and values equal to the network's own."""
    bins = [(60, 70), (70, 90), (85, 100)]
    model.start_recording(BrainModel.RecordingTarget.IT, time_bins=bins)
    found = model.look_at(stimuli, number_of_trials=3)
    check("a temporal recording is a NeuroidAssembly", isinstance(found, NeuroidAssembly), found.sizes)
    check("  of presentation, neuroid, time_bin", found.dims == ("presentation", "neuroid", "time_bin"))
    found.validate()
    wanted = {
        "presentation": {*stimuli.columns, "stimulus_path"},
        "neuroid": {"neuroid_id", "region", "layer", "channel", "channel_x", "channel_y"},
        "time_bin": {"time_bin_start", "time_bin_end"},
    }
    absent = [name for dim, names in wanted.items() for name in names - set(found.indexes[dim].names)]
    check("  with all coordinates", not absent, absent or "none is missing")
    check("  its bins are those asked for", [tuple(b) for b in found["time_bin"].values] == bins)
    ids = set(found["neuroid_id"].values)
    good = set(found["region"].values) == {"IT"} and len(ids) == found.sizes["neuroid"]
    check("  its neuroids are all of the region, of one name each", good)
    check("  and of both areas", set(found["layer"].values) == set(REGIONS["IT"]))
    check("  its presentations are the stimuli", list(found["stimulus_id"].values) == list(stimuli["stimulus_id"]))
    net = shown_directly(model.network, stimuli)
    own = np.concatenate([net[a].values.numpy() for a in REGIONS["IT"]], axis=2)
    expected = np.stack([own[:, 6], own[:, 7:9].mean(1), (0.5 * own[:, 8] + own[:, 9]) / 1.5], axis=2)
    # the images are resized by other code here, which rounds pixels otherwise
    off = np.abs(found.values - expected).max() / expected.std()
    check("  its values are the network's at those steps", off < 0.05, f"largest difference {off:.1e} of a deviation")
    check("  it varies over time", float(np.abs(np.diff(found.values, axis=2)).max()) > 0)
    late = found.sel(time_bin_start=70, time_bin_end=90)
    model.start_recording("IT", time_bins=[np.array([70, 90])])
    one = model.look_at(stimuli)
    check("one time bin is a recording without the dimension", one.dims == ("presentation", "neuroid"), one.sizes)
    check("  with the same numbers", np.allclose(one.values, late.values.reshape(one.shape), atol=1e-6))
    model.start_recording("V4", time_bins=[(70, 90)])
    v4 = model.look_at([str(stimuli.get_stimulus(i)) for i in stimuli["stimulus_id"][:3]])
    check("another region, of paths", set(v4["layer"].values) == {"conv4"} and len(v4) == 3, v4.sizes)
    twice = named(StimulusSet(stimuli.iloc[[0, 1, 0]].reset_index(drop=True)), stimuli.stimulus_paths, "twice")
    again = model.look_at(twice).values
    check("a stimulus shown twice", np.array_equal(again[0], again[2]) and np.allclose(again[:2], v4.values[:2]))
    refused("a time bin beyond the steps", lambda: model.start_recording("IT", [(110, 130)]))
    refused("an unknown region", lambda: model.start_recording("V5", [(70, 90)]))


def check_labels(model: VentralBrainModel, stimuli: StimulusSet) -> None:
    """The task "label": among class names, and ImageNet's synsets."""
    model.start_task(BrainModel.Task.label, ["vertical", "horizontal"])
    found = model.look_at(stimuli)
    check("a label task gives a BehavioralAssembly", isinstance(found, BehavioralAssembly), found.sizes)
    output = shown_directly(model.network, stimuli).output
    expected = np.where(output[:, 2] >= output[:, 0], "vertical", "horizontal")
    agree = (found.values.squeeze() == expected).mean()
    check("  the more probable of two labels", agree > 0.95, f"{agree:.1%} as by the logits")
    score = load_metric("accuracy")(found.values.squeeze(), found["object_name"].values)
    check("  which Brain-Score's accuracy takes", 0 <= float(score) <= 1, f"{float(score):.3f}")
    refused("a label that the network does not know", lambda: model.start_task("label", ["vertikal"]))
    big = VentralBrainModel(vs.create_model("rgc_shallow_cifar", num_classes=1000, seed=1).eval(), regions=REGIONS)
    few = part(stimuli, slice(0, 8), "few")
    big.start_task(BrainModel.Task.label, "imagenet")
    answers = big.look_at(few)
    synsets = answers["synset"].values
    check("ImageNet's synsets", all(len(s) == 9 and s[0] == "n" for s in synsets), synsets[0])
    big.start_task(BrainModel.Task.label, ["dog", "airplane", "knife"])
    check(
        "Brain-Score's groups of ImageNet classes", set(big.look_at(few).values.ravel()) <= {"dog", "airplane", "knife"}
    )
    refused("a label that Brain-Score has no classes for", lambda: big.start_task("label", ["unicorn"]))


def check_probabilities(model: VentralBrainModel, stimuli: StimulusSet) -> None:
    """The task "probabilities": a classifier fitted on what the readout area reads."""
    half = IMAGES // 2
    fitting, testing = part(stimuli, slice(0, half), "fitting"), part(stimuli, slice(half, None), "testing")
    model.start_task(BrainModel.Task.probabilities, fitting)
    found = model.look_at(testing, number_of_trials=2)
    check("a probabilities task gives a BehavioralAssembly", isinstance(found, BehavioralAssembly), found.sizes)
    check(
        "  of presentation and choice",
        found.dims == ("presentation", "choice") and set(found["choice"].values) == set(LABELS),
    )
    check("  that sums to 1", np.allclose(found.sum("choice"), 1))
    chosen = found["choice"].values[found.values.argmax(1)]
    right = (chosen == testing["image_label"].values).mean()
    check("  and is right more often than by chance (0.25)", right > 0.4, f"{right:.2f}")
    read, asked = (shown_directly(model.network, s)["conv5"].values for s in (fitting, testing))
    step = STEPS - 1 - 1  # of the last one, less the decoder's delay
    unit = model.network.spec.shapes().output["conv5"]

    def features(values: Any, of: StimulusSet) -> NeuroidAssembly:
        mean = values[:, step].reshape(len(values), *unit).mean((2, 3)).numpy()
        coords = {
            "stimulus_id": ("presentation", of["stimulus_id"].values),
            "image_label": ("presentation", of["image_label"].values),
        }
        return NeuroidAssembly(
            mean,
            coords=coords | {"neuroid_id": ("neuroid", np.arange(unit[0])), "region": ("neuroid", ["IT"] * unit[0])},
            dims=["presentation", "neuroid"],
        )

    train = features(read, fitting)
    theirs = (
        ProbabilitiesMapping.ProbabilitiesClassifier()
        .fit(train, train["image_label"])
        .predict_proba(features(asked, testing))
    )
    theirs = np.stack([theirs.values[:, list(theirs["choice"].values).index(c)] for c in found["choice"].values], 1)
    off = np.abs(theirs - found.values).max()
    check("  as Brain-Score's classifier on those features has it", off < 0.02, f"largest difference {off:.1e}")
    trials = BehavioralAssembly(**people(found, testing["image_label"]))
    score = float(load_metric("i2n")(found, trials))
    check("  and Brain-Score's I2n takes them", 0.2 < score <= 1, f"{score:.3f} with people simulated from them")
    model.start_task(BrainModel.Task.passive)
    check("a passive task gives nothing", model.look_at(testing) is None)
    refused(
        "fitting stimuli without image_label",
        lambda: model.start_task("probabilities", fitting.drop(columns="image_label")),
    )
    refused("another task", lambda: model.start_task(BrainModel.Task.odd_one_out))


def simulated(model: VentralBrainModel, stimuli: StimulusSet, bins: list[tuple[int, int]]) -> NeuronRecordingAssembly:
    """Trials of neurons that read out the model's IT, each with noise of its own."""
    random = np.random.default_rng(1)
    model.start_recording("IT", time_bins=bins)
    source = model.look_at(stimuli).values.reshape(IMAGES, -1, len(bins))
    signal = np.einsum("pfb,fn->pnb", source - source.mean(0), random.normal(size=(source.shape[1], NEUROIDS)))
    signal /= signal.std(0)
    trials = np.concatenate([signal + 0.7 * random.normal(size=signal.shape) for _ in range(REPETITIONS)])
    coords = {
        name: ("presentation", np.tile(stimuli[name].values, REPETITIONS)) for name in ("stimulus_id", "object_name")
    }
    coords |= {
        "repetition": ("presentation", np.repeat(np.arange(REPETITIONS), IMAGES)),
        "neuroid_id": ("neuroid", [f"n{i}" for i in range(NEUROIDS)]),
        "region": ("neuroid", ["IT"] * NEUROIDS),
        "time_bin_start": ("time_bin", [b[0] for b in bins]),
        "time_bin_end": ("time_bin", [b[1] for b in bins]),
    }
    return NeuronRecordingAssembly(trials, coords=coords, dims=["presentation", "neuroid", "time_bin"])


class ToyBenchmark(NeuralBenchmark):
    """Recordings of one time bin, scored by PLS, as the benchmarks of Majaj and Hong (2015) are."""

    def __init__(self, trials: NeuronRecordingAssembly, stimuli: StimulusSet) -> None:
        trials = trials.squeeze("time_bin")
        mean = average_repetition(trials)
        mean.attrs["stimulus_set"] = stimuli
        ceiler = load_metric("internal_consistency")
        super().__init__(
            identifier="Toy.IT-pls", assembly=mean, similarity_metric=load_metric("pls"), visual_degrees=8,
            number_of_trials=REPETITIONS, version=1, parent="IT", ceiling_func=lambda: ceiler(trials),
        )  # fmt: skip


def check_benchmark(model: VentralBrainModel, stimuli: StimulusSet) -> None:
    """A neural benchmark from end to end; its score is also ours."""
    trials = simulated(model, stimuli, [(70, 90)])
    benchmark = ToyBenchmark(trials, stimuli)
    score = benchmark(model)
    raw, ceiling = float(score.raw), float(score.ceiling)
    check(
        "a neural benchmark, scored with Brain-Score's PLS",
        0.7 < float(score) < 1.1,
        f"{float(score):.3f} (r {raw:.3f}, ceiling {ceiling:.3f})",
    )
    other = VentralBrainModel(model.network, regions={"IT": "conv1"}, steps=STEPS, reduce="mean")
    lower = float(benchmark(other))
    check("  the wrong area explains less", lower < float(score), f"{lower:.3f}")
    shuffled = stimuli.copy()
    ids = stimuli["stimulus_id"].values
    paths = dict(zip(ids, (stimuli.get_stimulus(i) for i in np.random.default_rng(2).permutation(ids)), strict=True))
    mean = average_repetition(trials.squeeze("time_bin"))
    mean.attrs["stimulus_set"] = named(StimulusSet(shuffled), paths, "shuffled")
    benchmark._assembly = mean
    nothing = float(benchmark(model).raw)
    check("  shuffled stimuli explain nothing", abs(nothing) < 0.2, f"r {nothing:.3f}")

    model.start_recording("IT", time_bins=[(70, 90)])
    features = model.look_at(stimuli)
    ours = predictivity(
        assembly(features.values, stimulus_id=features["stimulus_id"].values),
        assembly(
            trials.values[..., 0],
            stimulus_id=trials["stimulus_id"].values,
            repetition=trials["repetition"].values,
            object_name=trials["object_name"].values,
        ),
        "pls",
        correction="raw",
        stratify="object_name",
        resamples=0,
    )
    same("PLS predictivity", float(ours.value), raw)


def same(what: str, ours: float, theirs: float) -> None:
    """Checks that our score is Brain-Score's."""
    check(f"ours and theirs: {what}", abs(ours - theirs) <= TOLERANCE, f"{ours:.6f} and {theirs:.6f}")


def people(answers: xr.DataArray, truth: Any) -> dict[str, Any]:
    """Simulated people choosing between the truth and a distractor, with noise on a model's probabilities."""
    random = np.random.default_rng(4)
    choices, count = answers["choice"].values, len(answers)
    right = np.array([list(choices).index(t) for t in truth])
    evidence = np.log(answers.values + 1e-3)
    evidence = 2 * evidence / evidence.std() + 0.7 * random.normal(size=answers.shape)
    image = random.integers(count, size=200 * count)
    distractor = (right[image] + random.integers(1, len(choices), len(image))) % len(choices)
    p = 1 / (1 + np.exp(evidence[image, distractor] - evidence[image, right[image]]))
    chosen = np.where(random.random(len(image)) < p, right[image], distractor)
    coords = {
        "stimulus_id": ("presentation", answers["stimulus_id"].values[image]),
        "truth": ("presentation", choices[right[image]]),
        "sample_obj": ("presentation", choices[right[image]]),
        "dist_obj": ("presentation", choices[distractor]),
    }
    return {"data": choices[chosen], "coords": coords, "dims": ["presentation"]}


def check_same_scores() -> None:
    """Behavioural signatures and RDMs of the same arrays, ours and theirs."""
    random = np.random.default_rng(3)
    objects = np.array([f"object-{i}" for i in range(5)])
    count = 100
    truth = np.arange(count) % len(objects)
    ids = np.array([f"image-{i:03d}" for i in random.permutation(count)])
    logits = 1.5 * random.normal(size=(count, len(objects)))
    logits[np.arange(count), truth] += 1.5
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    coords = {
        "stimulus_id": ("presentation", ids),
        "image_label": ("presentation", objects[truth]),  # Brain-Score needs some coordinate beside stimulus_id
        "choice": ("choice", objects),
    }
    answers = xr.DataArray(probabilities, dims=("presentation", "choice"), coords=coords)
    their_answers = BehavioralAssembly(probabilities, coords=coords, dims=["presentation", "choice"])
    chosen = people(answers, objects[truth])
    trials, their_trials = xr.DataArray(**chosen), BehavioralAssembly(**chosen)
    for name in ("I1", "I2n"):
        metric = load_metric(name.lower())
        same(
            name, float(behavioural_consistency(answers, trials, name).raw), float(metric(their_answers, their_trials))
        )
        same(f"{name}'s ceiling", float(behavioural_ceiling(trials, name).value), float(metric.ceiling(their_trials)))

    x = random.normal(size=(count, 40)) + 0.3 * truth[:, None]
    y = x @ random.normal(size=(40, 25)) + 3 * random.normal(size=(count, 25))

    def theirs(values: Any) -> NeuroidAssembly:
        width = values.shape[1]
        coords = {
            "stimulus_id": ("presentation", ids),
            "object_name": ("presentation", objects[truth]),
            "neuroid_id": ("neuroid", np.arange(width)),
            "region": ("neuroid", ["IT"] * width),
        }
        return NeuroidAssembly(values, coords=coords, dims=["presentation", "neuroid"])

    both = (assembly(x, stimulus_id=ids), assembly(y, stimulus_id=ids))
    same("similarity of RDMs", float(rsa(*both).value), float(load_metric("rdm")(theirs(x), theirs(y))))


class SameDecoder:
    """Our decoder where Brain-Score's solution times train theirs (in TensorFlow), so that the rest can be compared."""

    def fit(self, features: Any, labels: Any) -> None:
        self.decoder = fit_decoder(features.values, labels.values, l2=PUBLISHED_L2, penalise_bias=True)

    def predict_proba(self, features: Any) -> BehavioralAssembly:
        coords = {name: ("presentation", features[name].values) for name in ("stimulus_id", "truth")}
        values = self.decoder.probabilities(features.values)
        coords["choice"] = ("choice", self.decoder.classes)
        return BehavioralAssembly(values, coords=coords, dims=["presentation", "choice"])

    def close(self) -> None:
        pass


def check_same_solution_times() -> None:
    """Features that tell the object later for some images than for others: the crossings and their correlation."""
    random = np.random.default_rng(5)
    count, width, bins = 150, 12, 8
    truth = np.arange(count) % 4
    objects = np.array([f"object-{t}" for t in truth])
    ids = np.array([f"image-{i:03d}" for i in random.permutation(count)])
    onset = random.uniform(0, 6, size=count)
    strength = 3 / (1 + np.exp(onset[:, None] - np.arange(bins)))
    patterns = random.normal(size=(4, width))
    values = strength[:, None, :] * patterns[truth][:, :, None] + random.normal(size=(count, width, bins))
    starts = 70 + 10 * np.arange(bins)
    solved = np.where(random.uniform(size=count) < 0.1, np.nan, 70 + 10 * onset + 5 * random.normal(size=count))
    i1 = random.uniform(0.5, 2.5, size=count)

    ours = assembly(values, stimulus_id=ids, object_name=objects, time_bins_ms=[(t, t + 10) for t in starts])
    monkey = xr.DataArray(
        solved, dims="presentation", coords={"stimulus_id": ("presentation", ids), "i1": ("presentation", i1)}
    )
    coords = {"stimulus_id": ("presentation", ids)}
    coords |= dict.fromkeys(("image_label", "truth"), ("presentation", objects))
    neuroids = {"neuroid_id": ("neuroid", np.arange(width)), "region": ("neuroid", ["IT"] * width)}
    time_bins = {"time_bin_start": ("time_bin", starts), "time_bin_end": ("time_bin", starts + 10)}
    theirs = NeuroidAssembly(
        values, coords={**coords, **neuroids, **time_bins}, dims=["presentation", "neuroid", "time_bin"]
    )
    target = DataAssembly(solved, coords={**coords, "i1": ("presentation", i1)}, dims=["presentation"])

    peer = load_metric("ost")
    their_module = sys.modules[type(peer).__module__]
    their_module.TFProbabilitiesClassifier = SameDecoder  # type: ignore[attr-defined]
    i1_of_bins = i1_over_time(ours, ours)
    crossings = solution_times(i1_of_bins.values, i1, starts)
    their_crossings = peer.compute_osts(theirs, theirs, target)
    unsolved = np.isnan(crossings)
    check(
        "ours and theirs: the same images are never solved",
        bool((unsolved == np.isnan(their_crossings)).all() and 0 < unsolved.sum() < count),
        f"{unsolved.sum()} of {count}",
    )
    difference = float(np.nanmax(np.abs(crossings - their_crossings)))
    check("ours and theirs: object solution times", difference <= TOLERANCE, f"largest difference {difference:.1e} ms")
    same(
        "their correlation",
        float(ost_consistency(ours, monkey).value),
        float(peer(theirs, target)),
    )


def main() -> int:
    """Runs all checks; 0 if they hold."""
    torch.set_num_threads(1)
    net = vs.create_model("rgc_shallow_cifar", num_classes=len(LABELS), seed=0).eval()
    model = VentralBrainModel(net, regions=REGIONS, class_names=LABELS, steps=STEPS)
    check("it is a BrainModel", isinstance(model, BrainModel), f"{model.identifier}, {model.visual_degrees()} degrees")
    with tempfile.TemporaryDirectory() as folder:
        stimuli = gratings(Path(folder))
        refused("looking before anything was asked for", lambda: model.look_at(stimuli))
        check_recordings(model, stimuli)
        check_labels(model, stimuli)
        check_probabilities(model, stimuli)
        check_benchmark(model, stimuli)
    check_same_scores()
    check_same_solution_times()
    total = f"{time.monotonic() - started:.0f} s"
    print(
        f"{len(failures)} checks failed: {'; '.join(failures)} ({total})" if failures else f"all checks hold ({total})"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
