"""What a process has used so far, and what the machine can move."""

from __future__ import annotations

import resource
import time

import numpy as np


def cpu_s() -> float:
    """Return CPU seconds used by this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def bandwidth() -> float:
    """Return bytes a second that a plain copy moves (read and written), measured here."""
    source = np.ones(1 << 27, np.uint8)
    target = np.empty_like(source)
    best = 0.0
    for _ in range(5):
        began = time.perf_counter()
        np.copyto(target, source)
        best = max(best, 2 * source.nbytes / (time.perf_counter() - began))
    return best
