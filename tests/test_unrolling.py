"""Planning and running: only what is asked for, in one pass, and programs kept for the next call."""

from __future__ import annotations

import pytest
import torch

import ventralstream as vs
from ventralstream.program import Request
from ventralstream.unroll import Kept, Plans


@pytest.fixture(scope="module")
def net():
    return vs.create_model("rgc_shallow_cifar", seed=0).eval()


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def stages_run(net, *args, **options) -> set[str]:
    """The areas that a call evaluates."""
    seen = set()
    plain = type(net).stage

    class Watched(type(net)):
        def stage(self, value):
            seen.add(str(value.owner))
            return plain(self, value)

    net.__class__, before = Watched, net.__class__
    try:
        net(*args, **options)
    finally:
        net.__class__ = before
    return seen


def test_without_a_readout_only_what_is_recorded_is_computed() -> None:
    net = vs.create_model("cornet_s", seed=0, num_classes=10).eval()
    image = torch.randn(1, 3, 64, 64)
    record = vs.Record("V1")
    assert "IT" in stages_run(net, image, record=record)
    assert stages_run(net, image, 2, readout=None, record=record) == {"V1"}
    out = net(image, 2, readout=None, record=record)  # too short for its logits, which nobody asked for
    assert out.output is None and out.logits is None and out.decided_step is None and out.steps == ()
    assert torch.equal(out["V1"].values, net(image, record=record)["V1"].values[:, :2])


def test_without_a_readout_states_are_carried_on(net, images) -> None:
    late = net(images, 4, state=net(images, 6, readout=None, return_state=True).state)
    torch.testing.assert_close(late.output, net(images, 10).output)
    with pytest.raises(vs.VentralError, match="nothing is asked for"):
        net(images, readout=None)


def test_several_records_in_one_pass(net, images) -> None:
    records = (
        vs.Record(["conv1", "conv5"], reduce="mean"),
        vs.Record("conv5", steps=5),
        vs.Record("conv5", steps=[4, 6], of="state"),
    )
    out = net(images, record=records)
    assert [list(recorded) for recorded in out.recordings] == [["conv1", "conv5"], ["conv5"], ["conv5"]]
    for record, recorded in zip(records, out.recordings, strict=True):
        alone = net(images, record=record)
        for area, recording in recorded.items():
            assert recording.steps == alone[area].steps
            assert torch.equal(recording.values, alone[area].values)
    assert out["conv1"] is out.recordings[0]["conv1"]
    with pytest.raises(vs.VentralError, match=r"'conv5' was recorded 3 times.*out.recordings\[1\]\['conv5'\]"):
        out["conv5"]
    torch.testing.assert_close(out.output, net(images).output)


def test_far_from_the_start_steps_share_a_program_that_speaks_of_its_own_steps(net) -> None:
    plans, traits = Plans(), net.traits()

    def request(start: int) -> Request:
        return Request(start, start + 1, vs.Movie(), frozenset({("decoder", start)}), carry=True)

    early, late = (plans.program(net.spec, traits, request(start)) for start in (100, 1000))
    assert late.values is early.values and late.instructions is early.instructions
    assert early.request == request(100) and late.request == request(1000)
    assert set(late.outputs) == {("decoder", 1000)} and ("conv1", 1000) in late.fates
    assert late.summary() in repr(late) and len(repr(late)) < 500


def test_few_programs_are_kept(net, monkeypatch) -> None:
    monkeypatch.setattr(Kept, "MOST", 3)
    plans, traits = Plans(), net.traits()
    for presentation in (vs.Constant(), vs.Flash(1), vs.Flash(2), vs.Flash(3)):
        for steps in (6, 7, 8, 9, 6):
            asked = Request(0, steps, presentation, frozenset({("decoder", steps - 1)}))
            assert plans.program(net.spec, traits, asked).request == asked
    assert len(plans._known._made) == 3 and all(len(made._made) == 3 for _, made in plans._known._made.values())
