import json

import pytest
import torch
from PIL import Image

import ventralstream as vs
from ventralstream.data import Augment
from ventralstream.errors import VentralError
from ventralstream.jsonable import from_json
from ventralstream.training import Place, Recipe, list_recipes, load_recipe


def test_every_recipe_in_the_package_can_be_read_written_and_says_what_it_is():
    about = list_recipes()
    assert {
        "cifar10",
        "cifar10-liao-poggio",
        "tiny-imagenet",
        "imagenet128",
        "imagenet-convrnn",
        "imagenet-cornet",
    } <= {*about}
    for name, line in about.items():
        assert len(line) > 10 and "\n" not in line
        recipe = load_recipe(name)
        assert from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


def test_published_recipes_are_what_docs_papers_says():
    recipe = load_recipe("cifar10-liao-poggio")
    rates = [recipe.optimizer.lr * recipe.schedule.factor(100 * epoch, 100, 60) for epoch in (0, 39, 40, 49, 50, 59)]
    assert rates == pytest.approx([0.01, 0.01, 0.001, 0.001, 0.0001, 0.0001])
    assert (recipe.epochs, recipe.batch_size, recipe.augment) == (60, 64, Augment(crop=4, flip="random"))
    cornet = load_recipe("imagenet-cornet")
    assert [cornet.schedule.factor(e, 1, 43) for e in (0, 20, 40)] == pytest.approx([1, 0.1, 0.01])


def test_a_file_and_a_run_are_recipes(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "about: mine\nepochs: 3\noptimizer: {type: adamw, lr: 1e-3}\n"
        "loss:\n  type: weighted_steps\n  step_weights: [1, 2]\n"
    )
    recipe = load_recipe(tmp_path / "mine.yaml")
    assert recipe.epochs == 3 and recipe.optimizer.lr == 0.001 and recipe.loss.step_weights == (1.0, 2.0)
    (tmp_path / "recipe.json").write_text(json.dumps(recipe.to_json()))
    assert load_recipe(tmp_path) == load_recipe(tmp_path / "recipe.json") == recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch: 3", "unknown option 'epoch' of 'recipe'; did you mean 'epochs'"),
        ("optimizer: {lr: 1}", "needs the key 'type'"),
        ("optimizer: {type: sgdd}", "did you mean 'sgd'"),
        ("schedule: {kind: cosin}", "did you mean 'cosine'"),
        ("epochs: many", "'epochs' of 'recipe' is 'many'"),
        ("type: place", "is none"),
        ("a: [", "not valid YAML"),
        ("- 1", "holds a list"),
    ],
)
def test_files_that_are_no_recipe(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(VentralError, match=message) as error:
        load_recipe(path)
    assert "mine.yaml" in str(error.value) and "\n" not in str(error.value)


def test_unknown_names():
    with pytest.raises(VentralError, match="unknown recipe 'cifar11'; did you mean 'cifar10'"):
        load_recipe("cifar11")
    with pytest.raises(VentralError, match="is not there"):
        load_recipe("nowhere/mine.yaml")


def test_the_defaults_are_a_recipe_too():
    assert from_json({}, Recipe) == Recipe()


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A folder of two classes of 32-px images, 16 to train and 8 to validate on."""
    root, rng = tmp_path_factory.mktemp("photographs"), torch.Generator().manual_seed(0)
    for split, count in (("train", 8), ("val", 4)):
        for name in ("noise", "more_noise"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = torch.randint(256, (32, 32, 3), generator=rng, dtype=torch.uint8)
                Image.fromarray(pixels.numpy()).save(folder / f"{i}.png")
    return root


@pytest.mark.parametrize("name", list_recipes())
def test_every_recipe_in_the_package_trains_two_batches(name, photographs, tmp_path):
    recipe = load_recipe(name).replace(
        data="folder", size=32, epochs=1, batch_size=8, holdout=None, subset=None, val_subset=None
    )
    place = Place(root=str(photographs), device="cpu", threads=1, workers=0)
    done = []
    result = vs.train("timedecay_shallow_cifar", recipe, tmp_path / "run", place=place, after_batch=done.append)
    assert done == [1, 2] and result.epochs == 1
    assert load_recipe(tmp_path / "run") == recipe
    fresh = vs.create_model("timedecay_shallow_cifar", num_classes=2, seed=recipe.seed).state_dict()
    trained = vs.load_network(tmp_path / "run").state_dict()
    kernels = [key for key in fresh if key in trained and fresh[key].dim() == 4]
    assert kernels and all(not torch.equal(fresh[key], trained[key]) for key in kernels)
