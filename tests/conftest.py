import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # for the files that several tests use: naive.py, originals.py, ...
torch.set_num_threads(1)  # tests run in parallel processes


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of numbers made by the original implementations."""
    from originals import FOLDER

    if not FOLDER.is_dir():
        pytest.skip("VENTRALSTREAM_REFERENCE does not name the folder of reference numbers")
    return FOLDER
