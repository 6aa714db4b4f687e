"""Specs: validation in one sentence, exact JSON, and what the graph says about time."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys

import pytest

import ventralstream as vs
from ventralstream.cells import GRU, create_cell, list_cells
from ventralstream.layers.specs import Act, Conv, GlobalPool, Linear, Norm, Pool
from ventralstream.models import count_parameters, list_models
from ventralstream.timing import minimal_steps

HEAD = vs.Area("decoder", (GlobalPool(), Linear(3)))


def chain(*areas: vs.Area, connections: tuple[vs.Connection, ...] = (), **options) -> vs.NetworkSpec:
    names = [a.name for a in areas] + ["decoder"]
    line = (
        vs.Connection("image", names[0], delay=0),
        *(vs.Connection(a, b) for a, b in itertools.pairwise(names)),
    )
    return vs.NetworkSpec("test", (*areas, HEAD), (*line, *connections), "decoder", (3, 16, 16), **options)


A, B = vs.Area("conv1", (Conv(4),)), vs.Area("conv2", (Conv(4),))


@pytest.mark.parametrize("name", list_models())
def test_json_is_exact(name: str) -> None:
    spec = vs.model_spec(name)
    text = spec.to_text()
    assert vs.spec_from_json(text) == spec
    assert vs.spec_from_json(text).to_text() == text


def broken(make, *expected: str) -> None:
    with pytest.raises(vs.VentralError) as caught:
        make()
    message = str(caught.value)
    assert "\n" not in message
    for part in expected:
        assert part in message, message


def test_bad_graphs_name_the_culprit() -> None:
    again = vs.Connection("conv1", "conv2")
    broken(lambda: chain(A, B, connections=(vs.Connection("conv", "conv2"),)), "'conv'", "did you mean 'conv")
    broken(lambda: chain(A, B, connections=(vs.Connection("conv1", "decodr"),)), "did you mean 'decoder'")
    broken(lambda: chain(A, B, connections=(again,)), "conv1 -> conv2", "twice")
    loop = vs.Connection("conv2", "conv1", "feedback", delay=0)
    forward = vs.Connection("conv1", "conv2", "skip", delay=0)
    broken(lambda: chain(A, B, connections=(forward, loop)), "zero delay", "conv1", "conv2")
    broken(lambda: chain(A).replace(areas=(A, A, HEAD)), "two areas named 'conv1'")
    lonely = (A, vs.Area("lonely", (Conv(4),)), HEAD)
    broken(lambda: chain(A).replace(areas=lonely), "'lonely' cannot be reached")
    broken(lambda: chain(vs.Area("conv1", (Conv(4, 20, padding="valid"),))), "conv1", "kernel 20", "16x16")
    broken(lambda: chain(vs.Area("conv1", (Conv(4), Norm("group", groups=3)))), "3 groups", "4 channels")
    adding, image = vs.Area("conv2", (Conv(4),), combine="add"), vs.Connection("image", "conv2", "skip")
    broken(lambda: chain(A, adding, connections=(image,)), "conv2", "add", "[4, 3] channels")
    broken(lambda: chain(vs.Area("conv1", (Linear(3),))), "conv1", "global_pool")
    broken(lambda: chain(A).replace(readout_area="conv1"), "conv1", "vector")
    broken(lambda: chain(A, steps=0), "'steps' of 'network' is 0")
    broken(lambda: vs.Area("image"), "cannot be an area's name")
    broken(lambda: vs.Area("a b"), "cannot be an area's name")
    broken(lambda: vs.Area("a", window=(3, 3)), "window")
    broken(lambda: vs.Connection("a", "a", "feedback"), "lateral")
    broken(lambda: vs.Connection("a", "b", delay=-1), "delay")
    never = chain(A, vs.Area("conv2", (Conv(4),), window=(0, 1)))
    broken(lambda: vs.first_steps(never), "never drives area 'conv2'")


def test_bad_options_name_the_nearest() -> None:
    broken(lambda: create_cell("gru", kernal=3), "'kernal'", "did you mean 'kernel'")
    broken(lambda: create_cell("gruu"), "did you mean 'gru'")
    broken(lambda: Act("rellu"), "did you mean 'relu'")
    broken(lambda: Conv("4"), "'channels' of 'conv' is '4'; expected a whole number from 1")
    broken(lambda: Conv(True), "expected a whole number")
    broken(lambda: vs.create_model("rgc_shalow"), "did you mean 'rgc_shallow'")
    broken(lambda: vs.create_model("rgc_shallow", num_clases=3), "did you mean 'num_classes'")
    broken(lambda: A.replace(windov=(0, 1)), "did you mean 'window'")
    data = chain(A).to_json()
    data["areas"][0]["drive"][0]["chanels"] = 3
    broken(lambda: vs.spec_from_json(data), "'chanels'", "did you mean 'channels'")
    data = chain(A).to_json()
    data["areas"][0]["drive"][0]["type"] = "cnv"
    broken(lambda: vs.spec_from_json(data), "did you mean 'conv'")
    del data["areas"][0]["name"]
    data["areas"][0]["drive"] = []
    broken(lambda: vs.spec_from_json(data), "'area' needs the option 'name'")
    broken(lambda: vs.spec_from_json("{"), "not valid JSON")
    broken(lambda: vs.spec_from_json(json.dumps(A.to_json())), "expected a spec of type 'network'")


def test_every_cell_is_listed_and_made_by_name() -> None:
    assert {"decay", "simple_rnn", "gru", "lstm", "ugrnn", "intersection_rnn", "reciprocal"} <= set(list_cells())
    assert create_cell("gru", channels=8) == GRU(channels=8)


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("timedecay_shallow", 4.20), ("simplernn_shallow", 6.27), ("gru_shallow", 25.43), ("lstm_shallow", 21.13),
        ("intersectionrnn_shallow", 32.51), ("ugrnn_shallow", 18.36), ("rgc_shallow", 23.96),
    ],
)  # fmt: skip
def test_parameters_of_the_shallow_convrnns(name: str, millions: float) -> None:
    assert round(count_parameters(vs.model_spec(name)) / 1e6, 2) == millions


@pytest.mark.parametrize(
    ("name", "count"),
    [("cornet_z", 2071656), ("cornet_r", 5208936), ("cornet_rt", 5208936), ("cornet_s", 53416616)],
)
def test_parameters_of_the_cornets(name: str, count: int) -> None:
    assert count_parameters(vs.model_spec(name)) == count


def test_first_steps_and_minimal_unroll() -> None:
    spec = vs.model_spec("rgc_shallow")
    assert list(vs.first_steps(spec).values()) == [0, 1, 2, 3, 4, 5]
    assert minimal_steps(spec) == vs.model_spec("rgc_shallow_minimal").steps == 7
    feedback = vs.Connection("conv5", "conv3", "feedback")
    # conv5 is first driven at step 4; what it feeds back works in conv3 at 5 and is read out at 8
    assert minimal_steps(spec.replace(connections=(*spec.connections, feedback))) == 9
    assert vs.first_steps(vs.model_spec("cornet_rt")) == {"V1": 0, "V2": 1, "V4": 2, "IT": 3, "decoder": 3}


def test_same_padding_shapes_are_tensorflows() -> None:
    shapes = vs.model_spec("rgc_shallow").shapes()
    assert [shapes.output[f"conv{i}"] for i in range(1, 6)] == [
        (64, 56, 56), (128, 28, 28), (256, 14, 14), (256, 7, 7), (512, 4, 4),
    ]  # fmt: skip
    assert Pool().output_shape((3, 7, 7)) == (3, 4, 4)


def test_a_spec_is_read_where_nothing_else_was_imported(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(vs.model_spec("cornet_s", num_classes=10).to_text())
    code = f"import ventralstream as vs; print(vs.spec_from_json(open({str(path)!r}).read()).name)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "cornet_s\n", done.stderr
