"""TensorBoard's files of a run, one for each session."""

from __future__ import annotations

import re
import time
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

_NAME = re.compile(r"(events\.out\.tfevents\.)(\d+)(\..+)")


def open_board(folder: Path, done: int) -> SummaryWriter:
    """Begins a session's file, which takes back what earlier sessions logged after `done` batches.

    TensorBoard reads files in the order of the seconds in their names. If the last one's are not over yet (the clock
    was set back, or that session was short), the earlier files get earlier ones.

    Args:
        folder: Where they lie.
        done: The batches done in the run.
    """
    names = sorted(path.name for path in folder.glob("*")) if folder.is_dir() else []
    found = [match for match in map(_NAME.fullmatch, names) if match]
    now = int(time.time())
    if found and int(found[-1][2]) >= now:
        for before, match in enumerate(found, start=-len(found)):
            (folder / match[0]).rename(folder / f"{match[1]}{now + before:010d}{match[3]}")
    return SummaryWriter(str(folder), purge_step=done + 1)
