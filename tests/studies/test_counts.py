"""Sums of what images count for make the scores of the metrics that look at all images at once."""

import json

import numpy as np
import pytest

from pumpgan.data.dataset import PART_CLASSES, LabelClass
from pumpgan.metrics.classification import ClassificationScores
from pumpgan.metrics.segmentation import SegmentationScores
from pumpgan.studies.counts import ImageMeasure, PixelMeasure, measure_of, read_images

FACES = [LabelClass(i, name, (i, i, i)) for i, name in enumerate(("background", "skin", "earring"))]


def some_maps(classes: int, draw: np.random.Generator, images: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Predictions and targets of small maps, most of them with a bit of each class in one corner or another."""
    shares = [0.9, *[0.1 / (classes - 1)] * (classes - 1)]
    predictions, targets = draw.choice(classes, (2, images, 4, 4), p=shares)
    targets[: images // 3] = 0
    predictions[::4] = 0
    return predictions, targets


def scored(classes, predictions, targets) -> SegmentationScores:
    scores = SegmentationScores(classes)
    scores.update(predictions, targets)
    return scores


@pytest.mark.parametrize("threshold", [0.5, 0.2, 1.0])
def test_outcomes_of_images_make_the_classifiers_scores(threshold):
    draw = np.random.default_rng(0)
    scores = ClassificationScores(threshold)
    scores.update(draw.random(200).round(1), draw.random(200) < 0.2)
    images, measure = scores.per_image(), ImageMeasure(threshold)
    found, expected = measure.scores(measure.counts(images).sum(axis=0)), scores.result()
    assert {name: float(value) for name, value in found.items()} == {name: expected[name] for name in measure.names}
    assert measure.positive("f1", images).sum() == expected["positives"]


@pytest.mark.parametrize("seed", range(4))
def test_pixels_and_outcomes_of_images_make_the_segmenters_scores(seed):
    scores = scored(PART_CLASSES, *some_maps(2, np.random.default_rng(seed)))
    measure, expected = PixelMeasure(scores.names), scores.result()
    found = measure.scores(measure.counts(scores.per_image()).sum(axis=0))
    assert found["iou.good"] == expected["iou"]["good"] and found["iou.defect"] == expected["iou"]["defect"]
    assert found["mean_iou"] == pytest.approx(expected["mean_iou"])
    for name in ("accuracy", "precision", "recall", "f1", "iou_where_defects"):
        assert found[f"images.{name}"] == pytest.approx(expected["image_level_thesis"][name]), name


def test_of_three_classes_one_that_is_nowhere_is_no_score_and_the_mean_leaves_it_out():
    predictions, targets = some_maps(2, np.random.default_rng(0))
    scores = scored(FACES, predictions, targets)  # no earring
    measure, expected = PixelMeasure(scores.names), scores.result()
    assert measure.names == ("iou.background", "iou.skin", "iou.earring", "mean_iou")
    found = measure.scores(measure.counts(scores.per_image()).sum(axis=0))
    assert np.isnan(found["iou.earring"]) and found["mean_iou"] == pytest.approx(expected["mean_iou"])


def test_an_image_is_positive_for_the_class_that_the_score_is_of():
    targets = np.zeros((4, 2, 2), int)
    targets[1, 0, 0], targets[2, 0, 0], targets[3, 0] = 1, 2, (1, 2)
    images = scored(FACES, targets, targets).per_image()
    measure = PixelMeasure(["background", "skin", "earring"])
    for score, positive in (("iou.skin", [0, 1, 0, 1]), ("iou.earring", [0, 0, 1, 1]), ("mean_iou", [0, 1, 1, 1])):
        assert measure.positive(score, images).tolist() == [bool(value) for value in positive]
    assert measure.positive("iou.background", images).tolist() == [False, True, True, True]


def test_scores_of_many_sums_are_those_of_each():
    scores = scored(PART_CLASSES, *some_maps(2, np.random.default_rng(0)))
    measure = PixelMeasure(scores.names)
    counts = measure.counts(scores.per_image())
    sums = np.stack([counts[:3].sum(axis=0), counts.sum(axis=0)])
    for name, values in measure.scores(sums).items():
        single = [measure.scores(row)[name] for row in sums]
        np.testing.assert_array_equal(values, single, err_msg=name)


def test_the_images_of_an_evaluation_choose_their_measure(tmp_path):
    classified = {"name": "a", "target": 1, "probability": 0.6}
    (tmp_path / "images.jsonl").write_text(json.dumps(classified) + "\n")
    assert measure_of(read_images(tmp_path)).kind == "classification"
    areas = {"good": 1, "defect": 2}
    assert measure_of([dict(intersection=areas, predicted=areas, target=areas)]).kind == "segmentation"
    with pytest.raises(ValueError, match="a probability or pixels of classes, got name"):
        measure_of([{"name": "a"}])


def test_a_file_of_images_that_is_cut_short_or_empty_is_named(tmp_path):
    (tmp_path / "images.jsonl").write_text('{"name": "a"}\n{"na')
    with pytest.raises(ValueError, match=r"images\.jsonl: is cut short"):
        read_images(tmp_path)
    (tmp_path / "images.jsonl").write_text("")
    with pytest.raises(ValueError, match=r"images\.jsonl: holds no image"):
        read_images(tmp_path)
