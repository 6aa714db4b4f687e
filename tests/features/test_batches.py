"""The one loop of recorded batches: the network's type, mode and place, and what is asked of it."""

import copy
import threading

import numpy as np
import pytest
import torch
from small_features import pictures, tiny

import ventralstream as vs
from ventralstream.errors import VentralError
from ventralstream.features.assemblies import features
from ventralstream.features.batches import ask, evaluating, first_driven_steps, recorded
from ventralstream.features.sources import Normalised

IDS = tuple("abcdefg")


@pytest.fixture
def images():
    return torch.randn(7, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def batches(images, size=3):
    return Normalised(IDS, {"": images}).batches(size)


def test_batches_are_what_the_network_does(images):
    net = tiny()
    asked = ask(net, [vs.Record("v1", steps=[1, 3], reduce="mean"), vs.Record("it")], 4)
    parts = list(recorded(net, asked, batches(images)))
    assert [part.ids for part in parts] == [IDS[:3], IDS[3:6], IDS[6:]]
    assert all(part.decision is None for part in parts)
    with torch.no_grad():
        out = net(images, 4, record=[vs.Record("v1", steps=[1, 3], reduce="mean"), vs.Record("it")])
    for area in ("v1", "it"):
        together = torch.cat([part.activations[area] for part in parts])
        torch.testing.assert_close(together, out[area].values, rtol=1e-5, atol=1e-6)
    assert asked.axes["v1"].bins_ms == [(10, 20), (30, 40)] and asked.axes["it"].early == (0, 1)


def test_no_more_is_run_than_recorded_and_decisions_are_of_all_steps(images):
    net = tiny(window=(2, 4))  # no logits before step 2
    parts = list(recorded(net, ask(net, vs.Record("v1", steps=1), 4), batches(images)))
    assert parts[0].activations["v1"].shape == (3, 1, 4, 8, 8)
    decided = torch.cat([p.decision for p in recorded(net, ask(net, (), 4), batches(images), decide=True)])
    with torch.no_grad():
        torch.testing.assert_close(decided, net(images, 4).output, rtol=1e-5, atol=1e-6)


def test_the_network_is_left_as_it_is_also_between_batches(images):
    net = tiny().train()
    net.areas["v1"].eval()
    modes = [m.training for m in net.modules()]
    before = copy.deepcopy(net.state_dict())
    parts = []
    for part in recorded(net, ask(net, vs.Record("it")), batches(images)):
        assert [m.training for m in net.modules()] == modes
        parts.append(part.activations["it"])
    expected = [p.activations["it"] for p in recorded(net.eval(), ask(net, vs.Record("it")), batches(images))]
    assert all(map(torch.equal, parts, expected))
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    net.train()
    with pytest.raises(RuntimeError), evaluating(net):
        assert not any(m.training for m in net.modules())
        raise RuntimeError
    assert all(m.training for m in net.modules())


def test_a_network_that_cannot_be_copied_is_run(images):
    net = tiny().train()
    net.lock = threading.Lock()
    with pytest.raises(TypeError):
        copy.deepcopy(net)
    assert next(recorded(net, ask(net, vs.Record("v1")), batches(images))).activations["v1"].isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("model", ["tiny", "rgc_shallow_cifar"])
def test_networks_of_any_floating_type(tmp_path, dtype, model):
    net = tiny() if model == "tiny" else vs.create_model(model, seed=0).eval()
    area = "v1" if model == "tiny" else "conv3"
    folder = pictures(tmp_path / "images", 3)
    single = features(net, folder, area, steps=4, reduce="mean")[area].values
    other = copy.deepcopy(net).to(dtype)
    found = features(other, folder, area, steps=4, reduce="mean")[area]
    assert found.dtype == np.float32 and next(other.parameters()).dtype == dtype
    np.testing.assert_allclose(found.values, single, atol=1e-5 if dtype == torch.float64 else 0.1)
    for stored in ("float32", "float16"):
        vs.extract(
            other, folder, vs.Record(area, reduce="mean"), tmp_path / stored, steps=4, dtype=stored, progress=False
        )
        on_disk = vs.open_features(tmp_path / stored, area)
        assert on_disk.dtype == stored
        np.testing.assert_allclose(on_disk.values.transpose(0, 2, 1), found.values, rtol=1e-3, atol=1e-3)


def test_numbers_beyond_float32_are_refused(tmp_path):
    net = tiny().double()
    with torch.no_grad():
        next(net.parameters()).mul_(1e60)
    with pytest.raises(VentralError, match=r"'v1' has activations beyond 3.4\S+, too large for float32"):
        vs.extract(net, pictures(tmp_path / "images", 2), vs.Record("v1"), tmp_path / "f.zarr", progress=False)


def test_numpys_whole_numbers(tmp_path):
    folder, two = pictures(tmp_path / "images", 3), np.int64(2)
    record = vs.Record("v1", steps=np.array([1, 3]))
    vs.extract(tiny(), folder, record, tmp_path / "f.zarr", steps=two * 2, batch_size=two, workers=two, progress=False)
    found = features(tiny(), folder, "v1", steps=two * 2, record_steps=np.array([1, 3]), batch_size=two)["v1"]
    assert vs.open_features(tmp_path / "f.zarr", "v1").sizes["step"] == found.sizes["time_bin"] == 2


def test_first_driven_step_knows_the_presentation_and_windows():
    net = tiny()
    record = vs.Record(["v1", "it"])
    assert first_driven_steps(net, record, vs.Constant(), 1) == net.first_steps == {"v1": 1, "it": 2}
    assert first_driven_steps(net, record, vs.Flash(1, before=2), 9) == {"v1": 3, "it": 4}
    with pytest.raises(VentralError, match="never drives area 'it'"):
        first_driven_steps(tiny(window=(0, 3)), record, vs.Flash(1, before=2), 9)


@pytest.mark.parametrize(
    ("records", "options", "message"),
    [
        (["v1"], {}, r"what is recorded is said by a Record, as in Record\(\['v1'\]\)"),
        ("v1", {}, "said by a Record"),
        ([vs.Record("v1"), vs.Record(["it", "v1"], of="output")], {}, "two records name area 'v1'"),
        (vs.Record("v2"), {}, "unknown area 'v2'; did you mean|unknown area 'v2' of"),
        (vs.Record("v1"), {"steps": 0}, "steps is 0"),
        (vs.Record("v1"), {"steps": 10**9}, "1000000000 steps"),
        (vs.Record("v1"), {"presentation": "flash"}, "a presentation is one of .* got 'flash'"),
        (vs.Record("v1"), {"presentation": vs.Presentation((vs.Segment("blank"),))}, "never shows the image"),
    ],
)
def test_what_cannot_be_asked_is_said(records, options, message):
    with pytest.raises(VentralError, match=message):
        ask(tiny(), records, **options)
