from pathlib import Path

import pytest
from originals import FOLDER


@pytest.fixture(scope="session")
def reference() -> Path:
    if not FOLDER.is_dir():
        pytest.skip("VENTRALSTREAM_REFERENCE does not name the folder of reference numbers")
    return FOLDER
