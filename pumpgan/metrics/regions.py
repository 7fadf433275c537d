"""Scores of a foreground probability over all thresholds at once: per-region overlap, and pixel average precision."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pumpgan.metrics.labels import IN_PLANE

FALSE_POSITIVE_LIMIT = 0.3
BINS, FURTHEST = 8192, 40.0
"""Probabilities are counted in bins of equal width in the logit, from -40 to 40, so in steps of 1 % of the odds: fine
where a trained network's lie, close to 0 and 1. Beyond (below 4e-18, above 1 - 4e-18) they share the end bins."""


class RegionCurves:
    """Gathers three histograms of the foreground probability; its memory does not grow with the images.

    Per-region overlap (PRO) is Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 2021, section 5.1.2: at a
    threshold, the share of a true region's pixels that are at or above it, averaged over all regions of all images; a
    scratch counts as much as a hole a hundred times its size. Regions are 8-connected, as in their evaluation.
    """

    def __init__(self) -> None:
        self._regions = 0
        self._covered = np.zeros(BINS)  # of each foreground pixel, one over the size of its region
        self._foreground = np.zeros(BINS, np.int64)
        self._ground = np.zeros(BINS, np.int64)

    def update(self, probabilities: NDArray[np.float64], foreground: NDArray[np.bool_]) -> None:
        """Adds images: probability of being foreground, 0 to 1, and the truth; both [N, H, W], already checked."""
        bins = bin_of(probabilities)
        numbers, found = ndimage.label(foreground, IN_PLANE)
        sizes = np.bincount(numbers.ravel(), minlength=found + 1)
        inside = bins[foreground]
        self._regions += found
        self._covered += np.bincount(inside, 1 / sizes[numbers[foreground]], minlength=BINS)
        self._foreground += np.bincount(inside, minlength=BINS)
        self._ground += np.bincount(bins[~foreground], minlength=BINS)

    def result(self) -> dict[str, Any]:
        """JSON-ready figures, each 0 to 1; None where no target has foreground, or none has ground.

        pro                         per-region overlap over the false positive rate (share of ground pixels at or
                                    above the threshold), integrated from 0 to 0.3 and divided by 0.3; the
                                    trapezoid rule joins thresholds
        pixel_average_precision     sum over thresholds of precision times the recall gained, over all pixels
        """
        true, false = self._foreground[::-1].cumsum(), self._ground[::-1].cumsum()  # from the highest threshold down
        if not self._regions or not false[-1]:
            return {"pro": None, "pixel_average_precision": None}
        overlap = self._covered[::-1].cumsum() / self._regions
        predicted = np.maximum(true + false, 1)  # where nothing is predicted yet, no recall is gained either
        return {
            "pro": limited_area(false / false[-1], overlap, FALSE_POSITIVE_LIMIT),
            "pixel_average_precision": float((np.diff(true, prepend=0) * (true / predicted)).sum() / true[-1]),
        }

    def curve(self) -> dict[str, list[float]] | None:
        """Precision and recall of pixels, from the highest threshold down, where the one or the other changes by a
        hundredth; None where no target has foreground."""
        true, false = self._foreground[::-1].cumsum(), self._ground[::-1].cumsum()
        if not true[-1]:
            return None
        some = true + false > 0
        precision, recall = true[some] / (true + false)[some], true[some] / true[-1]
        edges = np.linspace(-FURTHEST, FURTHEST, BINS + 1)[:-1][::-1][some]  # a bin holds what is at least its edge
        steps = np.abs(np.diff(np.floor(100 * np.stack([precision, recall])), axis=1)).sum(axis=0) > 0
        kept = np.concatenate([[True], steps])
        return {
            "precision": precision[kept].tolist(),
            "recall": recall[kept].tolist(),
            "threshold": (1 / (1 + np.exp(-edges[kept]))).tolist(),
        }


def bin_of(probabilities: NDArray[np.float64]) -> NDArray[np.intp]:
    """The bin of each probability, 0 to BINS - 1; rising with it."""
    with np.errstate(divide="ignore"):  # 0 and 1 are infinitely far out, and belong into the end bins
        logits = np.log(probabilities) - np.log1p(-probabilities)
    at = (np.clip(logits, -FURTHEST, FURTHEST) + FURTHEST) * (BINS / (2 * FURTHEST))
    return np.minimum(at.astype(np.intp), BINS - 1)


def limited_area(x: NDArray[np.float64], y: NDArray[np.float64], limit: float) -> float:
    """Mean height, for x from 0 to `limit`, of the broken line from (0, 0) through points of rising x up to x = 1."""
    x, y = np.concatenate([[0], x]), np.concatenate([[0], y])
    last = int(np.searchsorted(x, limit, side="right"))  # the first point beyond, if there is one
    if last < len(x):
        share = (limit - x[last - 1]) / (x[last] - x[last - 1])
        y = np.append(y[:last], y[last - 1] + share * (y[last] - y[last - 1]))
        x = np.append(x[:last], limit)
    return float((np.diff(x) * (y[1:] + y[:-1])).sum() / 2 / limit)
