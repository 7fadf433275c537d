"""Classification scores against scikit-learn and torchmetrics, and in the corners where they have no answer."""

import json

import numpy as np
import pytest
import torch
import torchmetrics.functional.classification as peers
from sklearn import metrics as sklearn

from pumpgan.metrics.classification import ClassificationScores


def scores(probabilities, targets, threshold=0.5) -> ClassificationScores:
    gathered = ClassificationScores(threshold)
    gathered.update(np.array(probabilities, float), np.array(targets, int))
    return gathered


@pytest.fixture(params=[(200, None), (200, 1), (31, 2)], ids=["distinct", "tied", "few"])
def drawn(request):
    """Probabilities that know a little of the targets; rounded ones have ties, also across the two classes."""
    count, places = request.param
    draw = np.random.default_rng(3)
    targets = (draw.random(count) < 0.2).astype(int)
    probabilities = np.clip(0.3 * targets + 0.9 * draw.random(count), 0, 1)
    return (probabilities if places is None else probabilities.round(places)), targets


def test_every_figure_is_scikit_learns(drawn):
    probabilities, targets = drawn
    figures, predicted = scores(*drawn, threshold=0.45).result(), probabilities > 0.45
    assert (figures["images"], figures["positives"]) == (len(targets), targets.sum())
    assert figures["accuracy"] == pytest.approx(sklearn.accuracy_score(targets, predicted))
    for name in ("precision", "recall", "f1"):
        assert figures[name] == pytest.approx(getattr(sklearn, f"{name}_score")(targets, predicted, zero_division=0))
    assert figures["average_precision"] == pytest.approx(sklearn.average_precision_score(targets, probabilities))
    assert figures["auroc"] == pytest.approx(sklearn.roc_auc_score(targets, probabilities))
    counts = ("true_negative", "false_positive", "false_negative", "true_positive")
    assert [figures["confusion"][name] for name in counts] == sklearn.confusion_matrix(
        targets, predicted
    ).ravel().tolist()


def test_torchmetrics_agrees(drawn):
    probabilities, targets = (torch.as_tensor(values) for values in drawn)
    figures = scores(*drawn).result()
    assert figures["average_precision"] == pytest.approx(float(peers.binary_average_precision(probabilities, targets)))
    assert figures["auroc"] == pytest.approx(float(peers.binary_auroc(probabilities, targets)))
    assert figures["f1"] == pytest.approx(float(peers.binary_f1_score(probabilities, targets)))


def test_the_curve_is_scikit_learns_read_from_the_right(drawn):
    precision, recall, threshold = sklearn.precision_recall_curve(drawn[1], drawn[0])
    curve = scores(*drawn).curve()
    assert curve["precision"] == pytest.approx(precision[-2::-1])  # its last point, (1, 0), belongs to no image
    assert curve["recall"] == pytest.approx(recall[-2::-1])
    assert curve["threshold"] == pytest.approx(threshold[::-1])


def test_a_probability_at_the_threshold_is_no_defect():
    assert scores([0.5, 0.6], [1, 1]).result()["confusion"]["true_positive"] == 1


def test_images_may_come_in_any_parts_and_kinds(device):
    whole, parts = scores([0.1, 0.75, 0.5, 0.25], [0, 1, 1, 1]), ClassificationScores()
    parts.update(torch.tensor([0.1], dtype=torch.float64, device=device), torch.tensor([0], device=device))
    parts.update(
        torch.tensor([0.75, 0.5], dtype=torch.bfloat16, device=device, requires_grad=True), np.array([True, 1])
    )
    parts.update(np.array([0.25], np.float32), torch.tensor([1], dtype=torch.uint8))
    parts.update(torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    assert parts.result() == whole.result() and parts.per_image() == whole.per_image()


def test_a_share_of_nothing_is_0_and_an_area_without_a_class_is_none():
    good = scores([0.1, 0.2], [0, 0])
    figures = good.result()
    assert (figures["accuracy"], figures["precision"], figures["recall"], figures["f1"]) == (1, 0, 0, 0)
    assert figures["average_precision"] is None and figures["auroc"] is None and good.curve() is None
    defects = scores([0.1, 0.2], [1, 1]).result()
    assert defects["average_precision"] is None and defects["auroc"] is None and defects["precision"] == 0


def test_what_is_kept_of_each_image_gives_the_scores_again(drawn):
    first = scores(*drawn)
    kept = json.loads(json.dumps(first.per_image()))
    again = scores([image["probability"] for image in kept], [image["target"] for image in kept])
    assert again.result() == first.result()
    json.dumps([first.result(), first.curve()], allow_nan=False)


@pytest.mark.parametrize(
    ("probabilities", "targets", "message"),
    [
        ([[0.5]], [[1]], r"got \[1, 1\]"),
        ([0.5, 0.5], [1], r"got \[2\] and int64 \[1\]"),
        ([float("nan")], [1], "0 to 1, got nan"),
        ([1.5], [1], "0 to 1, got 1.5"),
        ([-0.1], [1], "0 to 1, got -0.1"),
        ([0.5], [2], "0 or 1, got 2"),
        ([0.5], [1.0], "float64"),
        ([1], [1], "floating point, got int64"),
    ],
)
def test_what_is_no_score_is_refused_and_not_kept(probabilities, targets, message):
    gathered = ClassificationScores()
    with pytest.raises(ValueError, match=message):
        gathered.update(np.array(probabilities), np.array(targets))
    with pytest.raises(ValueError, match="no images"):
        gathered.result()


def test_a_threshold_that_is_no_probability_is_refused():
    with pytest.raises(ValueError, match=r"threshold.*90"):
        ClassificationScores(90)
