"""Segmentation scores against torchmetrics and scikit-learn, and against cases that can be counted by hand."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torchmetrics.functional.classification as peers
from sklearn import metrics as sklearn

from pumpgan.metrics.segmentation import Areas, SegmentationScores, overlaps


@dataclass(frozen=True)
class Named:
    id: int
    name: str


PART = [Named(0, "good"), Named(1, "defect")]
FACE = [Named(0, "ground"), Named(3, "eye"), Named(7, "hat"), Named(9, "never")]


def maps(*pictures: str) -> np.ndarray:
    """Label maps from digits; lines by spaces."""
    return np.array([[[int(digit) for digit in line] for line in picture.split()] for picture in pictures])


def scores(predictions, targets, probabilities=None, classes=PART) -> SegmentationScores:
    gathered = SegmentationScores(classes)
    gathered.update(predictions, targets, probabilities)
    return gathered


def drawn(count: int, classes: int, seed: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Targets, and predictions that copy three pixels in five."""
    draw = torch.Generator().manual_seed(seed)
    targets = torch.randint(classes, (count, 16, 12), generator=draw)
    others = torch.randint(classes, targets.shape, generator=draw)
    return torch.where(torch.rand(targets.shape, generator=draw) < 0.6, targets, others), targets


def test_global_overlaps_are_torchmetrics(device):
    predicted, target = drawn(6, 3)
    ids = torch.tensor([entry.id for entry in FACE])
    figures = scores(ids[predicted].to(device), ids[target].to(device), classes=FACE).result()
    iou = peers.multiclass_jaccard_index(predicted, target, num_classes=3, average=None).tolist()
    dice = peers.multiclass_f1_score(predicted, target, num_classes=3, average=None).tolist()
    assert list(figures["iou"].values()) == [*map(pytest.approx, iou), None]
    assert list(figures["dice"].values()) == [*map(pytest.approx, dice), None]
    assert figures["mean_iou"] == pytest.approx(np.mean(iou))
    assert figures["mean_foreground_iou"] == pytest.approx(np.mean(iou[1:]))
    assert "image_level" not in figures


def test_the_mean_of_two_classes_is_that_of_healthy_and_defects():
    figures = scores(maps("1100 0000"), maps("1010 0000")).result()
    assert figures["iou"] == {"good": pytest.approx(5 / 7), "defect": pytest.approx(1 / 3)}
    assert figures["mean_iou"] == pytest.approx((5 / 7 + 1 / 3) / 2)
    assert figures["mean_foreground_iou"] == figures["iou"]["defect"]


def test_an_image_without_a_class_does_not_count_into_its_mean_by_image_but_a_miss_and_an_alarm_do():
    target = maps("1100", "0000", "1111", "0000")
    predicted = maps("0110", "0000", "0000", "0001")  # a third, nothing to do, missed, false alarm
    figures = scores(predicted, target).result()
    assert figures["iou_per_image"]["defect"] == pytest.approx((1 / 3 + 0 + 0) / 3)
    assert figures["iou_per_image"]["good"] == pytest.approx((1 / 3 + 1 + 0 + 3 / 4) / 4)
    assert figures["iou"]["defect"] == pytest.approx(1 / (3 + 4 + 1))


HIT, SLIGHT, ASTRAY, ALARM, MISSED, QUIET = range(6)
CASES = [  # prediction, target
    ("1100 0000", "1100 0000"),
    ("0111 0001", "1100 0000"),
    ("0000 0011", "1100 0000"),  # predicted, and where there is none
    ("0001 0000", "0000 0000"),
    ("0000 0000", "0110 0000"),
    ("0000 0000", "0000 0000"),
]


def case(*numbers: int) -> dict:
    return scores(maps(*(CASES[n][0] for n in numbers)), maps(*(CASES[n][1] for n in numbers))).result()


def counts(figures: dict) -> tuple[int, ...]:
    names = ("true_positive", "false_positive", "true_negative", "false_negative")
    return tuple(figures["confusion"][name] for name in names)


@pytest.mark.parametrize(
    ("number", "standard", "thesis"),
    [
        (HIT, (1, 0, 0, 0), (1, 0, 0, 0)),
        (SLIGHT, (1, 0, 0, 0), (1, 0, 0, 0)),
        (ASTRAY, (1, 0, 0, 0), (0, 1, 0, 0)),
        (ALARM, (0, 1, 0, 0), (0, 1, 0, 0)),
        (MISSED, (0, 0, 0, 1), (0, 0, 0, 1)),
        (QUIET, (0, 0, 1, 0), (0, 0, 1, 0)),
    ],
)
def test_the_thesis_counts_a_prediction_astray_as_a_false_alarm(number, standard, thesis):
    figures = case(number)
    assert counts(figures["image_level"]) == standard
    assert counts(figures["image_level_thesis"]) == thesis


def test_image_level_figures_follow_from_their_counts():
    figures = case(HIT, SLIGHT, ASTRAY, ALARM, MISSED, QUIET, QUIET)
    thesis, standard = figures["image_level_thesis"], figures["image_level"]
    assert (thesis["accuracy"], thesis["precision"], thesis["recall"]) == pytest.approx((4 / 7, 2 / 4, 2 / 3))
    assert thesis["f1"] == pytest.approx(2 * (2 / 4) * (2 / 3) / (2 / 4 + 2 / 3))
    assert (standard["accuracy"], standard["precision"], standard["recall"]) == pytest.approx((5 / 7, 3 / 4, 3 / 4))
    assert thesis["iou_where_defects"] == pytest.approx((1 + 1 / 5 + 0 + 0) / 4)


def test_standard_image_level_scores_are_scikit_learns():
    predicted, target = (np.random.default_rng(1).random((2, 300, 2, 2)) > 0.7).astype(int)
    figures = scores(predicted, target).result()["image_level"]
    positive, found = target.any(axis=(1, 2)), predicted.any(axis=(1, 2))
    for name in ("accuracy", "precision", "recall", "f1"):
        assert figures[name] == pytest.approx(getattr(sklearn, f"{name}_score")(positive, found))


def test_without_a_defect_anywhere_its_figures_are_none():
    figures = case(QUIET)
    assert figures["iou"] == {"good": 1.0, "defect": None} and figures["mean_iou"] == 1.0
    assert figures["iou_per_image"]["defect"] is None and figures["mean_foreground_iou"] is None
    assert figures["image_level_thesis"]["iou_where_defects"] is None and figures["pro"] is None
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def test_images_may_come_in_any_parts_and_sizes():
    predicted, target = drawn(5, 2)
    whole, parts = scores(predicted, target), scores(predicted[:2], target[:2].numpy().astype(np.uint8))
    parts.update(predicted[2:], target[2:])
    assert parts.result() == whole.result() and parts.per_image() == whole.per_image()
    parts.update(predicted[:, :3, :3], target[:, :3, :3])
    assert parts.result()["images"] == 10


def test_what_is_kept_of_each_image_gives_the_global_figures_of_any_draw_of_images():
    predicted, target = drawn(7, 2)
    gathered = scores(predicted, target)
    kept = json.loads(json.dumps(gathered.per_image()))
    draw = [3, 3, 0, 6]
    assert overlaps(Areas.from_images(kept, gathered.names).of(draw), gathered.names).items() <= (
        scores(predicted[draw], target[draw]).result().items()
    )
    assert sum(image["intersection"]["defect"] for image in kept) / sum(
        image["union"]["defect"] for image in kept
    ) == pytest.approx(gathered.result()["iou"]["defect"])


@pytest.mark.parametrize(
    ("predictions", "targets", "probabilities", "message"),
    [
        (np.zeros((1, 2, 2), int), np.zeros((1, 2, 3), int), None, r"one shape, got \[1, 2, 2\] and \[1, 2, 3\]"),
        (np.zeros((2, 2), int), np.zeros((2, 2), int), None, r"\[N, H, W\]"),
        (np.zeros((1, 2, 2)), np.zeros((1, 2, 2), int), None, "integers"),
        (np.full((1, 2, 2), 4), np.zeros((1, 2, 2), int), None, r"got also \[4\]"),
        (np.zeros((1, 2, 2), int), np.zeros((1, 2, 2), int), np.zeros((1, 2)), "targets' shape"),
        (np.zeros((1, 2, 2), int), np.zeros((1, 2, 2), int), np.full((1, 2, 2), np.nan), "0 to 1, got nan"),
    ],
)
def test_what_does_not_fit_is_refused_and_not_kept(predictions, targets, probabilities, message):
    gathered = SegmentationScores(PART)
    with pytest.raises(ValueError, match=message):
        gathered.update(predictions, targets, probabilities)
    with pytest.raises(ValueError, match="no images"):
        gathered.result()


def test_probabilities_for_some_images_only_are_refused():
    target = maps("10")
    for first, second in ((None, target / 2), (target / 2, None)):
        gathered = scores(target, target, first)
        with pytest.raises(ValueError, match="all images or for none"):
            gathered.update(target, target, second)
