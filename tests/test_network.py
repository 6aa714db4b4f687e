"""The network's interface: presentations, records, readouts, precision, errors."""

from __future__ import annotations

import copy
import pickle
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import ventralstream as vs
from ventralstream.models import build


@pytest.fixture(scope="module")
def net():
    return vs.create_model("rgc_shallow_cifar", seed=0).eval()


@pytest.fixture(scope="module")
def images():
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def sentence(make, *expected: str) -> None:
    with pytest.raises(vs.VentralError) as caught:
        make()
    assert "\n" not in str(caught.value)
    for part in expected:
        assert part in str(caught.value), str(caught.value)


def test_output_of_the_default_run(net, images) -> None:
    out = net(images)
    assert out.output.shape == (3, 10) and out.logits.shape == (3, 1, 10)
    assert out.steps == (9,) and out.times_ms == (90.0,) and out.decided_step.tolist() == [9, 9, 9]


def test_record_gives_steps_times_and_reductions(net, images) -> None:
    whole = net(images, record=vs.Record(["conv3", "conv5"]))["conv3"]
    assert whole.values.shape == (3, 10, 64, 4, 4) and whole.first_step == 2
    for how, expected in (
        ("mean", whole.values.mean((3, 4))),
        ("max", whole.values.amax((3, 4))),
        ("flatten", whole.values.flatten(2)),
    ):
        reduced = net(images, record=vs.Record("conv3", steps=[4, 9], reduce=how))["conv3"]
        assert reduced.steps == (4, 9) and reduced.times_ms == (40.0, 90.0)
        torch.testing.assert_close(reduced.values, expected[:, [4, 9]])
    assert torch.equal(whole.values[0, 1], whole.values[2, 1]), "before its first driven step all images look alike"
    assert not torch.equal(whole.values[0, 2], whole.values[2, 2])


def test_record_of_states(net, images) -> None:
    out = net(images, record=vs.Record("conv4", steps=7, of="state"), steps=8, return_state=True)
    torch.testing.assert_close(out["conv4"].values[:, 0], torch.cat(out.state.cells["conv4"], 1))


def test_recording_the_readout_area_reduced_or_not(net, images) -> None:
    out = net(images, record=vs.Record("decoder", steps=[6, 9]))
    torch.testing.assert_close(out["decoder"].values[:, 1], out.logits[:, 0])


def test_readouts(net, images) -> None:
    every = net(images, readout=vs.PerStep(), steps=12)
    assert every.steps == tuple(range(5, 12))
    torch.testing.assert_close(net(images, readout=vs.Mean(start=8), steps=12).output, every.logits[:, 3:].mean(1))
    sharp = 50 * every.logits
    confidence = sharp.softmax(-1).amax(-1)
    chosen = net(images, readout=vs.MaxConfidence(beta=50.0), steps=12)
    assert chosen.decided_step.tolist() == (5 + confidence.argmax(1)).tolist()
    torch.testing.assert_close(chosen.output, every.logits[torch.arange(3), confidence.argmax(1)])


def test_threshold_falls_back_to_the_most_confident() -> None:
    logits = torch.tensor([[[0.0, 0.1], [3.0, 0.0], [1.0, 0.0]], [[0.0, 0.2], [0.5, 0.0], [0.1, 0.0]]])
    assert vs.Threshold(threshold=0.7).choose(logits).tolist() == [1, 1]
    assert vs.Threshold(threshold=0.5).choose(logits).tolist() == [0, 0]


def test_presentations(net, images) -> None:
    flash = vs.Flash(on=2, before=1, blank=0.25, space="pixels")
    assert [flash.frame(t).shows for t in range(5)] == ["blank", "image", "image", "blank", "blank"]
    mask = vs.Masked(on=1, gap=1, mask=2)
    assert [mask.frame(t).shows for t in range(5)] == ["image", "blank", "mask", "mask", "blank"]
    masks = torch.flip(images, (0,))
    a = net({"image": images, "mask": masks}, presentation=vs.Masked(on=3, mask=4)).output
    b = net(images, presentation=vs.Flash(on=3)).output
    assert not torch.allclose(a, b)
    movie = images[:, None].expand(-1, 10, -1, -1, -1)
    torch.testing.assert_close(net(movie, presentation=vs.Movie()).output, net(images).output)


def test_other_sizes_and_batches(net) -> None:
    for size in (16, 32, 47):
        assert net(torch.randn(1, 3, size, size)).output.shape == (1, 10)


def test_deepcopy_and_save(net, images, tmp_path) -> None:
    expected = net(images).output
    torch.testing.assert_close(copy.deepcopy(net)(images).output, expected)
    vs.save_network(net, tmp_path / "saved")
    torch.testing.assert_close(vs.load_network(tmp_path / "saved")(images).output, expected, rtol=0, atol=0)


def test_seed_leaves_the_global_random_state_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    a, b = (vs.create_model("ff_shallow_cifar", seed=3) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def test_mixed_precision(images) -> None:
    for name in ("rgc_shallow_cifar", "gru_shallow_cifar", "timedecay_shallow_cifar", "recurrent3_cifar"):
        net = vs.create_model(name, seed=0)
        exact = net.eval()(images).output
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = net(images, return_state=True)
            again = net(images, 2, state=out.state).output
        torch.testing.assert_close(out.output.float(), exact, rtol=0.1, atol=0.1 * exact.abs().max().item())
        assert again.isfinite().all()


def test_compiled_stages_give_the_same_and_copies_do_without(images, tmp_path) -> None:
    net = vs.create_model("rgc_shallow_cifar", seed=0).eval()
    expected = net(images, 7).output
    net.compile(backend="eager")
    torch.testing.assert_close(net(images, 7).output, expected)  # without a state, with one of a single row, of three
    torch.save(net, tmp_path / "net.pt")
    copies = pickle.loads(pickle.dumps(net)), torch.load(tmp_path / "net.pt", weights_only=False)
    for again in (*copies, copy.deepcopy(net), copy.copy(net)):
        assert not again._compiled and not again.training
        torch.testing.assert_close(again(images, 7).output, expected)
    assert net._compiled


class Held(TorchDispatchMode):
    """The bytes of all tensors made in the block that are still there, at most."""

    def __init__(self) -> None:
        super().__init__()
        self.there: dict[int, int] = {}
        self.now = self.most = 0

    def gone(self, key: int) -> None:
        self.now -= self.there.pop(key)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for x in tree_leaves(made):
            if isinstance(x, torch.Tensor) and (key := x.untyped_storage()._cdata) not in self.there:
                self.there[key] = x.untyped_storage().nbytes()
                self.now += self.there[key]
                weakref.finalize(x.untyped_storage(), self.gone, key)
        self.most = max(self.most, self.now)
        return made


@pytest.mark.parametrize("name", ["rgc_shallow_cifar", "recurrent2_cifar"])  # the second one with batch statistics
def test_remat_grows_by_less_than_a_third_and_gives_the_same_gradients(name: str) -> None:
    net = vs.create_model(name, seed=0)
    images = torch.randn(2, *net.spec.input_shape)
    statistics = {key: value.clone() for key, value in net.named_buffers()}

    def run(remat: bool, steps: int) -> tuple[int, list[torch.Tensor], dict[str, torch.Tensor]]:
        for key, buffer in net.named_buffers():
            buffer.data.copy_(statistics[key])
        with Held() as held:
            loss = net(images, steps, remat=remat).output.square().sum()
            found = list(torch.autograd.grad(loss, [p for p in net.parameters() if p.requires_grad], allow_unused=True))
        return held.most, found, {key: value.clone() for key, value in net.named_buffers()}

    (few, a, moved), (many, b, expected) = run(True, 6), run(False, 6)
    for x, y in zip([*a, *moved.values()], [*b, *expected.values()], strict=True):
        torch.testing.assert_close(x, y)
    assert run(True, 18)[0] - few < (run(False, 18)[0] - many) / 3


def test_bad_input_is_one_sentence(net, images) -> None:
    sentence(lambda: net(images, 0), "steps is 0", "a whole number from 1")
    sentence(lambda: net(images, 2.5), "steps is 2.5")
    sentence(lambda: net(images[:, :1]), "[3, 1, 32, 32]", "[B, 3, H, W]")
    sentence(lambda: net(images[0]), "[B, 3, H, W]")
    sentence(lambda: net((images * 10).to(torch.uint8)), "uint8", "floating-point")
    sentence(lambda: net(images, record=vs.Record("conv9")), "'conv9'", "did you mean 'conv")
    sentence(lambda: net(images, record=vs.Record("conv3", steps=[10])), "step 10", "steps 0 to 9")
    sentence(lambda: net(images, record=vs.Record("conv1", of="state")), "no cell")
    sentence(lambda: vs.Record("conv3", reduce="men"), "did you mean 'mean'")
    sentence(lambda: vs.Record([]), "at least one area")
    sentence(lambda: net(images, presentation=vs.Masked(on=1, mask=1)), "shows 'mask'", "image")
    sentence(lambda: net(images[:, None], 4, presentation=vs.Movie()), "1 frames", "4 steps")
    sentence(lambda: net(images)["conv3"], "recorded area 'conv3'")
    sentence(lambda: net(images)[["conv3"]], "a recorded area is ['conv3']", "its name")
    sentence(lambda: net({"picture": images, 2: images}), "shows 'image'", "['2', 'picture']")
    sentence(lambda: net(torch.randn(1, 3, 32, 32)).__getitem__("x"), "there are none")
    windows, image = vs.create_model("cornet_s", seed=0), torch.randn(1, 3, 64, 64)
    sentence(lambda: windows(image, 3), "3 steps are too few", "step 7")
    sentence(lambda: windows(image, record=vs.Record("IT", steps=[2])), "exists from step 7")


def test_arguments_of_another_type_are_one_sentence(net, images) -> None:
    sentence(lambda: net(images, presentation="masked"), "presentation is 'masked'", "vs.Masked(")
    sentence(
        lambda: net(images, presentation=vs.Flash), "the function Flash", "a Presentation, such as vs.Flash(on=10)"
    )
    sentence(lambda: net(images, presentation={}), "presentation is {}", "a Presentation")
    sentence(lambda: net.decide(images, presentation="flash"), "vs.Flash(on=10)")
    sentence(lambda: net(images, readout="mean"), "readout is 'mean'", "vs.Mean()", "'own' or None")
    sentence(lambda: net(images, readout=vs.PerStep), "the class PerStep", "a Readout")
    for record in (["conv3"], "conv3", {"conv3"}, vs.Record, [vs.Record("conv3"), "conv4"]):
        sentence(lambda record=record: net(images, record=record), "record is", "vs.Record(['V1', 'IT'])")
    for state in (net(images), {}, (1,), 3):
        sentence(lambda state=state: net(images, state=state), "state is", "a NetworkState")
        sentence(lambda state=state: net.step(images, state), "state is", "a NetworkState")
    for shown in (None, "images", [images], {"image": [1]}, images.to_sparse()):
        sentence(lambda shown=shown: net(shown), "the image is", "a dense tensor or array [B, 3, H, W]")
    sentence(lambda: net.step(images[0]), "the frame is a Tensor of shape [3, 32, 32]", "[B, 3, H, W]")
    sentence(lambda: net.step(images[:, :2]), "the frame is a Tensor of shape [3, 2, 32, 32]", "[B, 3, H, W]")
    sentence(lambda: net(images.to("meta")), "the image is on meta, the network on cpu")
    for steps in ("7", 7.0, np.float64(7), True, np.True_, [7]):
        sentence(lambda steps=steps: net(images, steps), "steps is", "a whole number")
        sentence(lambda steps=steps: net.decide(images, steps=steps), "steps is", "a whole number")


@pytest.mark.parametrize("kind", [np.int64, np.int8, np.uint16])
def test_whole_numbers_of_any_kind_are_steps(net, images, kind) -> None:
    assert net(images, kind(7)).steps == (6,) and type(net(images, kind(7)).steps[0]) is int
    assert net.decide(images, 1.0, kind(7)).step.max() <= 6


def test_arrays_are_taken_as_images(net, images) -> None:
    expected = net(images).output
    array = images.numpy()
    read_only = array.copy()
    read_only.flags.writeable = False
    for x in (array, read_only, array.astype("f8"), array.astype(">f4"), array.astype(np.longdouble)):
        torch.testing.assert_close(net(x).output, expected)
    torch.testing.assert_close(net(array[..., ::-1]).output, net(images.flip(-1)).output)
    torch.testing.assert_close(net.decide(array, 1.0).logits, net.decide(images, 1.0).logits)
    both = {"image": array, "mask": array}
    assert net(both, presentation=vs.Masked(on=3, mask=4)).output.shape == (3, 10)
    assert net.step(array)[1].step == 1
    sentence(lambda: net((array * 10).astype("u1")), "uint8", "floating-point")
    sentence(lambda: net(np.ma.masked_less(array, 0)), "MaskedArray")
    sentence(lambda: net(array.astype(object)), "a dense tensor or array")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_networks_of_any_precision_take_images_of_any(net, images, dtype) -> None:
    exact, other = net(images), copy.deepcopy(net).to(dtype)
    for x in (images, images.half(), images.double()):
        out = other(x, record=vs.Record("conv5", 9), return_state=True)
        assert out.output.dtype is out["conv5"].values.dtype is out.state.cells["conv3"][0].dtype is dtype
        torch.testing.assert_close(out.output.float(), exact.output, rtol=0.05, atol=0.05)
        assert other.decide(x, 0.5).logits.dtype is other.step(x)[1].cells["conv3"][0].dtype is dtype
        assert net(x).output.dtype is torch.float32
    assert other(images, 2, state=net(images, 4, return_state=True).state).output.dtype is dtype


def test_gradients_of_images(net, images) -> None:
    x = images.clone().requires_grad_()
    (single,) = torch.autograd.grad(net(x).output[:, 2].sum(), x)
    (double,) = torch.autograd.grad(net(x.double()).output[:, 2].sum(), x)
    assert single.shape == x.shape and single.any()
    torch.testing.assert_close(single, double)


def test_no_images_give_no_answers(net, images) -> None:
    assert net(images[:0]).output.shape == net.decide(images[:0]).logits.shape == (0, 10)
    assert repr(net.decide(images[:0])) and net.step(images[:0])[1].step == 1


def test_a_state_that_does_not_fit_is_one_sentence(net, images) -> None:
    state = net(images, 4, return_state=True).state
    for carry_on in (lambda x, s: net(x, 2, state=s), net.step):
        sentence(lambda f=carry_on: f(images[:2], state), "the state is of a batch of 3, the stimulus of 2")
        sentence(lambda f=carry_on: f(torch.randn(3, 3, 48, 48), state), "'conv1' is [32, 16, 16]", "48 x 48")
        sentence(lambda f=carry_on: f(images, state.map(lambda x: x.to("meta"))), "the state is on meta")
    for other in ("ff_shallow_cifar", "cornet_rt", "gru_shallow_cifar"):
        net2 = vs.create_model(other, seed=0, num_classes=10)
        x = torch.randn(3, *net2.spec.input_shape)
        sentence(lambda n=net2, x=x: n(x, 9, state=state), "the state", other)
    without = vs.NetworkState(state.step, state.outputs, {})
    sentence(lambda: net(images, 2, state=without), "the state is of another network", "'conv")


def test_two_threads_at_once(net, images) -> None:
    def work(number: int) -> torch.Tensor:
        x = images + number
        grad = torch.autograd.grad(net(x, 6 + number % 3).output.sum(), net.areas["conv3"].parameters())
        return torch.cat([net.decide(x, 0.2).logits.flatten(), *(g.flatten() for g in grad)])

    expected = [work(number) for number in range(6)]
    net._plans = type(net._plans)()
    with ThreadPoolExecutor(2) as pool:
        for found, wanted in zip(pool.map(work, range(6)), expected, strict=True):
            torch.testing.assert_close(found, wanted)


class Labelled(vs.Network):
    """A user's own kind of network."""

    def __init__(self, spec: vs.NetworkSpec, labels: list[str]) -> None:
        super().__init__(spec)
        self.labels = labels

    def forward(self, *args, **options):
        out = super().forward(*args, **options)
        return [self.labels[i] for i in out.output.argmax(-1)]

    def extra_repr(self) -> str:
        return f"{len(self.labels)} labels"


def test_a_sub_class_is_a_network(images) -> None:
    net = Labelled(vs.model_spec("ff_shallow_cifar"), list("abcdefghij")).eval()
    assert net(images) == copy.deepcopy(net)(images) == pickle.loads(pickle.dumps(net))(images)
    assert net.decide(images).step.shape == (3,) and net.step(images)[1].step == 1
    assert repr(net).startswith("Labelled 'ff_shallow_cifar': ") and "10 labels" in repr(net)


def test_past_the_last_norm(images) -> None:
    spec = vs.model_spec("recurrent3_cifar", steps=4)
    net = build(spec, seed=0).eval()
    assert net(images, 9).output.isfinite().all()
    text = spec.to_text().replace('"past_end": "last"', '"past_end": "error"')
    strict = build(vs.spec_from_json(text), seed=0).eval()
    sentence(lambda: strict(images, 9), "past_end='error'", "3 steps")
    strict(images, 4)


def test_saved_networks_are_checked(net, tmp_path) -> None:
    vs.save_network(net, tmp_path)
    tensors = tmp_path / "model.safetensors"
    whole = tensors.read_bytes()
    tensors.write_bytes(whole[: len(whole) // 2])
    sentence(lambda: vs.load_network(tmp_path), "truncated")
    tensors.write_bytes(whole)
    vs.save_network(vs.create_model("gru_shallow_cifar", seed=0), tmp_path / "other")
    (tmp_path / "other" / "config.json").write_text(net.spec.to_text())
    sentence(lambda: vs.load_network(tmp_path / "other"), "does not fit", "missing", "left over")
    tensors.unlink()
    sentence(lambda: vs.load_network(tmp_path), "no model.safetensors")
    sentence(lambda: vs.load_network(tmp_path / "nowhere"), "holds no saved network")
