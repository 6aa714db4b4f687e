"""The gradient of a batch on two processes, in micro-batches and in chunks of steps, is that of one process."""

from __future__ import annotations

import os
import random
import socket
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from small_network import without_chance

import ventralstream as vs
from ventralstream.errors import VentralError
from ventralstream.interrupt import Interruption
from ventralstream.layers.sync_norm import synchronise
from ventralstream.spec import NetworkSpec
from ventralstream.testing import naive
from ventralstream.training import MeanLoss, Place, RandomStepLoss, Recipe, WeightedLoss
from ventralstream.training.launch import Ranks, crew
from ventralstream.training.loss import DecisionLoss, Loss
from ventralstream.training.step import Step
from ventralstream.training.task import Task

PROCESSES = 2
BATCH = 8


CASES: dict[str, tuple[bool, Recipe]] = {
    "static graph": (True, Recipe(sync_norm=True)),
    "remat": (True, Recipe(sync_norm=True, remat=True)),
    "compiled": (True, Recipe(sync_norm=True, compile=True)),
    "bf16": (True, Recipe(sync_norm=True, precision="bf16")),
    "micro-batches": (False, Recipe(accumulate=2)),
    "chunks": (True, Recipe(sync_norm=True, tbptt=2, loss=MeanLoss(label_smoothing=0.1))),
    "chunks of micro-batches, recomputed": (False, Recipe(tbptt=2, accumulate=2, remat=True, loss=MeanLoss())),
    "a random step": (True, Recipe(sync_norm=True, loss=RandomStepLoss())),
}


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH, 1, 16, 16, generator=generator)
    return images * torch.arange(1, BATCH + 1)[:, None, None, None] / 4, torch.arange(BATCH)  # no two shares are alike


def found(name: str, rank: int, others) -> dict[str, torch.Tensor]:
    """What two batches leave of gradients and statistics, and the loss of the second."""
    norm, recipe = CASES[name]
    network = vs.build(without_chance(norm), seed=0)
    if others.world > 1 and recipe.sync_norm:
        synchronise(network)
    if recipe.compile:
        network.compile(backend="eager")
    fabric = others.fabric(Place(device="cpu", devices=others.world), recipe.precision, Interruption(), print)
    step = Step(Task(network, recipe.loss, recipe.remat).train(), recipe, fabric)
    images, labels = batch()
    for i in range(2):  # the first pass looks at the graph, the second relies on it
        network.zero_grad()
        view = recipe.loss.view(network.spec, random.Random(i))
        loss, right = step.gradient(images[rank :: others.world], labels[rank :: others.world], view)
    gradients = {f"gradient of {n}": p.grad for n, p in network.named_parameters() if p.grad is not None}
    return {**gradients, **dict(network.named_buffers()), "loss": loss, "right": right.float()}


def one_process(rank: int, folder: str, port: int) -> None:
    torch.set_num_threads(1)
    os.environ |= Ranks(rank, PROCESSES, rank, PROCESSES, "127.0.0.1", port, "the test").variables()
    with crew() as others:
        torch.save({name: found(name, rank, others) for name in CASES}, f"{folder}/{rank}.pt")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, torch.Tensor]]]:
    folder = tmp_path_factory.mktemp("processes")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # forked: a new interpreter takes longer to import torch than all of this takes
    torch.multiprocessing.start_processes(one_process, (str(folder), port), PROCESSES, start_method="fork")
    return [torch.load(folder / f"{rank}.pt") for rank in range(PROCESSES)]


@pytest.mark.parametrize("name", CASES)
def test_two_processes_do_what_one_does(name: str, shared) -> None:
    with crew() as alone:
        whole = found(name, 0, alone)
    ours = [results[name] for results in shared]
    mean_loss = sum(results.pop("loss") for results in ours) / PROCESSES
    rights = sum(results.pop("right") for results in ours)
    exact = {"rtol": 0.05, "atol": 0.02} if CASES[name][1].precision == "bf16" else {"rtol": 1e-4, "atol": 1e-6}
    torch.testing.assert_close(mean_loss, whole.pop("loss"), **exact)
    assert rights == whole.pop("right") or CASES[name][1].precision == "bf16"
    for results in ours:
        assert results.keys() == whole.keys()
        for key, value in whole.items():
            torch.testing.assert_close(results[key], value, msg=lambda text, key=key: f"{key}: {text}", **exact)


def gradients(network: vs.Network) -> dict[str, torch.Tensor]:
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


def one_step(recipe: Recipe, of: NetworkSpec) -> tuple[vs.Network, torch.Tensor]:
    network = vs.build(of, seed=0)
    with crew() as alone:
        fabric = alone.fabric(Place(device="cpu"), recipe.precision, Interruption(), print)
    step = Step(Task(network, recipe.loss, recipe.remat).train(), recipe, fabric)
    loss, _ = step.gradient(*batch(), recipe.loss.view(of, random.Random(0)))
    return network, loss


@pytest.mark.parametrize("remat", [False, True])
@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize(
    "loss", [MeanLoss(), DecisionLoss(), WeightedLoss(step_weights=(0.5, 0.0, 1.0))], ids=lambda x: x.tag
)
def test_chunks_are_a_naive_unroll_that_is_detached_between_them(loss: Loss, size: int, remat: bool) -> None:
    of = without_chance(norm=True).replace(steps=6)
    network, total = one_step(Recipe(tbptt=size, loss=loss, remat=remat), of)

    images, labels = batch()
    same = vs.build(of, seed=0).train()
    weights = {MeanLoss: [0, 0, 0.25, 0.25, 0.25, 0.25], DecisionLoss: [0] * 5 + [1]}.get(
        type(loss), [0, 0, 0, 1 / 3, 0, 2 / 3]
    )
    past, expected = None, torch.zeros(())
    for start in range(0, 6, size):
        steps = range(start, min(6, start + size))
        outputs, states = naive.unroll(same, [images] * len(steps), start, past)
        terms = [weights[t] * F.cross_entropy(outputs["decoder", t], labels) for t in steps if weights[t]]
        if terms:
            sum(terms).backward()
            expected = expected + sum(terms).detach()
        cut = {key: tuple(x.detach() for x in parts) for key, parts in states.items()}
        past = {key: x.detach() for key, x in outputs.items()}, cut
    torch.testing.assert_close(total, expected)
    mine = gradients(network)
    assert gradients(same).keys() <= mine.keys()
    for name, p in same.named_parameters():  # one that nothing depends on has none, or zeros where steps are stacked
        expected = torch.zeros_like(p) if p.grad is None else p.grad
        torch.testing.assert_close(mine.get(name, torch.zeros_like(p)), expected, rtol=1e-4, atol=1e-6, msg=name)


def test_micro_batches_are_one_batch() -> None:
    """To the precision of the numbers, where no normalisation sees the batch."""
    whole, loss = one_step(Recipe(), without_chance(norm=False))
    parts, sum_of_parts = one_step(Recipe(accumulate=4), without_chance(norm=False))
    torch.testing.assert_close(sum_of_parts, loss)
    for name, gradient in gradients(whole).items():
        torch.testing.assert_close(gradients(parts)[name], gradient, rtol=1e-4, atol=1e-6, msg=name)


def kept_for_the_backward_pass(steps: int, size: int | None) -> int:
    """The most numbers that one backward pass finds kept."""
    kept, most = 0, 0

    def pack(x: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += x.numel()
        return x

    class Fabric:
        world_size, autocast, strategy = 1, nullcontext, SimpleNamespace(setup_module=lambda task: task)

        @staticmethod
        def backward(objective: torch.Tensor) -> None:
            nonlocal kept, most
            most, kept = max(most, kept), 0
            objective.backward()

    recipe = Recipe(tbptt=size, loss=MeanLoss())
    network = vs.build(without_chance(norm=False).replace(steps=steps), seed=0)
    step = Step(Task(network, recipe.loss).train(), recipe, Fabric())  # type: ignore[arg-type]
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        step.gradient(*batch(), recipe.loss.view(network.spec, random.Random(0)))
    return most


def test_what_chunks_keep_does_not_grow_with_the_steps() -> None:
    assert kept_for_the_backward_pass(12, 4) == kept_for_the_backward_pass(40, 4) > 0
    assert kept_for_the_backward_pass(40, None) > 4 * kept_for_the_backward_pass(8, None)


def test_a_loss_of_several_steps_at_once_has_no_chunks() -> None:
    of = without_chance(norm=False).replace(readout=vs.readout.MaxConfidence())
    with pytest.raises(VentralError, match="the readout 'max_confidence' decides from several steps at once"):
        one_step(Recipe(tbptt=2), of)
