import json
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image
from small_network import small_network

import ventralstream as vs
from ventralstream.data.augment import USUAL
from ventralstream.training import SGD, load_recipe
from ventralstream.training.folder import open_run
from ventralstream.training.metrics import read_rows
from ventralstream.training.schedule import Schedule

COMMAND = [sys.executable, "-c", "from ventralstream.cli import main; main()"]
SMALL = ["--data", "scenes", "--size", "16", "--subset", "32", "--val-subset", "16"]
SMALL += ["--batch-size", "16", "--threads", "1"]


@pytest.fixture
def run(tmp_path, ventral):
    """A trained run."""
    out = tmp_path / "trained"
    code, _, said = ventral("train", "timedecay_shallow_cifar", *SMALL, "--epochs", 1, "--out", out)
    assert code == 0, said
    return out


def test_train_evaluate_and_resume(tmp_path, ventral):
    out = tmp_path / "run"
    code, printed, said = ventral(
        *("train", "timedecay_shallow_cifar", *SMALL, "--epochs", 2, "--steps", 7, "--out", out),
        *("--optimizer", "sgd", "--lr", 0.05, "--momentum", 0.8, "--clip", 0, "--readout", "mean"),
    )
    assert code == 0 and "is complete: 2 epochs" in printed and "60 ms" in printed
    assert [line.split(":")[0] for line in said.splitlines()] == ["epoch 1/2", "epoch 2/2"]
    recipe = open_run(out).recipe
    assert recipe.optimizer == SGD(lr=0.05, momentum=0.8)
    assert recipe.clip == 0 and vs.load_network(out).spec.readout == vs.Mean()

    code, printed, _ = ventral("train", "--resume", out)
    assert code == 0 and "was complete already: 2 epochs" in printed

    code, printed, _ = ventral("evaluate", out, "--steps", 9, "--threshold", 0.1, "--json")
    found = json.loads(printed)
    assert code == 0 and found["steps"] == [5, 6, 7, 8] and found["times_ms"] == [50, 60, 70, 80]
    assert found["trained_steps"] == 7 and found["images"] == 16 and found["early_exit"]["mean_step"] == 5
    code, printed, _ = ventral("evaluate", out, "--steps", 9)
    (marked,) = [line for line in printed.splitlines() if "trained until here" in line]
    assert marked.split()[:3] == ["6", "60", "ms"] and f"{found['accuracy'][1]:.1%}" in marked


def test_a_run_is_evaluated_on_what_was_held_out_of_its_training(tmp_path, ventral):
    for name in ("a", "b"):  # without images to validate on
        folder = tmp_path / "set" / "train" / name
        folder.mkdir(parents=True)
        for i in range(8):
            Image.new("RGB", (16, 16), (30 * i, 0, 200 * (name == "b"))).save(folder / f"{i}.png")
    out = tmp_path / "run"
    small = ("--data", "folder", "--root", tmp_path / "set", "--size", 16, "--batch-size", 4, "--threads", 1)
    code, _, said = ventral(
        *("train", "rcnn_small_cifar", *small, "--holdout", 6, "--epochs", 1, "--workers", 0, "--out", out)
    )
    assert code == 0, said
    code, printed, said = ventral("evaluate", out, "--json")
    assert code == 0, said
    found, rows = json.loads(printed), read_rows(out / "metrics.csv")
    assert found["images"] == 6 and found["decision"] == pytest.approx(float(rows[-1]["val_accuracy"]), abs=1e-6)


def test_options_from_a_file(tmp_path, ventral):
    config = tmp_path / "options.yaml"
    config.write_text("data: scenes\nsize: 16\nsubset: 16\nval-subset: 16\nbatch_size: 8\nepochs: 5\nthreads: 1")
    out = tmp_path / "run"
    code, _, said = ventral("train", "timedecay_shallow_cifar", "--config", config, "--epochs", 1, "--out", out)
    assert code == 0, said
    recipe = open_run(out).recipe
    assert (recipe.epochs, recipe.batch_size, recipe.subset) == (1, 8, 16)


def test_a_recipe_by_name_and_a_run_as_a_recipe_with_single_fields_changed(tmp_path, ventral):
    model = ("train", "timedecay_shallow_cifar", *SMALL, "--epochs", 1)
    changes = ("--optimizer", "adamw", "--step-weights", "1,2", "--loss", "weighted_steps")
    code, _, said = ventral(*model, "--recipe", "cifar10-liao-poggio", *changes, "--crop", 1, "--out", tmp_path / "a")
    assert code == 0, said
    first, named = open_run(tmp_path / "a").recipe, load_recipe("cifar10-liao-poggio")
    assert first.augment == named.augment.replace(crop=1) and first.schedule == named.schedule
    assert first.optimizer == vs.AdamW() and first.loss == vs.WeightedLoss(step_weights=(1.0, 2.0))
    code, _, said = ventral(*model[:2], "--recipe", tmp_path / "a", "--schedule", "cosine", "--out", tmp_path / "b")
    assert code == 0, said
    assert open_run(tmp_path / "b").recipe == first.replace(schedule=Schedule("cosine"))
    code, _, said = ventral(*model, "--cutout", 4, "--out", tmp_path / "d")
    assert code == 0, said
    assert open_run(tmp_path / "d").recipe.augment == USUAL["scenes"].replace(cutout=4)
    code, _, said = ventral(*model, "--recipe", "cifar11", "--out", tmp_path / "c")
    assert code == 2 and "unknown recipe 'cifar11'; did you mean 'cifar10'" in said and said.count("\n") == 1


def test_the_help_says_what_each_option_may_be(ventral, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, printed, _ = ventral("train", "--help")
    assert code == 0
    words = " ".join(printed.replace("│", " ").split())
    for said in ("What to train", "One of: adamw, muon, sgd", "Only of random_duration", "default: (adamw 0.002, muon"):
        assert said in words, said


def test_a_terminated_process_saves_and_says_how_to_go_on(tmp_path, ventral):
    (tmp_path / "config.json").write_text(small_network().to_text())
    new = ["train", str(tmp_path / "config.json"), *SMALL, "--epochs", "100", "--batch-size", "4"]
    out = tmp_path / "run"
    process = subprocess.Popen([*COMMAND, *new, "--out", str(out)], stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while len(read_rows(out / "metrics.csv")) < 2:
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.01)
    while process.poll() is None:  # also while it ends: what it says must not be lost
        process.send_signal(signal.SIGTERM)
        time.sleep(0.001)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 143 and "Traceback" not in said
    assert said.splitlines()[-1].startswith("interrupted after ") and said.endswith(f"ventral train --resume {out}\n")
    assert open_run(out).position > (0, 0)
    code, printed, said = ventral("evaluate", out, "--json")
    assert code == 0 and json.loads(printed)["images"] == 16
    assert f"{out}: the run is not complete; these are its weights " in said
    assert not open_run(out).complete
    assert said.splitlines()[-1].startswith("evaluating: 16/16 images, in ")


def test_the_folder_of_data_is_the_environments(tmp_path, monkeypatch, ventral):
    monkeypatch.setenv("VENTRALSTREAM_DATA", str(tmp_path / "nowhere"))
    code, _, said = ventral("train", "rgc_shallow_cifar", "--data", "cifar10", "--out", tmp_path / "run")
    assert code == 2 and str(tmp_path / "nowhere") in said and said.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("rgc_shalow_cifar", "unknown model 'rgc_shalow_cifar'; did you mean 'rgc_shallow_cifar'"),
        ("rgc_shallow_cifar --data cifar11", "unknown image set 'cifar11'; did you mean 'cifar10'"),
        ("rgc_shallow_cifar --data cifar10", "'cifar10' needs a root"),
        ("rgc_shallow_cifar --data cifar10 --root nowhere", "there is no"),
        ("rgc_shallow_cifar --steps 0", "--steps is 0; expected at least 1"),
        ("rgc_shallow_cifar --epochs 0", "is 0; expected a whole number from 1"),
        ("rgc_shallow_cifar --optimizer adam", "unknown optimizer 'adam'; did you mean 'adamw'"),
        (
            "rgc_shallow_cifar --optimizer adamw --momentum 0.9",
            "an option of 'muon' and 'sgd', not of 'adamw'",
        ),
        ("rgc_shallow_cifar --schedule cosin", "did you mean 'cosine'"),
        ("rgc_shallow_cifar --drop-at 3,5", "the schedule 'onecycle' has no drops, but drop_at is given"),
        ("rgc_shallow_cifar --schedule cosine --drop 0.5", "has no drops, but drop is given"),
        ("rgc_shallow_cifar --readout lst", "unknown readout 'lst'; did you mean 'last'"),
        ("rgc_shallow_cifar --precision 64", "precision"),
        ("--epochs 3", "training needs a MODEL"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, monkeypatch, ventral, options, message):
    monkeypatch.delenv("VENTRALSTREAM_DATA", raising=False)
    small = [] if "--data" in options else SMALL
    code, _, said = ventral("train", *options.split(), *small, "--out", tmp_path / "run")
    assert code == 2 and message in said and said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_run_is_not_overwritten_and_not_changed(run, ventral):
    code, _, said = ventral("train", "timedecay_shallow_cifar", *SMALL, "--out", run)
    assert code == 2 and f"carry on with --resume {run}" in said and said.count("\n") == 1
    code, _, said = ventral("train", "rgc_shallow_cifar", "--resume", run, "--lr", 1)
    assert code == 2 and "leave out --lr, MODEL" in said and said.count("\n") == 1
    code, _, said = ventral("train", "timedecay_shallow_cifar", *SMALL)
    assert code == 2 and "a folder for the run, --out RUN" in said


def test_evaluation_refuses_in_one_sentence(tmp_path, monkeypatch, run, ventral):
    monkeypatch.delenv("VENTRALSTREAM_DATA", raising=False)
    for options, message in (
        ([tmp_path / "nowhere"], "neither a training run nor a saved network: there is no such folder"),
        ([run, "--steps", 0], "steps is 0"),
        ([run, "--readout", "lst"], "did you mean 'last'"),
        ([run, "--threshold", 1.5], "between 0 and 1"),
        ([run, "--data", "cifar10"], "'cifar10' needs a root"),
    ):
        code, _, said = ventral("evaluate", *options)
        assert code == 2 and message in said and said.count("\n") == 1, said
