"""What would hang or exhaust memory is refused at once, with the estimate; other numbers are as fast as they look."""

from __future__ import annotations

import itertools
import threading
import time

import pytest
import torch
from PIL import Image

import ventralstream as vs
from ventralstream import budget
from ventralstream.cells import CORnetS, Reciprocal
from ventralstream.cost import cost
from ventralstream.evaluation import accuracy_per_step
from ventralstream.jsonable import from_json
from ventralstream.layers.specs import Conv, Deconv, GlobalPool, Linear, Norm
from ventralstream.models import build, count_parameters
from ventralstream.presentation import Segment
from ventralstream.timing import check_driven, first_steps

OUT = vs.Area("out", (GlobalPool(), Linear(2)))


def chain(*areas: vs.Area, connections: tuple[vs.Connection, ...] = (), delay: int = 1, **options) -> vs.NetworkSpec:
    names = [*(a.name for a in areas), "out"]
    line = (
        vs.Connection("image", names[0], delay=0),
        *(vs.Connection(a, b, delay=delay) for a, b in itertools.pairwise(names)),
    )
    return vs.NetworkSpec("test", (*areas, OUT), (*line, *connections), "out", **{"input_shape": (3, 8, 8)} | options)


@pytest.fixture(autouse=True)
def at_once():
    begin = time.perf_counter()
    yield
    assert time.perf_counter() - begin < 20, "what is refused must be refused at once"


def refused(make, *expected: str) -> None:
    with pytest.raises(vs.VentralError) as caught:
        make()
    for part in (*expected, "ventralstream.budget."):
        assert part in str(caught.value), str(caught.value)
    assert "\n" not in str(caught.value)


A = vs.Area("a", (Conv(4),))


def test_steps() -> None:
    net, image = build(chain(A), 0), torch.zeros(1, 3, 8, 8)
    refused(lambda: net(image, 10**9), "1000000000 steps of 2 areas", "2e+09 evaluations", "carry the state")
    refused(lambda: net.decide(image, steps=10**9), "2e+09")
    refused(lambda: net(image, presentation=vs.Constant().replace(steps=10**9)), "2e+09")
    refused(lambda: chain(A, steps=10**9), "2e+09")
    refused(lambda: cost(chain(A), steps=10**9), "2e+09")
    far = vs.Flash(on=10**9, before=10**9)
    assert net(image, 5, presentation=far).logits.shape == (1, 1, 2)  # long presentations cost nothing


def test_a_budget_can_be_raised(monkeypatch) -> None:
    monkeypatch.setattr(budget, "STEPS", 10)
    refused(lambda: chain(A, steps=11), "11 steps")
    monkeypatch.setattr(budget, "STEPS", 20_001)
    assert chain(A, steps=20_001).steps == 20_001


def test_sets_of_parameters_for_each_step() -> None:
    many = Norm("batch", per_step=10**7)
    layers = (Conv(4), Norm("batch", per_step=200))
    for make in (
        lambda: chain(vs.Area("a", (Conv(4), many))),
        lambda: chain(vs.Area("a", (Conv(4),), CORnetS(times=10**7))),
        lambda: chain(A, connections=(vs.Connection("a", "a", "lateral", layers=(Conv(4),), per_step=10**7),)),
        lambda: chain(A, connections=(vs.Connection("a", "a", "lateral", layers=layers, per_step=200),)),
    ):
        refused(make, "of their own for each step come to", "sets")


def test_windows_and_delays() -> None:
    with pytest.raises(vs.VentralError, match="never drives area 'late'"):
        first_steps(chain(A, vs.Area("late", window=(10**9, None))))
    with pytest.raises(vs.VentralError, match="'delay' of 'connection' is 1000000000; expected a whole number from 0"):
        vs.Connection("a", "b", delay=10**9)
    slow = chain(*(vs.Area(f"a{i}", (Conv(1),)) for i in range(9)), delay=900)
    assert first_steps(slow)["out"] == 9 * 900


def test_parameters_and_maps() -> None:
    wide = [vs.Area(f"a{i}", (Conv(2**20),)) for i in range(2)]
    refused(lambda: chain(*wide, input_shape=(3, 64, 64)), "area 'a0'", "a map of (1048576, 64, 64)", "16 GiB")
    for seed in (None, 0):
        refused(
            lambda seed=seed: build(chain(*wide), seed), "1048576 x 1048576 x 3 x 3", "9.9e+12 parameters", "36 TiB"
        )
    with torch.device("meta"):
        refused(lambda: vs.Network(chain(*wide)), "9.9e+12 parameters")
    grown = (*(Deconv(4, 1023, 1000) for _ in range(2)), GlobalPool(), Linear(2))
    refused(lambda: chain(vs.Area("a", grown[:2])), "area 'a'", "a map of (4, 8000000, 8000000)")
    assert count_parameters(chain(A)) == 4 * 3 * 9 + 4 + 4 * 2 + 2


def test_memory_of_results_and_gradients(monkeypatch) -> None:
    net = build(chain(vs.Area("a", (Conv(4),), Reciprocal())), 0)
    images = torch.zeros(2, 3, 8, 8)
    record = vs.Record("a", reduce="none")
    with torch.no_grad():
        monkeypatch.setattr(budget, "MEMORY", 50 * 2 * 4 * 8 * 8 * 4)
        net(images, 50, record=record)
        refused(lambda: net(images, 51, record=record), "what 51 steps of 2 images compute", "102 KiB", "100 KiB")
        refused(lambda: net(images, 51, record=vs.Record("a", of="state")), "204 KiB")
        net(images, 300, record=vs.Record("a", reduce="mean"))
    refused(lambda: net(images, 60, readout=vs.PerStep(0)), "what 60 steps of 2 images compute, record and keep")
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    net(images, 60, readout=vs.PerStep(0))


def test_memory_of_a_map_and_of_images(monkeypatch, tmp_path) -> None:
    net = build(chain(vs.Area("a", (Conv(64),))), 0)
    with torch.no_grad():
        monkeypatch.setattr(budget, "MEMORY", 2 * 64 * 8 * 8 * 4)
        net(torch.zeros(2, 3, 8, 8))
        refused(lambda: net(torch.zeros(3, 3, 8, 8)), "steps of 3 images compute", "48 KiB", "32 KiB")
    for name in "abc":
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
    record = vs.Record("a", reduce="mean")
    monkeypatch.setattr(budget, "MEMORY", 2**30)
    out, said = tmp_path / "x.zarr", "3 images of 16384 x 16384 pixels"
    refused(lambda: vs.extract(net, tmp_path, record, out, size=2**14, batch_size=16), said, "9 GiB")
    assert not list(tmp_path.glob("x.zarr*"))


def test_feedback_arrives_at_the_size_of_the_drives_output() -> None:
    cell = Reciprocal(residual_to_out_gate=False)
    back = vs.Connection("b", "a", "feedback")
    for feedback_to in ("input", "cell", "out"):
        area = vs.Area("a", (Conv(4, stride=2),), cell.replace(feedback_to=feedback_to))
        net = build(chain(area, vs.Area("b", (Conv(5, stride=2),)), connections=(back,)), 0)
        shapes = net.spec.shapes()
        assert shapes.combined["a"][1:] == (8, 8) and shapes.drive["a"][1:] == (4, 4)
        out = net(torch.randn(2, 3, 8, 8), 6, record=vs.Record("a"))
        assert out["a"].values.shape == (2, 6, 4, 4, 4)
        out.logits.sum().backward()
        assert net.areas["a"].cell.feedback_conv.conv.weight.grad.abs().sum() > 0


def test_the_image_must_drive_what_is_learned_or_measured() -> None:
    spec = chain(A, steps=4)
    check_driven(spec, 4)
    check_driven(spec, 4, vs.Flash(on=1, before=1))
    blank = from_json({"type": "presentation", "segments": [Segment("blank").to_json()]})
    mask = vs.Presentation((Segment("mask"),))
    for presentation, expected in (
        (blank, "the presentation never shows the image"),
        (mask, "the presentation never shows the image"),
        (vs.Flash(on=1, before=3), "4 steps are too few for 'test': .* at step 4, so 5 are needed"),
        (vs.Flash(on=1, before=10**9), "never drives the logits"),
    ):
        with pytest.raises(vs.VentralError, match=expected):
            check_driven(spec, 4, presentation)
        with pytest.raises(vs.VentralError, match=expected):
            accuracy_per_step(build(spec.replace(presentation=presentation), 0), [], 4)
    with pytest.raises(vs.VentralError, match="no longer depend on the image"):
        check_driven(spec, 4, vs.Flash(on=1), readout=vs.Last())
    with torch.no_grad():  # the network itself may run it
        build(spec, 0)(torch.zeros(1, 3, 8, 8), presentation=vs.Flash(on=1, before=3))


def test_threads_that_build_by_seed_do_not_disturb_each_other() -> None:
    spec = vs.model_spec("gru_shallow_cifar")
    expected = [build(spec, seed).state_dict() for seed in range(3)]
    before = torch.get_rng_state()
    right: list[bool] = []

    def work(seed: int) -> None:
        for _ in range(4):
            made = build(spec, seed).state_dict()
            right.append(all(torch.equal(made[name], value) for name, value in expected[seed].items()))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 12
    assert torch.equal(before, torch.get_rng_state()), "a seed leaves the global random state alone"
    torch.manual_seed(2)
    same = vs.Network(spec).state_dict()
    assert all(torch.equal(same[name], value) for name, value in expected[2].items()), "what manual_seed would give"
