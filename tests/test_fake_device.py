"""Mistakes of devices without a GPU: every model on a "cuda" that knows shapes only, where no number can be read."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

import ventralstream as vs
from ventralstream.cells import Decay

CUDA = torch.device("cuda", 0)
pytestmark = pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")


class _Halving(TorchDispatchMode):
    """Where the numbers decide how many images go on (early exit has to read them), the first half does."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.nonzero.default:
            return torch.arange(len(args[0]) // 2, device=args[0].device)[:, None]
        if func is torch.ops.aten.index.Tensor and args[1][0].dtype == torch.bool:
            return args[0][: len(args[0]) // 2]
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", vs.list_models())
def test_every_model_runs_where_no_number_can_be_read(name: str) -> None:
    with torch.device("meta"):
        net = vs.create_model(name)
    with FakeTensorMode():
        steps = min(net.spec.steps, net.first_steps[net.spec.readout_area] + 2)
        net._apply(lambda x: torch.empty(x.shape, dtype=x.dtype, device=CUDA))
        images = torch.zeros(4, *net.spec.input_shape, device=CUDA)
        record = vs.Record([a.name for a in net.spec.areas], reduce="mean")
        out = net(images, steps, record=record, return_state=True)
        carried = net(images, 1, state=out.state)
        recorded = [r.values for r in out.recordings[0].values()]
        for x in (out.output, out.decided_step, carried.logits, *recorded, *out.state.tensors()):
            assert x.device == CUDA
        net.eval()
        with _Halving():
            decision = net.decide(images, steps=steps)
        assert decision.logits.device == decision.step.device == CUDA


def test_a_number_that_is_read_is_seen() -> None:
    """What the test above relies on: reading raises, and so do operands on two devices."""
    with FakeTensorMode():
        x = torch.zeros(2, device=CUDA)
        with pytest.raises(DataDependentOutputException):
            x.sum().item()
        with pytest.raises(RuntimeError, match="found at least two devices"):
            x + torch.zeros(2)


class _Reads(TorchDispatchMode):
    """Counts the numbers that are read."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def test_whether_a_decay_forgets_is_read_only_after_it_was_written_to() -> None:
    cell = Decay(trainable=False).build((1, 1, 1), (1, 1, 1), 0).double()
    with _Reads() as reads:
        assert cell.forgets() and reads.count == 0
        cell.tau.fill_(0.5)
        assert not cell.forgets() and not cell.forgets() and reads.count == 1
        cell.float()
        assert not cell.forgets() and reads.count == 1
        cell.load_state_dict({"tau": torch.zeros(1)})
        assert cell.forgets() and reads.count == 2
        cell.load_state_dict({"tau": torch.ones(1)}, assign=True)
        assert not cell.forgets() and reads.count == 3
