"""What makes small networks learn: Muon, averaged weights, a whitening first layer, starts near the identity."""

import copy

import pytest
import torch
import torch.nn.functional as F

import ventralstream as vs
from ventralstream.cost import cost, training_flops
from ventralstream.errors import VentralError
from ventralstream.layers.specs import Act, Conv, GlobalPool, Linear, Norm, Pool
from ventralstream.models import build
from ventralstream.models.convrnn import chain
from ventralstream.spec import Area, NetworkSpec
from ventralstream.training import SGD, Muon, RandomStepLoss
from ventralstream.training.averaging import Average
from ventralstream.training.folder import open_run
from ventralstream.training.metrics import read_rows
from ventralstream.training.muon import orthogonalise
from ventralstream.training.run import resume, train
from ventralstream.training.whitening import whiten


@pytest.fixture
def wide() -> NetworkSpec:
    """One with filters of eight channels, for Muon."""
    areas = (
        Area("v1", (Conv(8, 3), Norm(), Act("relu")), output=(Pool(),)),
        Area("it", (Conv(12, 3, bias=False), Norm(), Act("relu"))),
        Area("decoder", (GlobalPool(), Linear(10))),
    )
    return NetworkSpec("wide", areas, chain(areas), "decoder", (1, 16, 16), 4, mean=(0.5,), std=(0.5,))


@pytest.mark.parametrize("shape", [(2, 8, 72), (1, 40, 8), (3, 16, 16)])
def test_orthogonalised_matrices_keep_their_directions_and_have_equal_singular_values(shape):
    torch.manual_seed(0)
    matrices = torch.randn(shape)
    found = orthogonalise(matrices)
    for before, after in zip(matrices, found, strict=True):
        u, _, v = torch.linalg.svd(before, full_matrices=False)
        values = torch.linalg.svdvals(after)
        assert values.min() > 0.5 and values.max() < 1.3  # five rounds only get near
        assert F.cosine_similarity((u @ v).flatten(), after.flatten(), dim=0) > 0.95


def test_muon_moves_matrices_as_torchs_own_does():
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(8, 12, 3, bias=False)
    kernel = conv.weight
    torch.nn.init.normal_(kernel)
    matrix = torch.nn.Parameter(kernel.detach().reshape(12, 72).clone())
    ours = Muon(lr=0.02, weight_decay=0.1, momentum=0.8).build(conv)
    theirs = torch.optim.Muon([matrix], lr=0.02, weight_decay=0.1, momentum=0.8)
    for _ in range(4):
        matrix.grad = torch.randn(12, 72)
        kernel.grad = matrix.grad.view_as(kernel).clone()
        ours.step()
        theirs.step()
    # torch's running mean weighs the newest gradient by 1 - momentum, which the length of the step does not feel;
    # both round to bfloat16 on the way
    torch.testing.assert_close(kernel.detach().view(12, 72), matrix.detach(), rtol=0, atol=2e-3)


def test_muons_other_parameters_move_as_adamw_moves_them():
    torch.manual_seed(0)
    ours, theirs = (torch.nn.Linear(3, 2) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    muon = Muon(weight_decay=0.1, momentum=0.8, other_lr=0.03).build(ours)
    groups = [{"params": [theirs.weight], "weight_decay": 0.1}, {"params": [theirs.bias], "weight_decay": 0.0}]
    adamw = torch.optim.AdamW(groups, lr=0.03, betas=(0.8, 0.95))
    for _ in range(3):
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        muon.step()
        adamw.step()
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())


def test_muon_takes_filters_alone(wide):
    network = build(wide)
    groups = Muon(lr=0.04, other_lr=0.02).build(network).param_groups
    assert [[tuple(p.shape) for p in g["params"]] for g in groups if g["orthogonal"]] == [[(12, 8, 3, 3)]]
    assert {(g["lr"], g["weight_decay"]) for g in groups} == {(0.04, 0.05), (0.02, 0.05), (0.02, 0.0)}
    assert sum(len(g["params"]) for g in groups) == len(list(network.parameters()))


def test_muon_leaves_maps_alone():
    network = vs.create_model("lstm_shallow", num_classes=10, input_shape=(3, 128, 128))
    maps = {id(p) for name, p in network.named_parameters() if "peepholes" in name}
    groups = Muon().build(network).param_groups
    assert maps and not any(id(p) in maps for g in groups if g["orthogonal"] for p in g["params"])


def test_shared_kernels_are_averaged_once():
    network = vs.create_model("recurrent3_one_kernel_cifar", seed=0)
    average, before = Average(network, 0.9, {}), copy.deepcopy(network.state_dict())
    with torch.no_grad():
        for p in network.parameters():
            p.add_(1.0)
    average.add(network, 10**6)
    for name, _ in network.named_parameters(remove_duplicate=False):
        moved = average.network.state_dict()[name] - before[name]
        torch.testing.assert_close(moved, torch.full_like(moved, 0.1), msg=name)


@pytest.mark.parametrize("after", [3, 6, 9])
def test_a_run_with_all_of_it_goes_on_exactly(tmp_path, after, wide, recipe, place, stop, weights):
    recipe = recipe.replace(optimizer=Muon(), ema_decay=0.9, whiten=True)
    train(wide, recipe, tmp_path / "whole", place=place)
    out = tmp_path / "run"
    with pytest.raises(BaseException, match="power"):
        train(wide, recipe, out, place=place, after_batch=stop(after))
    resume(out)
    whole = weights(tmp_path / "whole")
    assert all(torch.equal(x, whole[name]) for name, x in weights(out).items())
    assert (out / "metrics.csv").read_text() == (tmp_path / "whole" / "metrics.csv").read_text()


def test_the_average_is_what_a_run_validates_and_saves(tmp_path, wide, recipe, place, weights):
    train(wide, recipe.replace(ema_decay=0.5), tmp_path / "averaged", place=place)
    train(wide, recipe, tmp_path / "plain", place=place)
    averaged, plain = weights(tmp_path / "averaged"), weights(tmp_path / "plain")
    network = build(open_run(tmp_path / "plain").load_network().spec, recipe.seed)
    average = Average(network, 0.5, {})
    assert list(averaged) == list(plain) == list(average.network.state_dict())
    assert not torch.equal(
        averaged["areas.it.drive_layers.layers.0.conv.weight"], plain["areas.it.drive_layers.layers.0.conv.weight"]
    )
    accuracy = [read_rows(tmp_path / name / "metrics.csv")[-1]["val_accuracy"] for name in ("averaged", "plain")]
    found = vs.load_network(tmp_path / "averaged")
    from ventralstream.data import Loader, load_set
    from ventralstream.evaluation import accuracy_per_step

    images = load_set("scenes", split="val", size=16, subset=20)
    assert accuracy_per_step(found, Loader(images, 20, train=False)).decision == pytest.approx(float(accuracy[0]))


def test_the_average_forgets_its_beginning_and_counts_are_the_newest(wide):
    network = build(wide, seed=0)
    average = Average(network, 0.9, {})
    name = "areas.it.drive_layers.layers.0.conv.weight"
    expected = network.state_dict()[name].clone()
    for batch in (1, 2, 3):
        with torch.no_grad():
            network.state_dict()[name].add_(batch)
            network.state_dict()["areas.v1.drive_layers.layers.1.norms.0.num_batches_tracked"].fill_(batch)
        average.add(network, batch)
        part = 1 - min(0.9, (1 + batch) / (10 + batch))
        expected += part * (network.state_dict()[name] - expected)
    torch.testing.assert_close(average.network.state_dict()[name], expected)
    assert average.network.state_dict()["areas.v1.drive_layers.layers.1.norms.0.num_batches_tracked"] == 3
    again = Average(network, 0.9, copy.deepcopy(average.network.state_dict()))
    torch.testing.assert_close(again.network.state_dict(), average.network.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["gru_shallow_cifar", "tied_resnet_cifar", "cornet_z"])
def test_the_first_layer_whitens_patches(name):
    torch.manual_seed(0)
    network = build(vs.model_spec(name), seed=0)
    images = F.avg_pool2d(torch.randn(60, 3, 36, 36), 5, 1)  # smooth, as images are: 32 px
    whiten(network, images)
    conv = next(m for m in network.modules() if isinstance(m, torch.nn.Conv2d))
    patches = F.unfold(images, conv.kernel_size).transpose(1, 2).flatten(0, 1)
    patches = patches - patches.mean(0)
    given = patches @ conv.weight.detach().flatten(1).T
    half = min(len(conv.weight) // 2, patches.shape[1])
    kept = given[:, :half]
    torch.testing.assert_close(given[:, half : 2 * half], -kept)
    strong = kept.var(0) > 0.5  # the others are below the noise that is added
    assert strong.sum() >= 3
    correlations = kept[:, strong].T @ kept[:, strong] / len(kept)
    torch.testing.assert_close(correlations, correlations.diag().diag(), atol=0.01, rtol=0)
    assert correlations.diag().max() <= 1.01


def test_a_network_whose_image_is_not_read_by_a_convolution_is_not_whitened():
    areas = (Area("v1", (Pool(), Conv(4))), Area("decoder", (GlobalPool(), Linear(10))))
    spec = NetworkSpec("pooled", areas, chain(areas), "decoder", (3, 32, 32), 3)
    with pytest.raises(VentralError, match="'pooled' cannot be whitened: its image is not read by a convolution"):
        whiten(build(spec), torch.randn(4, 3, 32, 32))


def test_a_network_that_is_trained_on_keeps_its_first_layer(tmp_path, wide, recipe, place):
    recipe = recipe.replace(whiten=True, epochs=1)
    train(wide, recipe, tmp_path / "first", place=place)
    train(tmp_path / "first", recipe, tmp_path / "second", place=place)
    from ventralstream.training.folder import Checkpoint

    name = "areas.v1.drive_layers.layers.0.conv.weight"
    begun = Checkpoint.read(tmp_path / "second" / "checkpoints" / "epoch_000_batch_000000").network[name]
    assert torch.equal(begun, vs.load_network(tmp_path / "first").state_dict()[name])


def test_kernels_near_the_identity_pass_channels_on(wide):
    network = build(wide.replace(init="identity"), seed=0)
    x = torch.randn(2, 8, 5, 5)
    conv = network.areas["it"].drive_layers.layers[0]
    torch.testing.assert_close(conv(x)[:, :8], x)
    assert conv(x)[:, 8:].std() > 0.1


def test_what_training_costs(tmp_path, wide, recipe, place):
    batch_norms = training_flops(wide)
    assert batch_norms == 3 * cost(wide)[0].flops_planned_batched  # each area matters at one step: nothing to merge
    twice = wide.replace(readout=vs.PerStep(start=2))
    # in training the batch's statistics make v1 another value at each step
    assert training_flops(twice) == 2 * training_flops(wide)
    result = train(wide, recipe, tmp_path / "run", place=place)
    assert result.pflop * 1e15 == pytest.approx(12 * 8 * batch_norms)
    longer = train(wide, recipe.replace(loss=RandomStepLoss(), optimizer=SGD()), tmp_path / "random", place=place)
    assert 0 < longer.pflop <= result.pflop
