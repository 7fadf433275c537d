"""Losses for rare classes: against figures made by hand, and what a batch without the class does."""

import numpy as np
import pytest
import torch

from pumpgan.losses.segmentation import class_weights, dice_loss, sigmoid_dice, weighted_cross_entropy

LABELS = torch.tensor([[[0, 1, 1, 0]], [[0, 0, 1, 0]]])  # two images of 1 x 4


def two_class_logits(chances) -> torch.Tensor:
    """[B, 2, H, W] whose softmax gives class 1 the chances [B, H, W]."""
    chances = torch.tensor(chances, dtype=torch.float64)
    return torch.stack([(1 - chances).log(), chances.log()], dim=1)


def test_dice_is_what_two_small_images_give_by_hand():
    logits = two_class_logits([[[0.1, 0.9, 0.6, 0.2]], [[0.1, 0.3, 0.5, 0.3]]])
    # overlap 0.9 + 0.6 + 0.5 = 2; of the chances 3, of the labels 3
    assert dice_loss(logits, LABELS).item() == pytest.approx(1 - 2 * 2 / (3 + 3), abs=1e-6)


def test_dice_is_the_mean_over_all_classes_but_the_ground():
    logits, labels = torch.randn(2, 4, 5, 6), torch.randint(0, 4, (2, 5, 6))
    p, truth = logits.softmax(1).numpy(), labels.numpy()
    dices = [2 * p[:, c][truth == c].sum() / (p[:, c].sum() + (truth == c).sum()) for c in (1, 2, 3)]
    assert dice_loss(logits, labels).item() == pytest.approx(1 - np.mean(dices), abs=1e-6)


def test_dice_does_not_push_a_class_that_the_batch_lacks():
    logits = torch.randn(1, 2, 3, 3, requires_grad=True)
    loss = dice_loss(logits, torch.zeros(1, 3, 3, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0 and not logits.grad.any()


def test_dice_of_the_encoder_is_what_one_image_gives_by_hand():
    # p = sigmoid(v / 0.3) of class 1: sigmoid(0) = 1/2 and sigmoid(ln 3) = 3/4; class 2: 1/4 and 1/2.
    unit = 0.3 * np.log(3)
    logits = torch.tensor([[[[9.0, -9.0]], [[0.0, unit]], [[-unit, 0.0]]]])
    labels = torch.tensor([[[1, 2]]])
    first = 2 * (1 / 2) / ((1 / 4 + 9 / 16) + 1)
    second = 2 * (1 / 2) / ((1 / 16 + 1 / 4) + 1)
    assert sigmoid_dice(logits, labels).item() == pytest.approx(1 - (first + second) / 2, abs=1e-6)
    at_one = torch.sigmoid(torch.tensor([0.0, unit, -unit, 0.0], dtype=torch.float64))
    first = 2 * at_one[0] / (at_one[:2].square().sum() + 1)
    second = 2 * at_one[3] / (at_one[2:].square().sum() + 1)
    assert sigmoid_dice(logits, labels, 1.0).item() == pytest.approx(1 - float(first + second) / 2, abs=1e-6)


def test_dice_of_the_encoder_sums_over_the_batch():
    logits, labels = torch.randn(3, 2, 4, 5), torch.randint(0, 2, (3, 4, 5))
    as_one = logits.transpose(0, 1).reshape(1, 2, 12, 5), labels.reshape(1, 12, 5)
    torch.testing.assert_close(sigmoid_dice(logits, labels), sigmoid_dice(*as_one))


def test_dice_of_the_encoder_counts_a_class_that_the_batch_lacks_in_full():
    labels = torch.zeros(1, 2, 2, dtype=torch.int64)
    assert sigmoid_dice(torch.full((1, 2, 2, 2), -100.0), labels).item() == 1  # 0 / 1e-6, not 0 / 0


@pytest.mark.parametrize("loss", [dice_loss, sigmoid_dice])
def test_dice_falls_along_its_gradient_and_never_sums_in_half_precision(loss):
    torch.manual_seed(1)
    logits, labels = torch.randn(4, 3, 64, 64), torch.randint(0, 3, (4, 64, 64))
    at = logits.clone().requires_grad_()
    before = loss(at, labels)
    (gradient,) = torch.autograd.grad(before, at)
    assert loss(logits - 1000 * gradient, labels) < before
    rounded = logits.bfloat16()
    torch.testing.assert_close(loss(rounded, labels), loss(rounded.float(), labels), rtol=0, atol=0)


@pytest.mark.parametrize("loss", [dice_loss, sigmoid_dice])
@pytest.mark.parametrize(
    "logits, labels",
    [
        (torch.zeros(1, 1, 2, 2), torch.zeros(1, 2, 2, dtype=torch.int64)),
        (torch.zeros(1, 2, 2, 2), torch.zeros(1, 1, 2, 2, dtype=torch.int64)),
        (torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2)),
    ],
)
def test_dice_refuses_what_are_no_labels_of_the_logits(loss, logits, labels):
    with pytest.raises(ValueError, match="wants logits"):
        loss(logits, labels)


def test_a_temperature_that_divides_by_nothing_is_refused():
    with pytest.raises(ValueError, match="temperature must be positive"):
        sigmoid_dice(torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, dtype=torch.int64), 0.0)


def test_weights_let_all_classes_count_alike_and_the_mean_sample_one():
    counts = torch.tensor([90, 0, 10])
    weights = class_weights(counts)
    torch.testing.assert_close(weights, torch.tensor([100 / 180, 0.0, 100 / 20]))
    assert (weights * counts).sum() / counts.sum() == pytest.approx(1)


@pytest.mark.parametrize("counts", [[0, 0], [3, -1], [[1, 2]], [float("nan"), 1.0]])
def test_counts_of_nothing_are_refused(counts):
    with pytest.raises(ValueError, match="counts must be"):
        class_weights(torch.tensor(counts))


def test_a_batch_of_the_common_class_alone_pulls_as_little_as_its_weight():
    logits, targets = torch.tensor([[2.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 0])
    each = 1 + np.exp([-2.0, -1.0])
    loss = weighted_cross_entropy(logits, targets, torch.tensor([0.5, 5.0]))
    assert loss.item() == pytest.approx(0.5 * np.log(each).mean(), abs=1e-6)


def test_cross_entropy_is_the_mean_over_pixels_too():
    logits, targets = torch.randn(2, 3, 4, 5), torch.randint(0, 3, (2, 4, 5))
    weights = torch.tensor([0.5, 1.0, 4.0])
    loss = weighted_cross_entropy(logits, targets, weights)
    flat = weighted_cross_entropy(logits.movedim(1, -1).reshape(-1, 3), targets.flatten(), weights)
    torch.testing.assert_close(loss, flat)
    torch.testing.assert_close(
        weighted_cross_entropy(logits, targets, torch.ones(3)), torch.nn.functional.cross_entropy(logits, targets)
    )
