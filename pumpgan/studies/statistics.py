"""What a study can say of its arms: scores over repeats, and which differences from the baseline chance would not make.

Two questions, two answers. Would the difference be there on other photographs? A paired bootstrap draws the test
photographs afresh, the same for both arms. Would it be there after training again? A paired t-test takes the repeats,
which share their validation photographs between arms. Neither corrects for the number of arms and scores looked at.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pumpgan.studies.counts import Image, Measure, Numbers, Scores, measure_of

DRAWS = 10_000
INTERVAL = (0.025, 0.975)
ENOUGH_POSITIVES = 20  # with fewer, a few photographs decide; then nothing is called significant
ENOUGH_UNITS = 20  # intervals that are drawn from fewer come out too narrow
ROUNDING = 1e-14  # of differences between scores of 0 to 1: those that are alike differ by less
AT_ONCE = 2**22  # numbers of a drawing held in memory

Arms = Mapping[str, Sequence[Sequence[Image]]]


def compare_arms(arms: Arms, *, baseline: str, seed: int, draws: int = DRAWS, threshold: float = 0.5) -> dict[str, Any]:
    """Scores of all arms, and each arm against the baseline.

    The bootstrap draws units, as many as there are, with equal chances and with repetition. A unit is a group of
    photographs where images name one, else a photograph; all its images come along. One drawing serves all arms and all
    repeats. Pooled: what the images count (outcomes, pixels) is summed over an arm's repeats, and the score is made of
    these sums. So is the difference between two pooled scores that the interval is of; the middle 95 % of the draws.

    Args:
        arms: name -> repeats -> images, each a line of an evaluation's images.jsonl (`counts.read_images`).
        baseline: the arm that the others are compared with.
        seed: of the drawing; the same seed draws the same photographs.
        threshold: of a classifier's probabilities.

    Returns:
        JSON-ready: kind, baseline, images, photographs, units (how many are drawn), unit (what they are), draws, seed,
        threshold (None for a segmenter), scores (names; `counts.ImageMeasure`, `counts.PixelMeasure`),
        positive_photographs.SCORE, positive_units.SCORE, cautions (lines), and arms.NAME with

            scores.SCORE        mean, std (over n - 1; None for one repeat), n, values, pooled
            differences.SCORE   against the baseline, whose own are None:
                pooled          difference of the pooled scores
                interval        [low, high] of that difference, 95 %
                undefined_draws draws without anything to score, which the interval leaves out
                significant     whether the interval leaves out 0; None where too few photographs are positive
                repeats         mean, t, df, p (two-sided) of the paired t-test; None for one repeat; t and p None where
                                the differences are all alike, p None where too few photographs are positive

        None stands for every figure of nothing.

    Raises:
        ValueError: an unknown baseline, no draws, arms with other numbers of repeats or other images than the
            baseline's first repeat (the first difference is named), a single unit.
    """
    reference = checked(arms, baseline)
    if draws < 1:
        raise ValueError(f"compare_arms: draws must be at least 1, got {draws}")
    measure = measure_of(reference, threshold)
    owners, units = units_of(reference)
    if units < 2:
        raise ValueError(f"compare_arms: needs at least two photographs or groups of them to draw from, got {units}")
    counts = {name: np.stack([measure.counts(images) for images in repeats]) for name, repeats in arms.items()}
    repeats = {name: measure.scores(found.sum(axis=1)) for name, found in counts.items()}
    pooled = {name: measure.scores(found.sum(axis=(0, 1))) for name, found in counts.items()}
    drawn = bootstrap(measure, {name: found.sum(axis=0) for name, found in counts.items()}, owners, units, draws, seed)
    unit = "groups of photographs" if any(image.get("group") is not None for image in reference) else "photographs"
    positive = {score: np.flatnonzero(measure.positive(score, reference)).tolist() for score in measure.names}
    positives = {score: len(photographs_of([reference[i] for i in found])) for score, found in positive.items()}
    positive_units = {score: len(set(owners[found])) for score, found in positive.items()}

    described: dict[str, Any] = {}
    for name in arms:
        described[name] = {
            "scores": {
                score: over_repeats(repeats[name][score]) | {"pooled": plain(pooled[name][score])}
                for score in measure.names
            },
            "differences": None
            if name == baseline
            else {
                score: difference(*(side[score] for arm in (name, baseline) for side in (pooled[arm], drawn[arm])))
                | {"repeats": paired_t(repeats[name][score], repeats[baseline][score])}
                for score in measure.names
            },
        }
        for score, found in (described[name]["differences"] or {}).items():
            if positives[score] < ENOUGH_POSITIVES:
                found["significant"] = None
                if found["repeats"]:
                    found["repeats"]["p"] = None
    return {
        "kind": measure.kind,
        "baseline": baseline,
        "images": len(reference),
        "photographs": len(photographs_of(reference)),
        "units": units,
        "unit": unit,
        "draws": draws,
        "seed": seed,
        "threshold": threshold if measure.kind == "classification" else None,
        "scores": list(measure.names),
        "positive_photographs": positives,
        "positive_units": positive_units,
        "cautions": cautions(positives, positive_units, unit),
        "arms": described,
    }


def checked(arms: Arms, baseline: str) -> Sequence[Image]:
    """The baseline's first repeat, after all others were found to be of the same images."""
    if baseline not in arms:
        raise ValueError(f"compare_arms: baseline must be one of {', '.join(arms)}, got {baseline}")
    number = len(arms[baseline])
    for name, repeats in arms.items():
        if not number or len(repeats) != number:
            raise ValueError(
                "compare_arms: every arm must have as many repeats as the baseline, at least one; "
                f"got {len(repeats)} of {name}, {number} of {baseline}"
            )
    reference = arms[baseline][0]
    for name, repeats in arms.items():
        for repeat, images in enumerate(repeats):
            refuse_other_images(images, reference, f"{name}, repeat {repeat}", f"{baseline}, repeat 0")
    return reference


def refuse_other_images(images: Sequence[Image], reference: Sequence[Image], where: str, there: str) -> None:
    for at, (image, expected) in enumerate(zip(images, reference, strict=False)):
        for key in ("name", "photographs", "group", "target"):
            if image.get(key) != expected.get(key):
                raise ValueError(
                    f"compare_arms: test images must be the same in all arms and repeats; {where}, image {at} "
                    f"({image.get('name')}): {key} is {image.get(key)}, in {there}: {expected.get(key)}"
                )
    if len(images) != len(reference):
        raise ValueError(
            "compare_arms: test images must be the same in all arms and repeats; "
            f"{where} has {len(images)}, {there} {len(reference)}"
        )


def units_of(images: Sequence[Image]) -> tuple[NDArray[np.intp], int]:
    """The unit that each image is drawn with, numbered from 0, [N]; and how many there are.

    Raises ValueError at an image that names neither a group nor a photograph.
    """
    lost = [image["name"] for image in images if image.get("group") is None and not image["photographs"]]
    if lost:
        raise ValueError(f"compare_arms: test images must name their photograph, {lost[0]} does not")
    numbers: dict[tuple[str, str], int] = {}
    owners = [
        numbers.setdefault(
            ("group", image["group"]) if image.get("group") is not None else ("photograph", image["photographs"][0]),
            len(numbers),
        )
        for image in images
    ]
    return np.array(owners, np.intp), len(numbers)


def photographs_of(images: Iterable[Image]) -> set[str]:
    return {name for image in images for name in image["photographs"]}


def bootstrap(
    measure: Measure, counts: Mapping[str, Numbers], owners: NDArray[np.intp], units: int, draws: int, seed: int
) -> dict[str, Scores]:
    """Scores of each arm in each draw, [draws]; counts: of each arm's images, summed over its repeats, [N, K]."""
    sums = {name: np.zeros((units, found.shape[1])) for name, found in counts.items()}
    for name, found in counts.items():
        np.add.at(sums[name], owners, found)
    generator = np.random.Generator(np.random.PCG64(seed))
    parts: dict[str, list[Scores]] = {name: [] for name in counts}
    size = max(1, AT_ONCE // units)
    for first in range(0, draws, size):
        times = generator.multinomial(units, np.full(units, 1 / units), size=min(size, draws - first)).astype(float)
        for name, found in sums.items():
            parts[name].append(measure.scores(times @ found))
    return {
        name: {score: np.concatenate([part[score] for part in found]) for score in measure.names}
        for name, found in parts.items()
    }


def difference(pooled: Numbers, drawn: Numbers, base_pooled: Numbers, base_drawn: Numbers) -> dict[str, Any]:
    """An arm's score against the baseline's, over the same draws."""
    found = drawn - base_drawn
    defined = found[np.isfinite(found)]
    interval = np.quantile(defined, INTERVAL).tolist() if len(defined) else None
    return {
        "pooled": plain(pooled - base_pooled),
        "interval": interval,
        "undefined_draws": len(found) - len(defined),
        "significant": not interval[0] <= 0 <= interval[1] if interval else None,
    }


def over_repeats(values: Numbers) -> dict[str, Any]:
    """values: a repeat each, [n]."""
    alone = len(values) < 2
    return {
        "mean": plain(values.mean()),
        "std": None if alone else plain(values.std(ddof=1)),
        "n": len(values),
        "values": [plain(value) for value in values],
    }


def paired_t(values: Numbers, base: Numbers) -> dict[str, Any] | None:
    """Student's t-test of the differences between two arms' repeats, [n] each; None with fewer than two."""
    found = values - base
    if len(found) < 2:
        return None
    mean, error = found.mean(), found.std(ddof=1) / math.sqrt(len(found))
    t, df = mean / error if error > ROUNDING else math.nan, len(found) - 1  # no spread to measure the mean by
    return {"mean": plain(mean), "t": plain(t), "df": df, "p": plain(2 * stats.t.sf(abs(t), df))}


def plain(value: Any) -> float | None:
    """For JSON, which knows no NaN."""
    return float(value) if math.isfinite(value) else None


def cautions(photographs: Mapping[str, int], units: Mapping[str, int], unit: str) -> list[str]:
    """Of the positive ones by score: why nothing is called significant, and where intervals are of few units."""
    few: dict[str, list[str]] = {}
    for score, count in photographs.items():
        if count < ENOUGH_POSITIVES:
            said = (
                f"only {count} test photographs are positive, fewer than {ENOUGH_POSITIVES}; so few decide the outcome "
            )
            few.setdefault(f"{said}between themselves, and no difference is called significant", []).append(score)
        elif units[score] < ENOUGH_UNITS:
            said = f"only {units[score]} {unit} are positive; intervals that are drawn from so few are too narrow"
            few.setdefault(said, []).append(score)
    return [
        f"{'all scores' if len(scores) == len(units) else ', '.join(scores)}: {said}" for said, scores in few.items()
    ]
