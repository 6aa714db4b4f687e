import math

import pytest
import torch

from ventralstream.errors import VentralError
from ventralstream.jsonable import from_json
from ventralstream.training import SGD, AdamW, DecisionLoss, Muon, Place, Recipe, Schedule, WeightedLoss


def test_json_is_exact():
    other = Recipe(optimizer=SGD(lr=0.3), clip=0.0, loss=WeightedLoss(step_weights=(0.5, 1.0)), subset=5)
    for spec in (Recipe(), other, Place(root="x", threads=2)):
        assert from_json(spec.to_json()) == spec
    with pytest.raises(VentralError, match="unknown option 'epoch' of 'recipe'; did you mean 'epochs'"):
        from_json(Recipe().to_json() | {"epoch": 3})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Recipe(epochs=0), "'epochs' of 'recipe' is 0"),
        (lambda: Recipe(batch_size=0), "'batch_size' of 'recipe' is 0"),
        (lambda: Recipe(clip=-1.0), "'clip' of 'recipe' is -1.0; expected a finite number"),
        (lambda: DecisionLoss(label_smoothing=1.0), "label_smoothing"),
        (lambda: Recipe(precision="64"), "precision"),
        (lambda: SGD(lr=0.0), "'lr' of 'sgd' is 0.0; expected a finite number above 0"),
        (lambda: SGD(lr=math.nan), "'lr' of 'sgd' is nan; expected a finite number above 0"),
        (lambda: AdamW(weight_decay=-1.0), "'weight_decay' of 'adamw' is -1.0"),
        (lambda: SGD(momentum=1.0), "momentum"),
        (lambda: Schedule(kind="cosin"), "did you mean 'cosine'"),
        (lambda: Schedule(drop_at=(3.0,)), "the schedule 'onecycle' has no drops, but drop_at is given"),
        (lambda: Schedule("cosine", drop=0.5), "has no drops, but drop is given"),
        (lambda: Schedule("step", drop_at=(3.0,), drop_every=2.0), "give one of them"),
        (lambda: Schedule(warmup=-1.0), "'warmup' of 'schedule' is -1.0"),
        (lambda: Place(devices=0), "'devices' of 'place' is 0"),
        (lambda: Place(checkpoint_every=-1.0), "'checkpoint_every' of 'place' is -1.0"),
    ],
)
def test_bad_values_are_refused(make, message):
    with pytest.raises(VentralError, match=message):
        make()


def factors(batches=10, epochs=4, **options):
    return [Schedule(**options).factor(i, batches, epochs) for i in range(batches * epochs)]


def test_a_warmup_that_never_ends_is_refused():
    Recipe(epochs=2, schedule=Schedule(warmup=2))
    with pytest.raises(VentralError, match=r"warmup of 2\.5 epochs is longer than the run of 2"):
        Recipe(epochs=2, schedule=Schedule(warmup=2.5))


def test_schedules():
    assert set(factors(kind="constant")) == {1.0}
    assert factors(kind="step", drop_every=2.0, drop=0.5) == [1.0] * 20 + [0.5] * 20
    assert factors(kind="step", drop_at=(1.0, 1.5), drop=0.5) == [1.0] * 10 + [0.5] * 5 + [0.25] * 25
    cosine = factors(kind="cosine")
    assert cosine[0] == 1 and cosine[20] == pytest.approx(0.5) and 0 < cosine[-1] < 0.01
    once = factors(kind="onecycle")
    assert max(once) == once[11] == 1 and once[0] == pytest.approx(1 / 12) and once[-1] == pytest.approx(1 / 28)
    assert once == sorted(once[:12]) + sorted(once[12:], reverse=True)
    warm = factors(kind="cosine", warmup=0.5)
    assert warm[:4] == pytest.approx([c * (i + 1) / 5 for i, c in enumerate(cosine[:4])]) and warm[5:] == cosine[5:]
    assert factors(batches=1, epochs=1, kind="onecycle") == [1.0]


def test_optimisers_decay_weights_but_not_biases():
    layer = torch.nn.Linear(3, 2)
    sgd = SGD(lr=0.2, weight_decay=0.01, momentum=0.5).build(layer)
    adam = AdamW(lr=0.1, weight_decay=0.02).build(layer)
    for optimizer, lr, decay in ((sgd, 0.2, 0.01), (adam, 0.1, 0.02)):
        decayed, kept = optimizer.param_groups
        assert decayed["params"] == [layer.weight] and decayed["weight_decay"] == decay
        assert kept["params"] == [layer.bias] and kept["weight_decay"] == 0
        assert decayed["lr"] == kept["lr"] == lr
    assert sgd.param_groups[0]["momentum"] == 0.5 and sgd.param_groups[0]["nesterov"]
    assert len(SGD().build(torch.nn.BatchNorm2d(3)).param_groups) == 1
    for optimizer in (SGD(weight_decay=0.01, decay_all=True), Muon(weight_decay=0.01, decay_all=True)):
        assert {group["weight_decay"] for group in optimizer.build(layer).param_groups} == {0.01}
