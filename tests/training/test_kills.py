"""Real processes of `ventral train`, killed at random moments; scripts/kill_runs.py does it more often."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "kill_runs.py"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="it forks")
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path):
    kills = ["--kills", "6", "--signals", "1", "--cases", "workers,ranks"]
    done = subprocess.run(
        [sys.executable, SCRIPT, tmp_path / "runs", *kills], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("6 SIGKILL, 0 SIGTERM, 1 SIGINT, 0 runs went wrong\n")
