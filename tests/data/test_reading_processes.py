"""Processes that read: what goes wrong in one, or with one."""

from __future__ import annotations

import os
import signal

import pytest

from ventralstream.data.workers import Workers
from ventralstream.errors import VentralError


def fails(item: int) -> int:
    raise RuntimeError("shapes [3] and [4] do not match")


def refuses(item: int) -> int:
    raise VentralError("cannot read 'a.jpg': it is no image")


def dies(item: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return item


def read(of: object, count: int) -> list[object]:
    workers = Workers(of, list, count)  # type: ignore[arg-type]
    try:
        return list(workers.read([[1], [2]]))
    finally:
        workers.close()


@pytest.mark.parametrize("count", [0, 1])
def test_what_is_raised_in_one_is_told_as_it_is(count: int) -> None:
    with pytest.raises(RuntimeError, match=r"shapes \[3\] and \[4\] do not match"):
        read(fails, count)
    with pytest.raises(VentralError, match=r"^cannot read 'a.jpg': it is no image$"):
        read(refuses, count)


def test_one_that_is_killed_is_told_of() -> None:
    with pytest.raises(VentralError, match=r"was ended from outside, .*: try none \(--workers 0\)"):
        read(dies, 1)
    with pytest.raises(VentralError, match="try fewer than 2 workers"):
        read(dies, 2)
