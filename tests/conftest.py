import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

# Tests run in parallel processes. Threads of each that wait for one another cost far more than they bring; the
# libraries read this as they are imported, in the processes that tests start too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # for the files that several tests use: naive.py, originals.py, ...
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of numbers made by the original implementations."""
    from originals import FOLDER

    if not FOLDER.is_dir():
        pytest.skip("VENTRALSTREAM_REFERENCE does not name the folder of reference numbers")
    return FOLDER


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Puts signals' handlers back: a command, run in this process by a test, keeps its own until the process ends."""
    numbers = signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2
    before = [(number, signal.getsignal(number)) for number in numbers]
    yield
    for number, handler in before:
        signal.signal(number, handler)
