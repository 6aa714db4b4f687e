"""Every number of every spec has a declared range, and what lies outside is one sentence, whichever spec it is."""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
import pytest

import ventralstream as vs
import ventralstream.data
import ventralstream.training
from ventralstream.data.folder import Preprocessing
from ventralstream.data.listing import Fingerprint
from ventralstream.data.packed import Header
from ventralstream.data.source import SetInfo
from ventralstream.jsonable import Spec, from_json, hints, make, parse_json, spec_class, tags
from ventralstream.layers.specs import Conv, Deconv, GlobalPool, Linear
from ventralstream.models import build, list_models, model_entry
from ventralstream.presentation import Segment
from ventralstream.training import SGD, Recipe
from ventralstream.training.schedule import Schedule
from ventralstream.values import Count, Real, Side, Within, checked, fit

AREA = vs.Area("out", (GlobalPool(), Linear(2)), window=(0, 9))
NEEDY: dict[str, Spec] = {  # those that have no defaults, or not all options with them
    "area": AREA,
    "image_fingerprint": Fingerprint(3, "a", "b"),
    "connection": vs.Connection("image", "out", arrives=(0, 3)),
    "conv": Conv(4),
    "deconv": Deconv(4),
    "image_set": SetInfo("x", ("a",), Preprocessing()),
    "linear": Linear(4),
    "network": vs.NetworkSpec("x", (AREA,), (vs.Connection("image", "out", delay=0),), "out"),
    "packed_set": Header(64, "crop", ("a",), Fingerprint(3, "a", "b"), None),
    "presentation": vs.Constant(),
    "schedule": Schedule("step"),  # only this kind has drops
    "segment": Segment("image", 3),
}
OURS = [tag for tag in tags(Spec) if spec_class(tag).__module__.startswith("ventralstream.")]  # not a test's own


def example(tag: str) -> Spec:
    return NEEDY[tag] if tag in NEEDY else spec_class(tag)()


def numbers(hint: Any, within: Within | None = None) -> Iterator[tuple[type, Within | None]]:
    """The numbers that an annotation allows, with their ranges."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        yield from numbers(args[0], next(a for a in args[1:] if isinstance(a, Within)))
    elif hint in (int, float):
        yield hint, within
    elif origin is not Literal and bool not in args:  # what may be anything, such as a choice, has no range
        for arg in args:
            yield from numbers(arg)


FIELDS = [
    (tag, name, hint, kind, within)
    for tag in OURS
    for name, hint in hints(spec_class(tag)).items()
    for kind, within in dict.fromkeys(numbers(hint))
]


def test_every_number_has_a_range() -> None:
    assert len(FIELDS) > 70
    for tag, name, _, _, within in FIELDS:
        assert within is not None, f"'{name}' of '{tag}' declares no range: annotate it with a Within"
        assert max(within.at_most, -within.at_most) < math.inf or within.below < math.inf, f"'{tag}.{name}' has no top"


def with_number(tag: str, name: str, hint: Any, within: Within, number: Any) -> Any:
    """A value for the field with this number in it: alone, or in a tuple at the place that has this range."""
    now = getattr(example(tag), name)
    for h in (hint, *typing.get_args(hint)):
        if typing.get_origin(h) is tuple:
            places = [i for i, arg in enumerate(typing.get_args(h)) if within in [w for _, w in numbers(arg)]]
            return (*now[: places[0]], number, *now[places[0] + 1 :])
    return number


@pytest.mark.parametrize(("tag", "name", "hint", "kind", "within"), FIELDS, ids=[f"{f[0]}.{f[1]}" for f in FIELDS])
def test_numbers_out_of_range_are_refused(tag: str, name: str, hint: Any, kind: type, within: Within) -> None:
    bad: list[Any] = [math.nan, math.inf, -math.inf, 2**70, 10**400, -(2**70), "3", True, 1j, [], np.float64("nan"), {}]
    bad += [np.bool_(True), np.array([1, 2])]
    bad += [1.5] if kind is int else []
    low = within.at_least if within.at_least > -math.inf else within.above
    bad += [kind(low) - 1] + ([0] if low in (1, 0) and within.above == 0 else [])
    bad += [within.at_most * 2 + 1] if within.at_most < math.inf else [within.below]
    for number in bad:
        with pytest.raises(vs.VentralError) as caught:
            example(tag).replace(**{name: with_number(tag, name, hint, within, number)})
        message = str(caught.value)
        assert name in message and tag in message and "\n" not in message and len(message) < 400, message


@pytest.mark.parametrize(("tag", "name", "hint", "kind", "within"), FIELDS, ids=[f"{f[0]}.{f[1]}" for f in FIELDS])
def test_numpys_numbers_become_pythons(tag: str, name: str, hint: Any, kind: type, within: Within) -> None:
    now = getattr(example(tag), name)
    flat = now if isinstance(now, tuple) else (now,)
    own = next((v for v in flat if isinstance(v, (int, float)) and not isinstance(v, bool) and v in within), 1)
    for dtype in (np.int64, np.int32, np.uint8) if kind is int else (np.float64, np.float32):
        if kind is int and not 0 <= own < 256:
            continue
        spec = example(tag).replace(**{name: with_number(tag, name, hint, within, dtype(own))})
        values = getattr(spec, name)
        for value in values if isinstance(values, tuple) else (values,):
            assert value is None or type(value) in (int, float)
        assert from_json(parse_json(json.dumps(spec.to_json()), "the spec")) == spec


def test_lists_become_tuples_and_whole_numbers_floats() -> None:
    area = vs.Area("v1", [Conv(4), vs.layers.specs.Act()], window=[0, None])
    assert area == vs.Area("v1", (Conv(4), vs.layers.specs.Act()), window=(0, None))
    assert hash(area) and type(SGD(lr=1).lr) is float
    assert (
        NEEDY["network"].replace(mean=[0, 0, 0]).to_json() == NEEDY["network"].replace(mean=(0.0, 0.0, 0.0)).to_json()
    )


@pytest.mark.parametrize(
    "text",
    [
        '{"type": "act", "name": "relu", "name": "elu"}',
        '{"type": "norm", "eps": NaN}',
        '{"type": "norm", "eps": Infinity}',
        '{"type": "norm", "eps": 1e999}',
        '{"type": "conv", "channels": ' + "9" * 5000 + "}",
        "[" * 100_000,
        '{"a":' * 100_000 + "1" + "}" * 100_000,
        '{"type": ["act"]}',
        '{"type": {"type": "act"}}',
        '{"type": null}',
        '{"type": 3}',
        '{"3": "act"}',
        "[]",
        "[1, 2]",
        "3",
        "null",
        '"network"',
        "",
        '{"type": "act"}',
        '{"type": "' + "x" * 5000 + '"}',
        '{"type": "act", "a\\nb": 1}',
    ],
    ids=lambda text: text[:24],
)
def test_bad_json_is_one_sentence(text: str) -> None:
    with pytest.raises(vs.VentralError) as caught:
        vs.spec_from_json(text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300, str(caught.value)


def test_bad_plain_data_is_one_sentence() -> None:
    deep: Any = {"type": "act"}
    for _ in range(100_000):
        deep = [deep]
    for data in (
        deep,
        {"type": deep},
        {1: 2, "a": 3},
        {"type": "act", 3: 4},
        {"type": "act", "name": np.arange(3)},
        object(),
    ):
        with pytest.raises(vs.VentralError) as caught:
            vs.spec_from_json(data)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 300, str(caught.value)
    while isinstance(deep, list):  # taken apart here, as Python's own deletion of so deep a list may recurse too far
        deep = deep[0]


@pytest.mark.parametrize("name", list_models())
def test_models_check_their_options(name: str) -> None:
    given = [-1, 0, 2**70, math.nan, math.inf, "10", None, True, 1.5, [10]]
    for value in given:
        with pytest.raises(vs.VentralError, match=r"'num_classes' of '.*' is .*; expected a whole number from 1"):
            vs.model_spec(name, num_classes=value)
        with pytest.raises(vs.VentralError, match="num_classes"):
            model_entry(name).make(value)
    assert vs.model_spec(name, num_classes=np.int64(7)) == vs.model_spec(name, num_classes=7)


MORE_OPTIONS = [
    ("ff_shallow", "width"),
    ("ff_intermediate", "width"),
    ("ff_shallow_cifar", "width"),
    ("ff_deep", "width"),
    ("ff_deep", "depth"),
    ("rgc_shallow_cifar", "steps"),
    ("cornet_rt", "steps"),
    ("cornet_s", "times"),
    ("cornet_s", "scale"),
    ("tied_resnet_cifar", "repeats"),
    ("untied_resnet_cifar", "repeats"),
    ("recurrent2_cifar", "steps"),
    ("recurrent3_one_kernel_cifar", "steps"),
]


@pytest.mark.parametrize(("name", "option"), MORE_OPTIONS)
def test_models_check_their_other_options(name: str, option: str) -> None:
    for value in (-1, 0, 2**70, 10**9, math.nan, math.inf, "2", (2, -1, 2), (2, 2**70, 2), (10**9, 2, 2)):
        with pytest.raises(vs.VentralError) as caught:
            vs.model_spec(name, **{option: value})
        assert "\n" not in str(caught.value)


def test_seeds_are_what_torch_takes() -> None:
    spec = vs.model_spec("ff_shallow_cifar", width=0.1)
    for seed in (2**64, -1, math.nan, "1", True, 1.0, 2**70):
        with pytest.raises(
            vs.VentralError, match=r"seed is .*; expected a whole number from 0 to 18446744073709551615"
        ):
            build(spec, seed)
        with pytest.raises(vs.VentralError, match="'seed' of 'recipe'"):
            Recipe(seed=seed)
    build(spec, 2**64 - 1)
    assert Recipe(seed=np.uint64(2**64 - 1)).seed == 2**64 - 1


def test_presentations_and_readouts_refuse_numbers_that_make_no_sense() -> None:
    for on in (0, -1, 2.0, math.nan, "3", None, True):
        for made, arguments in ((vs.Flash, (on,)), (vs.Masked, (on, 1)), (vs.Masked, (1, on))):
            with pytest.raises(vs.VentralError, match="expected a whole number from 1"):
                made(*arguments)
    for before in (-1, 0.5, 0.0, math.nan, False):
        with pytest.raises(vs.VentralError, match="'before' of 'Flash'"):
            vs.Flash(1, before=before)
        with pytest.raises(vs.VentralError, match="'gap' of 'Masked'"):
            vs.Masked(1, 1, gap=before)
    with pytest.raises(vs.VentralError, match="'blank' of 'Flash' is nan; expected a finite number"):
        vs.Flash(1, blank=math.nan)
    for threshold in (-0.1, 1.1, math.nan, "0.5"):
        with pytest.raises(vs.VentralError, match=r"'threshold' of 'threshold'.* from 0 to 1"):
            vs.Threshold(threshold=threshold)


def test_functions_can_be_checked_too() -> None:
    @checked
    def f(a: Count, *rest: int, b: Real = 0.0, c: list[int] | None = None, **more: str) -> tuple[Any, ...]:
        return a, rest, b, c, more

    assert f(np.int8(3), 4, 5, b=1, d="x") == (3, (4, 5), 1.0, None, {"d": "x"})
    with pytest.raises(vs.VentralError, match="the option 'a' of 'f' is 0; expected a whole number from 1"):
        f(0)
    with pytest.raises(TypeError):
        f()
    assert fit(3, Side, "kernel") == 3 and fit(None, Side | None, "kernel") is None
    with pytest.raises(vs.VentralError, match="kernel is 0; expected a whole number from 1 to 1024 or None"):
        fit(0, Side | None, "kernel")


def test_users_specs_are_finite_without_a_range() -> None:
    @dataclasses.dataclass(frozen=True)
    class Own(Spec):
        size: int = 3
        gain: float = 1.0
        table: dict[str, int] | None = None

    assert make(Own, {"size": np.int64(-5), "gain": 2}) == Own(-5, 2.0)
    for options in ({"size": 2**70}, {"gain": math.inf}, {"gain": math.nan}, {"size": 1.0}, {"table": 3}):
        with pytest.raises(vs.VentralError):
            make(Own, options)
    assert Own(table={"a": 1}).table == {"a": 1} and isinstance(int | None, types.UnionType)
