import dataclasses

import pytest

from ventralstream.cli.fields import attributes, changed, options_of
from ventralstream.data import Augment
from ventralstream.errors import VentralError
from ventralstream.training import AdamW, Place, Recipe, WeightedLoss, load_recipe


@pytest.mark.parametrize("cls", [Recipe, Place])
def test_every_option_has_a_name_of_its_own_and_help(cls):
    options = options_of(cls)
    names = [option.name for option in options]
    assert len(names) == len(set(names))
    assert [option.name for option in options if not option.help or "None" in option.help] == []
    assert {f.name for f in dataclasses.fields(cls)} <= {option.path[0] for option in options}


def test_options_of_some_kinds_say_of_which():
    options = {option.name: option.help for option in options_of(Recipe)}
    assert options["nesterov"].endswith("Only of sgd.") and options["momentum"].endswith("Only of muon and sgd.")
    assert "Only of" not in options["lr"] + options["crop"] + options["label_smoothing"]


def test_recipe_and_place_share_no_name():
    assert not {o.name for o in options_of(Recipe)} & {o.name for o in options_of(Place)}


def test_options_change_single_fields():
    base = load_recipe("cifar10")
    assert changed(base, {}) == base
    found = changed(base, {"epochs": 3, "lr": 0.5, "schedule": "cosine", "crop": 3})
    assert found == base.replace(
        epochs=3,
        optimizer=base.optimizer.replace(lr=0.5),
        schedule=base.schedule.replace(kind="cosine"),
        augment=base.augment.replace(crop=3),
    )


def test_another_kind_begins_with_its_own_defaults():
    kinds = {"optimizer": "adamw", "loss": "weighted_steps"}
    found = changed(Recipe(), {**kinds, "weight_decay": 0.1, "step_weights": "0.5,1"})
    assert found.optimizer == AdamW(weight_decay=0.1) and found.loss == WeightedLoss(step_weights=(0.5, 1.0))
    assert changed(Recipe(augment=None), {"flip": "random"}).augment == Augment(flip="random")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"optimizer": "adamm"}, "unknown optimizer 'adamm'; did you mean 'adamw'"),
        ({"optimizer": "adamw", "momentum": 0.5}, "--momentum is an option of 'muon' and 'sgd', not of 'adamw'"),
        ({"lr": -1.0}, "^--lr is -1.0; expected a finite number"),
        ({"epochs": 0}, "^--epochs is 0; expected a whole number from 1"),
        ({"val_subset": 0}, "^--val-subset is 0; expected"),
        ({"loss": "weighted_steps", "step_weights": "-1,2"}, "^--step-weights is "),
        ({"schedule": "cosin"}, "^unknown --schedule 'cosin'; did you mean 'cosine'"),
        ({"loss": "weighted_steps", "step_weights": "a,b"}, "no row of numbers"),
    ],
)
def test_what_does_not_fit(given, message):
    with pytest.raises(VentralError, match=message):
        changed(Recipe(), given)


def test_the_docstring_is_the_help():
    class Base:
        """Base.

        Attributes:
            lr: The rate,
                in two lines.
        """

    class Own(Base):
        """Own.

        Attributes:
            a, b: Both.
        """

    assert attributes(Own) == {"lr": "The rate, in two lines.", "a": "Both.", "b": "Both."}
