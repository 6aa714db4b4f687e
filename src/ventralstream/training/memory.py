"""The processor's memory during a run."""

from __future__ import annotations

import ctypes
import platform

# of glibc's mallopt
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_MOST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Makes this process keep what it frees, for its next allocations; gives whether it now does.

    A training step on a processor frees and asks for the same large tensors again and again. The C library gives them
    back to the system each time, which fills them with zeros before it hands them out anew: with small networks that
    takes a seventh of a step. There is such a setting in glibc alone.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_THRESHOLD, _MOST) and mallopt(_TRIM_THRESHOLD, _MOST))
