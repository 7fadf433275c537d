"""The classifier and the segmenter: shapes, what they make of grey and of odd sizes, half precision, decisions."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pumpgan.models.classifier import Classifier
from pumpgan.models.imagenet import MEAN, STD, as_imagenet
from pumpgan.models.segmenter import Segmenter, decide, pad_by_reflection


@pytest.fixture(scope="module")
def classifier():
    torch.manual_seed(0)
    return Classifier()


@pytest.fixture(scope="module")
def segmenter():
    torch.manual_seed(0)
    return Segmenter(3)


def seen_before(network, steps=2):
    """The network in evaluation, after its running statistics have met a few images."""
    network.train()
    for _ in range(steps):
        network(torch.rand(4, 3, 32, 32) * 2 - 1)
    return network.eval()


def test_images_become_what_imagenet_s_networks_expect():
    pixels = torch.rand(2, 3, 4, 5)
    expected = (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    torch.testing.assert_close(as_imagenet(2 * pixels - 1), expected)


@pytest.mark.parametrize("images", [torch.zeros(3, 8, 8), torch.zeros(1, 2, 8, 8), torch.zeros(1, 3, 8, 8).byte()])
def test_images_of_another_kind_are_refused(images, classifier, segmenter):
    for network in (classifier, segmenter):
        with pytest.raises(ValueError, match="images: must be float"):
            network(images)


@pytest.mark.parametrize("make", [Classifier, Segmenter])
def test_one_class_alone_is_refused(make):
    with pytest.raises(ValueError, match="classes: must be at least 2"):
        make(1)


@pytest.mark.parametrize("size", [(32, 32), (40, 17)])
@torch.no_grad()
def test_a_classifier_gives_logits_and_takes_grey_for_rgb(classifier, size):
    network, grey = seen_before(classifier), torch.rand(2, 1, *size) * 2 - 1
    assert network(grey).shape == (2, 2)
    torch.testing.assert_close(network(grey), network(grey.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize("size", [(32, 32), (33, 50), (5, 3), (1, 64)])
@torch.no_grad()
def test_a_segmenter_gives_logits_of_the_image_s_size(segmenter, size):
    network, grey = seen_before(segmenter), torch.rand(2, 1, *size) * 2 - 1
    logits = network(grey)
    assert logits.shape == (2, 3, *size) and logits.isfinite().all()
    torch.testing.assert_close(logits, network(grey.expand(-1, 3, -1, -1)))


@torch.no_grad()
def test_a_segmenter_s_logits_stand_where_its_image_does(segmenter):
    network = seen_before(segmenter)
    whole = torch.rand(1, 3, 40, 36) * 2 - 1
    padded, top, left = pad_by_reflection(whole, 32)
    expected = network(padded)[:, :, top : top + 40, left : left + 36]
    torch.testing.assert_close(network(whole), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(64, 96), (40, 33), (20, 17), (7, 2), (3, 1), (1, 1)])
def test_padding_is_numpy_s_reflection_to_the_next_multiple(size):
    images = torch.rand(2, 1, *size)
    padded, top, left = pad_by_reflection(images, 32)
    lacking = [-side % 32 for side in size]
    assert (top, left) == (lacking[0] // 2, lacking[1] // 2)
    widths = [(0, 0), (0, 0), *((n // 2, n - n // 2) for n in lacking)]
    np.testing.assert_array_equal(padded.numpy(), np.pad(images.numpy(), widths, mode="reflect"))


@pytest.mark.parametrize("name", ["classifier", "segmenter"])
@pytest.mark.parametrize("channels", [1, 3])
def test_bfloat16_trains_as_float32_does(name, channels, request):
    network = request.getfixturevalue(name).train()
    images = torch.rand(8, channels, 32, 32) * 2 - 1
    gradients = []
    for enabled in (False, True):
        network.zero_grad()
        torch.manual_seed(1)  # of what the segmenter's decoder drops
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            logits = network(images)
        assert logits.dtype == (torch.bfloat16 if enabled and name == "segmenter" else torch.float32)
        logits.float().log_softmax(1)[:, 1].mean().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
        gradients.append(torch.cat([p.grad.flatten() for p in list(network.parameters())[-4:]]))
    assert torch.cosine_similarity(*gradients, dim=0) > 0.95


def spotted(count):
    """Noise with a bright square in every other image, and the square's pixels as labels."""
    labels = torch.zeros(count, 32, 32, dtype=torch.int64)
    for i in range(0, count, 2):
        top, left = torch.randint(0, 22, (2,)).tolist()
        labels[i, top : top + 10, left : left + 10] = 1
    return 0.1 * torch.randn(count, 1, 32, 32) + 0.5 * labels[:, None], labels


def trained(network, loss, steps):
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    return network


def test_half_precision_ranks_images_by_logits_in_full(classifier):
    images = torch.rand(64, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        logits = classifier.eval()(images)
    assert logits.dtype == torch.float32 and len(logits[:, 1].unique()) == len(images)


def test_a_classifier_learns_which_images_hold_a_square():
    images, labels = spotted(16)
    targets, network = labels.flatten(1).amax(1), Classifier()
    trained(network, lambda: F.cross_entropy(network(images), targets), 12)
    assert torch.equal(network(images).argmax(1), targets)


def test_a_segmenter_learns_where_the_square_is():
    images, labels = spotted(8)
    network = Segmenter(2)
    trained(network, lambda: F.cross_entropy(network(images), labels, weight=torch.tensor([1.0, 8.0])), 12)
    found = decide(network(images), 0.5)
    assert (found & labels).sum() / (found | labels).sum() > 0.2  # all pixels: 0.05


def test_of_two_classes_the_threshold_decides():
    chances = torch.tensor([0.2, 0.6, 0.89, 0.91])
    logits = torch.stack([(1 - chances).log(), chances.log()])[None, :, None]
    assert decide(logits).tolist() == [[[0, 0, 0, 1]]]
    assert decide(logits, 0.5).tolist() == [[[0, 1, 1, 1]]]
    assert decide(logits.bfloat16(), 0.5).dtype == torch.int64


def test_of_more_classes_the_likeliest_is_taken():
    logits = torch.tensor([[0.0, 2.0], [0.1, 0.0], [0.2, 1.0]])[None, :, None]
    assert decide(logits).tolist() == [[[2, 0]]]


@pytest.mark.parametrize("logits, threshold", [(torch.zeros(2, 3), 0.5), (torch.zeros(1, 1, 2, 2), 0.5)])
def test_logits_of_no_classes_are_refused(logits, threshold):
    with pytest.raises(ValueError, match="logits must be"):
        decide(logits, threshold)


@pytest.mark.parametrize("threshold", [0.0, 1.0, float("nan")])
def test_a_threshold_that_decides_nothing_is_refused(threshold):
    with pytest.raises(ValueError, match="threshold: must be between 0 and 1"):
        decide(torch.zeros(1, 2, 2, 2), threshold)


@pytest.mark.parametrize("make", [Classifier, lambda: Segmenter(2)])
def test_weights_are_drawn_from_torch_s_seed(make):
    drawn = []
    for _ in range(2):
        torch.manual_seed(3)
        drawn.append(make().state_dict())
    assert all(torch.equal(drawn[0][name], drawn[1][name]) for name in drawn[0])


def test_an_untrained_segmenter_is_undecided_wherever_it_looks():
    network = Segmenter(3).eval()
    assert torch.equal(network(torch.randn(2, 1, 32, 32)), torch.zeros(2, 3, 32, 32))
