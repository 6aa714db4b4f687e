"""DistributedDataParallel on a network: two processes' gradients are one process's."""

from __future__ import annotations

import os

import pytest
import torch
import torch.nn.functional as F
from torch import distributed, nn

import ventralstream as vs
from ventralstream.cells import GRU
from ventralstream.models.convrnn import everywhere
from ventralstream.models.convrnn_cifar import shallow_small

PROCESSES = 2
RECORD = vs.Record("conv3", reduce="mean")


def network() -> vs.Network:
    return vs.build(shallow_small(everywhere(GRU()), 5, (4, 4, 4, 4, 4), (1, 16, 16), steps=6), seed=0)


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(4, 1, 16, 16, generator=generator), torch.tensor([0, 1, 2, 3])


def loss(net: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    out = net(images, record=RECORD, return_state=True)
    assert out.steps == (5,) and out["conv3"].times_ms[-1] == 50.0
    activity = out["conv3"].values.square().mean() + out.state.cells["conv3"][0].square().mean()
    return F.cross_entropy(out.output, labels) + activity


def one_process(rank: int, folder: str) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=PROCESSES)
    net = network()
    parallel = nn.parallel.DistributedDataParallel(net, static_graph=True)
    images, labels = batch()
    for _ in range(2):  # the first pass looks at the graph, the second relies on it
        net.zero_grad()
        loss(parallel, images[rank::PROCESSES], labels[rank::PROCESSES]).backward()
    torch.save([p.grad for p in net.parameters()], f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.skipif(not distributed.is_available(), reason="this torch has no torch.distributed")
def test_two_processes_average_their_gradients(tmp_path) -> None:
    torch.multiprocessing.start_processes(one_process, (str(tmp_path),), PROCESSES, start_method="fork")
    net = network()
    loss(net, *batch()).backward()
    for rank in range(PROCESSES):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert len(found) == len(list(net.parameters()))
        for p, gradient in zip(net.parameters(), found, strict=True):
            assert (p.grad is None) == (gradient is None)
            if gradient is not None:
                torch.testing.assert_close(gradient, p.grad, rtol=1e-4, atol=1e-6)
