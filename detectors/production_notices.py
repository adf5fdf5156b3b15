# mypy: disable-error-code="no-untyped-def, no-untyped-call"
# ruff: noqa: F403, F405 - indices of the layout, all upper case
"""What a plant is told from elsewhere: permits, tests, outages, vehicles, complaints.

Each plant keeps the few that matter, in fixed arrays; ``r`` and ``w`` are ``real`` and ``whole``.
"""

from __future__ import annotations

import math

from numba import njit

from detectors.production_state import *

jit = njit(cache=True, nogil=True, error_model="numpy")


@jit
def tell_window(r, w, rows, kind, start, end, kw):
    """Keep permits, tests and outages; the one that ended first makes room."""
    for m in range(len(rows)):
        i = rows[m]
        worst, known = 0, False
        for j in range(WINDOWS):
            same = w[i, WINDOW_START + j] == start[m] and w[i, WINDOW_END + j] == end[m]
            if same and w[i, WINDOW_KIND + j] == kind and r[i, WINDOW_KW + j] == kw[m]:
                known = True
            if w[i, WINDOW_END + j] < w[i, WINDOW_END + worst]:
                worst = j
        if not known:
            w[i, WINDOW_KIND + worst] = kind
            w[i, WINDOW_START + worst] = start[m]
            w[i, WINDOW_END + worst] = end[m]
            r[i, WINDOW_KW + worst] = kw[m]
            w[i, WINDOWS_UNTIL] = max(w[i, WINDOWS_UNTIL], min(end[m], 2**31 - 100) + 60)


@jit
def tell_visitor(r, w, rows, minute, kind, chance, most):
    """Keep vehicles and complaints that say something, weighed by how usual they are here.

    A visit is worth ln(`chance` / λ), clipped to 0 … `most`, with λ the visits of its kind that
    this plant has within reach (vehicles 2.5 h, complaints 24 h) in that part of the day.
    """
    for m in range(len(rows)):
        i = rows[m]
        v = kind[m]
        if not 1 <= v <= VISITOR_KINDS:
            continue
        part = (minute[m] + w[i, OFFSET]) % 1440 // (1440 // PARTS)
        rate = VISITOR_RATE + (v - 1) * PARTS + part
        reach = 24.0 / 6.0 if v == COMPLAINT else 2.5 / 6.0
        usual = (r[i, rate] + 0.25) / (r[i, WATCHED] + 20.0) * reach
        score = min(most[v - 1], max(0.0, math.log(chance[v - 1] / usual)))
        r[i, rate] += 1.0
        if score < 0.05:
            continue
        worst = 0
        for j in range(VISITORS):
            if w[i, VISITOR_MINUTE + j] < w[i, VISITOR_MINUTE + worst]:
                worst = j
        w[i, VISITOR_MINUTE + worst] = minute[m]
        w[i, VISITOR_KIND + worst] = v
        r[i, VISITOR_SCORE + worst] = score
