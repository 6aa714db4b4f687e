"""The forms of a convolution: as exact as torch's own, with exact gradients, also of a kernel used at many steps."""

from __future__ import annotations

import gc
import sys
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import forward_ad

import ventralstream as vs
from ventralstream.layers.cpu import convolution, product, winograd

SIZES = [(8, 8), (7, 13), (4, 5), (28, 28)]


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch):
    """Makes every convolution take a form other than torch's, whatever its size."""

    def choose(form: str) -> None:
        def chosen(x, dtype, weight, geometry, of_gradient=False):
            fits = weight.shape[2:] == (3, 3) and geometry == (1, 1, 1)
            return form if form != "winograd" or fits else "product"

        monkeypatch.setattr(convolution, "_form", chosen)

    return choose


@pytest.mark.parametrize("size", SIZES)
def test_winograd_equals_the_direct_convolution_and_its_gradients_in_float64(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 5, *size, dtype=torch.double).requires_grad_()
    w = torch.randn(6, 5, 3, 3, dtype=torch.double).requires_grad_()
    direct = F.conv2d(x, w, padding=1)
    grad = torch.randn_like(direct)
    into_x, into_w = torch.autograd.grad(direct, (x, w), grad)
    with torch.no_grad():
        torch.testing.assert_close(winograd.convolve(x, winograd.transform(w)), direct)
        torch.testing.assert_close(winograd.convolve(grad, winograd.transform_back(w)), into_x)
        torch.testing.assert_close(winograd.kernel_gradient(winograd.gradient_products(x, grad)), into_w)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(1, 1, 0), (1, 2, 0), (3, 1, 1), (3, 2, 1), (5, 2, 0), (4, 3, 2)]
)
@pytest.mark.parametrize("chunk", [1, 2**24])
def test_product_equals_the_direct_convolution_and_its_gradients(
    size: tuple[int, int], kernel: int, stride: int, padding: int, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if min(size) + 2 * padding < kernel:
        return
    monkeypatch.setattr(product, "_CHUNK", chunk)
    torch.manual_seed(0)
    x = torch.randn(3, 5, *size, dtype=torch.double).requires_grad_()
    w = torch.randn(6, 5, kernel, kernel, dtype=torch.double).requires_grad_()
    direct = F.conv2d(x, w, stride=stride, padding=padding)
    grad = torch.randn_like(direct)
    into_x, into_w = torch.autograd.grad(direct, (x, w), grad)
    with torch.no_grad():
        torch.testing.assert_close(product.convolve(x, w, stride, padding), direct)
        torch.testing.assert_close(product.input_gradient(grad, w, x, stride, padding), into_x)
        torch.testing.assert_close(product.kernel_gradient(x, grad, w, stride, padding), into_w)


@pytest.mark.parametrize("channels", [64, 256])
def test_float32_errors_are_those_of_the_direct_convolution(channels: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(4, channels, 28, 28).to(memory_format=torch.channels_last)
    w = torch.randn(2 * channels, channels, 3, 3) / (9 * channels) ** 0.5
    exact = F.conv2d(x.double(), w.double(), padding=1)
    for found in (winograd.convolve(x, winograd.transform(w)), product.convolve(x, w, 1, 1)):
        assert (found - exact).abs().max() < 3e-5, "outputs have unit variance; the references' tolerance is 1e-4"


@pytest.mark.parametrize("form", ["winograd", "product"])
@pytest.mark.parametrize("remat", [False, True])
def test_a_network_has_the_same_gradients_in_every_form(form: str, remat: bool, always) -> None:
    net = vs.create_model("cornet_s", seed=0, input_shape=(3, 32, 32), num_classes=5, scale=1).double()
    x = torch.randn(3, 3, 32, 32, dtype=torch.double, generator=torch.Generator().manual_seed(0)).requires_grad_()
    results = []
    for fast in (True, False):
        net.fast_convolutions = fast
        always(form)
        loss = net.train()(x, remat=remat and fast).output.square().mean()
        results.append((loss, *torch.autograd.grad(loss, [x, *net.parameters()])))
    torch.testing.assert_close(*results)


@pytest.mark.parametrize(
    ("channels", "size", "stride", "forms"),
    [
        (16, 8, 1, {("torch", False)}),  # torch's gradient too: the whole convolution is left to torch
        (128, 28, 1, {("winograd", False), ("winograd", True)}),
        (128, 28, 2, {("torch", False)}),
        (256, 2, 1, {("torch", False), ("product", True)}),  # most of a tile would be empty
        (256, 8, 2, {("torch", False), ("product", True)}),
        (1024, 4, 2, {("product", False), ("product", True)}),
    ],
)
def test_the_sizes_choose_the_form(
    channels: int, size: int, stride: int, forms: set[tuple[str, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = set()
    choose = convolution._form

    def spy(*args, of_gradient: bool = False):
        form = choose(*args, of_gradient=of_gradient)
        if not of_gradient or sys._getframe(1).f_code.co_name == "_count":
            taken.add((form, of_gradient))
        return form

    monkeypatch.setattr(convolution, "_form", spy)
    torch.manual_seed(0)
    x = torch.randn(48 if size == 2 else 3, channels, size, size).to(memory_format=torch.channels_last).requires_grad_()
    w = (torch.randn(channels, channels, 3, 3) / channels**0.5).requires_grad_()
    found = convolution.within(convolution.Store(), convolution.convolve)(x, w, None, stride, 1)
    direct = F.conv2d(x, w, None, stride, 1)
    grad = torch.randn_like(direct)
    for a, b in zip(
        (found, *torch.autograd.grad(found, (x, w), grad)),
        (direct, *torch.autograd.grad(direct, (x, w), grad)),
        strict=True,
    ):
        assert (a - b).norm() < 1e-5 * b.norm()
    assert taken == forms


def _kernel_used_twice(always) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    always("product")
    torch.manual_seed(0)
    x = torch.randn(2, 4, 6, 6, dtype=torch.double).requires_grad_()
    w = torch.randn(4, 4, 3, 3, dtype=torch.double).requires_grad_()

    def step(y):
        return convolution.convolve(y, w, None, 1, 1).tanh()

    call = convolution.within(convolution.Store(), step)
    return x, w, call(call(x))


def test_gradients_of_parts_of_a_graph_and_of_a_graph_used_again(always) -> None:
    x, w, y = _kernel_used_twice(always)
    direct = F.conv2d(F.conv2d(x, w, padding=1).tanh(), w, padding=1).tanh()
    expected_x, expected_w = torch.autograd.grad(direct.square().sum(), (x, w))
    loss = y.square().sum()
    # without the kernel: what was collected for it must not enter the next pass
    torch.testing.assert_close(torch.autograd.grad(loss, x, retain_graph=True)[0], expected_x)
    for _ in range(2):
        torch.testing.assert_close(torch.autograd.grad(loss, w, retain_graph=True)[0], expected_w)
    loss.backward()
    torch.testing.assert_close((x.grad, w.grad), (expected_x, expected_w))


def test_a_backward_pass_inside_another_has_sums_of_its_own(always) -> None:
    x, w, y = _kernel_used_twice(always)
    direct = F.conv2d(F.conv2d(x, w, padding=1).tanh(), w, padding=1).tanh()
    (expected,) = torch.autograd.grad(direct.square().sum(), w, retain_graph=True)
    (other,) = torch.autograd.grad(direct.sum(), w)
    inner: list[torch.Tensor | None] = []
    handle = y.sum()

    def hook() -> None:
        if not inner:  # the inner pass comes by here too
            inner.append(None)
            inner[0] = torch.autograd.grad(handle, w, retain_graph=True)[0]

    first = y.grad_fn.next_functions[0][
        0
    ]  # the last convolution: the outer pass is in the middle of the kernel's steps
    first.register_hook(lambda *_: hook())
    y.square().sum().backward(retain_graph=True)
    torch.testing.assert_close(inner[0], other)
    torch.testing.assert_close(w.grad, expected)


def test_nothing_stays_alive(always) -> None:
    always("product")
    x, w = torch.randn(1, 8, 2, 2, requires_grad=True), torch.randn(8, 8, 3, 3, requires_grad=True)
    for wanted in ((x,), (w,), (x, w)):
        store = convolution.Store()
        call = convolution.within(store, convolution.convolve)
        y = call(call(x, w, None, 1, 1).tanh(), w, None, 1, 1).sum()
        torch.autograd.grad(y, wanted)
        seen = weakref.ref(store)
        del store, call, y
        gc.collect()
        assert seen() is None


def test_gradients_of_gradients(always) -> None:
    always("product")
    torch.manual_seed(0)
    x = torch.randn(1, 2, 4, 4, dtype=torch.double).requires_grad_()
    w = torch.randn(2, 2, 3, 3, dtype=torch.double).requires_grad_()

    def step(y, w):
        return convolution.convolve(y, w, None, 1, 1).tanh()

    def twice(x, w):
        call = convolution.within(convolution.Store(), step)
        return call(call(x, w), w)

    assert torch.autograd.gradgradcheck(twice, (x, w))


@pytest.mark.parametrize("form", ["winograd", "product"])
def test_gradients_of_several_outputs_at_once(form: str, always) -> None:
    always(form)
    x, w, y = _kernel_used_twice(always)
    direct = F.conv2d(F.conv2d(x, w, padding=1).tanh(), w, padding=1).tanh()
    grads = torch.randn(3, *y.shape, dtype=torch.double)
    found = torch.autograd.grad(y, (x, w), grads, is_grads_batched=True)
    torch.testing.assert_close(found, torch.autograd.grad(direct, (x, w), grads, is_grads_batched=True))


def test_forward_mode_is_left_to_torch(always) -> None:
    always("product")
    x, w = torch.randn(2, 4, 6, 6), torch.randn(4, 4, 3, 3)
    call = convolution.within(convolution.Store(), lambda x, w: convolution.convolve(x, w, None, 1, 1))
    for tangents in ((torch.ones_like(x), torch.zeros_like(w)), (torch.zeros_like(x), torch.ones_like(w))):
        with forward_ad.dual_level():
            found = forward_ad.unpack_dual(call(*map(forward_ad.make_dual, (x, w), tangents)))
        expected = torch.func.jvp(lambda x, w: F.conv2d(x, w, padding=1), (x, w), tangents)
        torch.testing.assert_close((found.primal, found.tangent), expected)


def test_what_other_forms_cannot_do_is_left_to_torch(always) -> None:
    always("product")
    call = convolution.within(convolution.Store(), convolution.convolve)
    w = torch.randn(4, 4, 3, 3)
    assert call(torch.randn(0, 4, 6, 6), w, None, 1, 1).shape == (0, 4, 6, 6)
    x = torch.randn(2, 4, 6, 6)

    def loss(weight: torch.Tensor, f) -> torch.Tensor:
        return f(x, weight, None, 1, 1).square().sum()

    torch.testing.assert_close(torch.func.grad(loss)(w, call), torch.func.grad(loss)(w, F.conv2d))
    half = call(x.bfloat16(), w.bfloat16(), None, 1, 1)
    assert torch.equal(half, F.conv2d(x.bfloat16(), w.bfloat16(), None, 1, 1))


def test_a_kernel_that_is_not_trained_gets_no_gradient(always) -> None:
    always("product")
    x = torch.randn(2, 4, 6, 6, dtype=torch.double).requires_grad_()
    w = torch.randn(4, 4, 3, 3, dtype=torch.double)
    y = convolution.within(convolution.Store(), convolution.convolve)(x, w, torch.ones(4, dtype=torch.double), 1, 1)
    direct = F.conv2d(x, w, torch.ones(4, dtype=torch.double), padding=1)
    torch.testing.assert_close(y, direct)
    grads = [torch.autograd.grad(z.square().sum(), x)[0] for z in (y, direct)]
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize("form", ["winograd", "product"])
@pytest.mark.parametrize("learns", [False, True])
def test_compiled_stages_use_the_other_forms_too(form: str, learns: bool, always, monkeypatch) -> None:
    used = []
    forward = convolution._forward

    def counted(*args):
        used.append(args[-2])
        return forward(*args)

    monkeypatch.setattr(convolution, "_forward", counted)
    always(form)
    torch.manual_seed(0)
    x = torch.randn(2, 4, 6, 6, dtype=torch.double).requires_grad_(learns)
    w = torch.randn(4, 4, 3, 3, dtype=torch.double).requires_grad_(learns)

    def step(y):
        return convolution.convolve(y.tanh(), w, torch.ones(4, dtype=torch.double), 1, 1).tanh()

    results = []
    for call in (step, torch.compile(step, backend="aot_eager")):
        call = convolution.within(convolution.Store(), call)
        y = call(call(x))
        results.append((y, *(torch.autograd.grad(y.square().sum(), (x, w)) if learns else ())))
    torch.testing.assert_close(*results)
    assert used == [form] * 4


def test_compiled_stages_leave_all_to_torch_if_told_to(always, monkeypatch) -> None:
    always("product")
    monkeypatch.setattr(convolution, "_forward", lambda *_: pytest.fail("another form was used"))
    net = vs.create_model("cornet_z", seed=0, input_shape=(3, 32, 32), num_classes=5).eval()
    net.fast_convolutions = False
    x = torch.randn(2, 3, 32, 32)
    expected = net(x).output
    net.compile(backend="eager")
    torch.testing.assert_close(net(x).output, expected)


def test_what_compiled_graphs_call_is_a_proper_operator() -> None:
    x = torch.randn(2, 4, 6, 6, dtype=torch.double).to(memory_format=torch.channels_last).requires_grad_()
    w = torch.randn(3, 4, 3, 3, dtype=torch.double).to(memory_format=torch.channels_last).requires_grad_()
    for stride, form in ((1, "winograd"), (2, "product"), (1, "torch")):
        torch.library.opcheck(convolution._in_graph, (x, w, stride, 1, form))


@pytest.mark.parametrize("size", [4, 8])
def test_under_autocast_gradients_of_all_steps_are_summed_in_the_kernels_own_type(size: int) -> None:
    net = vs.create_model("rgc_shallow_cifar", seed=0, input_shape=(3, 4 * size, 4 * size)).train()
    x = torch.randn(6, 3, 4 * size, 4 * size, generator=torch.Generator().manual_seed(0))
    results = {}
    for name, lower, fast in (("exact", False, False), ("ours", True, True), ("torch's", True, False)):
        net.fast_convolutions = fast
        with torch.autocast("cpu", torch.bfloat16, enabled=lower):
            loss = net(x).output.float().logsumexp(1).sum()
        results[name] = torch.autograd.grad(loss, list(net.parameters()))
    assert all(g.dtype == torch.float32 for g in results["ours"])
    errors = {
        name: sum(float((g - e).norm() / e.norm()) for g, e in zip(results[name], results["exact"], strict=True))
        for name in ("ours", "torch's")
    }
    assert 0 < errors["ours"] < 1.2 * errors["torch's"], "of the same order: both multiply in half precision"


def test_autocast_takes_kernels_to_half_precision_once_an_unroll(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    conv2d = F.conv2d
    monkeypatch.setattr(convolution.F, "conv2d", lambda x, w, *a, **k: asked.append(w) or conv2d(x, w, *a, **k))
    net = vs.create_model("rgc_shallow_cifar", seed=0).eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        net(torch.randn(2, 3, 32, 32))
    assert {w.dtype for w in asked} == {torch.bfloat16}
    assert len({w.data_ptr() for w in asked}) < len(asked), "the same tensor at several steps"


@pytest.mark.parametrize("form", ["torch", "product"])
def test_gradients_of_gradients_under_autocast(form: str, always) -> None:
    always(form)
    x = torch.randn(2, 8, 4, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    w = torch.randn(8, 8, 3, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()
    found = []
    for convolve in (convolution.within(convolution.Store(), convolution.convolve), F.conv2d):
        with torch.autocast("cpu", torch.bfloat16):
            y = convolve(x, w, None, 1, 1).float()
        (into,) = torch.autograd.grad(y.square().sum(), w, create_graph=True)
        found.append((y, into, *torch.autograd.grad(into.square().sum(), (x, w))))
    for a, b in zip(*found, strict=True):
        assert a.dtype == torch.float32
        assert (a - b).norm() < 0.02 * b.norm()
