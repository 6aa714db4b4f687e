import pytest
import torch

from ventralstream.brain.mapping.design import Design
from ventralstream.device import choose_device
from ventralstream.errors import VentralError


@pytest.fixture
def machine(monkeypatch):
    """A machine with these GPUs."""

    def have(cuda=0, mps=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return have


def test_auto_takes_the_gpu_there_is_also_apples(machine):
    machine(cuda=2, mps=True)
    assert choose_device() == torch.device("cuda") and choose_device("cuda:1").index == 1
    machine(mps=True)
    assert choose_device("auto") == choose_device(None) == torch.device("mps")
    machine()
    assert choose_device() == choose_device(torch.device("cpu")) == torch.device("cpu")


def test_what_needs_double_precision_leaves_apples_gpu_alone(machine):
    machine(mps=True)
    assert choose_device("auto", double=True) == torch.device("cpu")
    assert Design([[1.0, 2.0], [3.0, 5.0]]).device == torch.device("cpu")  # linear maps are fitted in float64
    with pytest.raises(VentralError, match="float64"):
        choose_device("mps", double=True)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cude", "unknown device 'cude'; did you mean 'cuda'"),
        ("cuda:x", "unknown device 'cuda:x'"),
        ("auto:1", "unknown device 'auto:1'"),
        ("", "unknown device ''"),
        ("cuda:7", "the device 'cuda:7' is not here: torch finds 2 CUDA GPUs"),
        ("mps", "torch finds no Apple GPU"),
        ("cpu:1", "there is one processor"),
    ],
)
def test_a_device_that_is_not_there_is_a_sentence(machine, name, message):
    machine(cuda=2)
    with pytest.raises(VentralError, match=message):
        choose_device(name)
