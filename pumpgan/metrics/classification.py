"""How well a classifier tells defects from good parts: scores of its probabilities against the truth."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.integrate import trapezoid

Values = torch.Tensor | NDArray[Any]


class ClassificationScores:
    """Gathers the probability and the target of any number of images; two numbers an image."""

    def __init__(self, threshold: float = 0.5) -> None:
        """`threshold`: a probability above it is a prediction of "defect"; one equal to it is not."""
        if not 0 <= threshold <= 1:
            raise ValueError(f"ClassificationScores: threshold must be 0 to 1, got {threshold}")
        self.threshold = threshold
        self._probabilities: list[NDArray[np.float64]] = []
        self._targets: list[NDArray[np.bool_]] = []

    def update(self, probabilities: Values, targets: Values) -> None:
        """Adds images.

        Args:
            probabilities: of a defect, 0 to 1, floating point [N]; tensor (any device) or array.
            targets: 1 defect, 0 good; integers or booleans [N].

        Raises:
            ValueError: other shapes, types or lengths, NaN, a value out of range; then nothing was added.
        """
        scores, truth = checked_probabilities(probabilities, "ClassificationScores"), as_array(targets)
        if scores.ndim != 1 or scores.shape != truth.shape or truth.dtype.kind not in "uib":
            raise ValueError(
                "ClassificationScores: needs probabilities [N] and integer targets [N], "
                f"got {list(scores.shape)} and {truth.dtype} {list(truth.shape)}"
            )
        strange = truth[(truth != 0) & (truth != 1)]
        if strange.size:
            raise ValueError(f"ClassificationScores: targets must be 0 or 1, got {strange[0]}")
        self._probabilities.append(scores)
        self._targets.append(truth.astype(bool))

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Of a defect, in the order they were added, [N]."""
        return np.concatenate([np.zeros(0), *self._probabilities])

    @property
    def targets(self) -> NDArray[np.bool_]:
        """Whether there is a defect, in the same order, [N]."""
        return np.concatenate([np.zeros(0, bool), *self._targets])

    def result(self) -> dict[str, Any]:
        """JSON-ready figures: images, positives, threshold, the keys of `confusion_figures`, and

            average_precision   sum over the curve's points of precision times the recall gained there
            auroc               share of (defect, good) pairs in which the defect has the higher probability, a tie half

        Both are None where all images are defects or all are good.

        Raises:
            ValueError: no images were added.
        """
        probabilities, targets = self.probabilities, self.targets
        if not len(targets):
            raise ValueError("ClassificationScores: no images were added")
        return {
            "images": len(targets),
            "positives": int(targets.sum()),
            "threshold": self.threshold,
            **confusion_figures(confusion(probabilities > self.threshold, targets)),
            "average_precision": average_precision(probabilities, targets),
            "auroc": auroc(probabilities, targets),
        }

    def curve(self) -> dict[str, list[float]] | None:
        """Precision and recall where every probability of at least `threshold` counts as a defect.

        A point for each probability that occurs, from the highest down, so recall never falls; None where no image
        is a defect.
        """
        if not self.targets.any():
            return None
        true, predicted, thresholds = ranked(self.probabilities, self.targets)
        return {
            "precision": (true / predicted).tolist(),
            "recall": (true / true[-1]).tolist(),
            "threshold": thresholds.tolist(),
        }

    def per_image(self) -> list[dict[str, Any]]:
        """A dict an image, in the order they were added: target 0 or 1, probability."""
        return [
            {"target": int(target), "probability": float(probability)}
            for target, probability in zip(self.targets, self.probabilities, strict=True)
        ]


# Figures of arrays, for whoever draws images afresh ---------------------------------------------------------------


def confusion(predicted: NDArray[np.bool_], targets: NDArray[np.bool_]) -> dict[str, int]:
    """Counts of the four outcomes; both bool [N]."""
    return {
        "true_positive": int((predicted & targets).sum()),
        "false_positive": int((predicted & ~targets).sum()),
        "true_negative": int((~predicted & ~targets).sum()),
        "false_negative": int((~predicted & targets).sum()),
    }


def confusion_figures(counts: dict[str, int]) -> dict[str, Any]:
    """accuracy, precision, recall, f1 (each 0 to 1), and confusion: the four counts themselves.

    A share of nothing is 0: precision where nothing is predicted positive, recall where nothing is positive.
    """
    hits, total = counts["true_positive"], sum(counts.values())
    predicted, positive = hits + counts["false_positive"], hits + counts["false_negative"]
    return {
        "accuracy": share(hits + counts["true_negative"], total),
        "precision": share(hits, predicted),
        "recall": share(hits, positive),
        "f1": share(2 * hits, predicted + positive),
        "confusion": dict(counts),
    }


def average_precision(probabilities: NDArray[np.float64], targets: NDArray[np.bool_]) -> float | None:
    """Mean precision over the recall gained, ties taken together; None where one of the two classes is absent."""
    if targets.all() or not targets.any():
        return None
    true, predicted, _ = ranked(probabilities, targets)
    return float((np.diff(true, prepend=0) * (true / predicted)).sum() / true[-1])


def auroc(probabilities: NDArray[np.float64], targets: NDArray[np.bool_]) -> float | None:
    """Area under the curve of recall over false positive rate; None where one of the two classes is absent."""
    if targets.all() or not targets.any():
        return None
    true, predicted, _ = ranked(probabilities, targets)
    recall, false_rate = (np.concatenate([[0], found / found[-1]]) for found in (true, predicted - true))
    return float(trapezoid(recall, false_rate))


def ranked(
    probabilities: NDArray[np.float64], targets: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """For each probability that occurs, from the highest down: positives and images with at least it, and itself."""
    thresholds, of = np.unique(-probabilities, return_inverse=True)
    true = np.cumsum(np.bincount(of[targets], minlength=len(thresholds)))
    predicted = np.cumsum(np.bincount(of, minlength=len(thresholds)))
    return true, predicted, -thresholds


def share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def checked_probabilities(values: Values, where: str) -> NDArray[np.float64]:
    """Probabilities of any shape as an array; ValueError unless they are floating point, 0 to 1, without NaN."""
    if isinstance(values, torch.Tensor) and values.is_floating_point():
        array = values.detach().double().cpu().numpy()  # double first: numpy knows no bfloat16
    else:
        array = as_array(values)
    if array.dtype.kind != "f":  # a list of class numbers is no list of probabilities
        raise ValueError(f"{where}: probabilities must be floating point, got {array.dtype}")
    wrong = array[~((array >= 0) & (array <= 1))]
    if wrong.size:
        raise ValueError(f"{where}: probabilities must be 0 to 1, got {wrong[0]}")
    return array.astype(np.float64)


def as_array(values: Values) -> NDArray[Any]:
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
