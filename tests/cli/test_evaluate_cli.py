"""`ventral evaluate` of saved networks; of runs it is tested in test_train_cli.py."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import ventralstream as vs
from ventralstream.data import Preprocessing


@pytest.fixture
def pictures():
    """Images of 20 x 24 pixels."""
    rng = np.random.default_rng(0)
    coarse = [rng.integers(0, 256, (5, 6, 3)) for _ in range(12)]
    return [Image.fromarray(np.kron(c, np.ones((4, 4, 1))).astype(np.uint8)) for c in coarse]


@pytest.fixture
def said(tmp_path, pictures):
    """A saved network of three classes, not from a training run, and what it says of the pictures.

    They are shown as `ventral extract` shows them, with a normalisation that is the network's own.
    """
    net = vs.create_model("ff_shallow_cifar", seed=0, num_classes=3, input_shape=(3, 16, 16), std=(0.05, 0.1, 0.2))
    read = Preprocessing(16, net.spec.mean, net.spec.std)
    shown = read.normalise(torch.stack([read.pixels(p) for p in pictures]))
    with torch.no_grad():
        _, bias = net.areas["decoder"].parameters()
        bias -= net.eval()(shown).output.mean(0)  # so that it does not say the same of all
        answers = net(shown).output.argmax(-1).tolist()
    assert set(answers) == {0, 1, 2}
    vs.save_network(net, tmp_path / "saved")
    return tmp_path / "saved", list(zip(pictures, answers, strict=True))


@pytest.fixture
def saved(said):
    return said[0]


@pytest.fixture
def answers(said):
    return said[1]


def write_set(root, answers, names):
    """A folder data set in which each image is in the folder that `names` has for the network's answer."""
    for name in names:
        (root / "val" / name).mkdir(parents=True)
    for i, (picture, answer) in enumerate(answers):
        picture.save(root / "val" / names[answer] / f"{i}.png")
    return ["--data", "folder", "--root", root, "--threads", "1"]


def name_classes(saved, *names):
    (saved / "provenance.json").write_text(json.dumps({"class_names": names}))


def accuracy(ventral, saved, options):
    code, printed, said = ventral("evaluate", saved, *options, "--json")
    assert code == 0, said
    found = json.loads(printed)
    assert found["images"] == 12 and found["trained_steps"] is None
    return found["accuracy"][-1]


def test_a_saved_network_on_a_folder(tmp_path, ventral, saved, answers):
    options = write_set(tmp_path / "set", answers, ["bear", "boat", "bread"])
    assert accuracy(ventral, saved, options) == 1
    wrong = write_set(tmp_path / "wrong", answers, ["boat", "bread", "bear"])
    assert accuracy(ventral, saved, wrong) == 0
    code, printed, _ = ventral("evaluate", saved, *options)
    assert code == 0 and "12 images of folder" in printed and "trained until here" not in printed


def test_several_views_are_reported_apart(tmp_path, ventral, saved, answers):
    options = write_set(tmp_path / "set", answers, ["bear", "boat", "bread"])
    code, printed, _ = ventral("evaluate", saved, *options, "--views", "ten", "--json")
    found = json.loads(printed)
    assert code == 0 and found["accuracy"][-1] == found["decision"] == 1  # of one view
    assert found["several_views"]["views"] == 10 and found["several_views"]["images"] == 12
    code, printed, _ = ventral("evaluate", saved, *options, "--views", "mirrored")
    assert code == 0 and "with test-time augmentation, from 2 views of each image: " in printed
    code, _, said = ventral("evaluate", saved, *options, "--views", "mirored")
    assert code == 2 and "unknown set of views 'mirored'" in said and "did you mean 'mirrored'" in said


def test_classes_are_found_by_the_names_in_the_provenance(tmp_path, ventral, saved, answers):
    names = ["boat", "bread", "bear"]
    options = write_set(tmp_path / "set", answers, names)
    name_classes(saved, *names)
    assert accuracy(ventral, saved, options) == 1
    name_classes(saved, "bear", "boat", "bread")
    assert accuracy(ventral, saved, options) == 0
    name_classes(saved, "bear", "boat", "bred")
    code, _, said = ventral("evaluate", saved, *options)
    assert code == 2 and "unknown class 'bread' of the network" in said and "did you mean 'bred'" in said
    assert said.count("\n") == 1


def test_folders_of_imagenet_are_in_its_order(tmp_path, ventral, saved, answers):
    name_classes(saved, "tench", "goldfish", "great white shark")
    options = write_set(tmp_path / "set", answers, ["n01440764", "n01443537", "n01484850"])
    assert accuracy(ventral, saved, options) == 1
    (tmp_path / "set" / "val" / "n01491361").mkdir()
    code, _, said = ventral("evaluate", saved, *options)
    assert code == 2 and "tells 3 classes apart, 'folder' has 4" in said


def test_numbers_of_wordnet_are_names_where_they_are_known(tmp_path, ventral, saved, answers):
    """As of a network that was trained on Tiny-ImageNet, whose folders are in the order of their names."""
    names = ["n01484850", "n01440764", "n01443537"]
    options = write_set(tmp_path / "set", answers, names)
    name_classes(saved, *names)
    assert accuracy(ventral, saved, options) == 1
    name_classes(saved, "n01484851", *names[1:])
    code, _, said = ventral("evaluate", saved, *options)
    assert code == 2 and "unknown class 'n01484850' of the network" in said
    name_classes(saved, *names, "n01491361")
    code, _, said = ventral("evaluate", saved, *options)
    assert code == 2 and "tells 3 classes apart, but names 4" in said


def test_what_cannot_be_evaluated_is_one_sentence(tmp_path, monkeypatch, ventral, saved, answers):
    monkeypatch.delenv("VENTRALSTREAM_DATA", raising=False)
    options = write_set(tmp_path / "set", answers, ["bear", "boat", "bread"])
    (tmp_path / "empty").mkdir()
    for args, message in (
        ([saved], "is a saved network, not a run: name its images with --data (cifar10, "),
        ([saved, "--data", "foldr"], "did you mean 'folder'"),
        ([saved, "--data", "folder"], "needs a root"),
        ([saved, "--data", "scenes"], "takes images of 3 channels, those of 'scenes' have 1"),
        ([saved, *options, "--steps", 0], "steps is 0"),
        (["ff_shallow_cifar", *options], "the registered model 'ff_shallow_cifar' has untrained weights"),
        ([tmp_path / "nowhere", *options], "there is no such folder"),
        ([tmp_path / "empty", *options], "holds no saved network"),
    ):
        code, printed, said = ventral("evaluate", *args)
        assert code == 2 and printed == "" and message in said and said.count("\n") == 1, said
    (saved / "provenance.json").write_text("{")
    code, _, said = ventral("evaluate", saved, *options)
    assert code == 2 and "provenance.json' does not tell the names" in said and said.count("\n") == 1


def test_what_is_passed_over_in_a_folder_is_said(tmp_path, ventral, saved, answers):
    options = write_set(tmp_path / "set", answers, ["bear", "boat", "bread"])
    for name in ("bear/photo.heic", "notes.txt", ".DS_Store"):
        (tmp_path / "set" / "val" / name).touch()
    hidden = tmp_path / "set" / "val" / "bear" / ".ipynb_checkpoints"
    hidden.mkdir()
    answers[0][0].save(hidden / "0-checkpoint.png")
    code, printed, said = ventral("evaluate", saved, *options)
    assert code == 0 and "on 12 images" in printed
    assert said.count("passed over") == 1 and "2 files whose endings are no image's (1 .heic, 1 .txt)" in said
