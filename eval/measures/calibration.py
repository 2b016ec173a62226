"""Calibration: how far a probability of being right is from how often it is, over ten bins of equal width (Guo et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence

BINS = 10


def calibration(confidences: Sequence[float], rights: Sequence[bool]) -> tuple[float, list[tuple[float, int, float, float]]]:
    """Return the expected calibration error and its bins.

    Example:
        >>> calibration([0.95, 0.95, 0.55], [True, True, False])
        (0.2167, [(0.5, 1, 0.55, 0.0), (0.9, 2, 0.95, 1.0)])
    """
    found, error = [], 0.0
    for number in range(BINS):
        own = [(c, r) for c, r in zip(confidences, rights, strict=True) if min(int(c * BINS), BINS - 1) == number]
        if own:
            sure, right = (sum(column) / len(own) for column in zip(*own, strict=True))
            found.append((number / BINS, len(own), round(sure, 4), round(right, 4)))
            error += len(own) / len(confidences) * abs(sure - right)
    return round(error, 4), found
