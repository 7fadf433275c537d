"""The pipeline as a whole: identity, seeds, pairs of image and label, dtypes, gradients of both orders."""

import pytest
import torch

from pumpgan.augment.adaptive import PIPES, Transforms, apply, draw


def drawn(pipe, n=4, size=(12, 10), channels=3, p=1.0, device="cpu") -> Transforms:
    return draw(pipe, n, size, channels, torch.tensor(p, device=device), device=device)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("pipe", PIPES)
def test_nothing_changes_at_probability_0(device, pipe, channels):
    x, labels = torch.rand(4, channels, 12, 10, device=device) * 2 - 1, torch.randn(4, 5, 12, 10, device=device)
    y, seen = apply(drawn(pipe, channels=channels, p=0.0, device=device), x, labels)
    torch.testing.assert_close(y, x, atol=2e-6, rtol=0)
    torch.testing.assert_close(seen, labels, atol=1e-5, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("pipe", PIPES)
def test_every_image_changes_at_probability_1(device, pipe, channels):
    x = torch.rand(32, channels, 12, 10, device=device) * 2 - 1
    y = apply(drawn(pipe, 32, channels=channels, device=device), x)
    assert y.shape == x.shape and y.isfinite().all()
    changed = (y - x).abs().amax(dim=(1, 2, 3)) > 1e-4
    assert changed.float().mean() > 0.9  # of whole moves one in forty is none


def test_a_seed_settles_everything_and_the_images_nothing(device):
    torch.manual_seed(3)
    first = drawn("bgcfnc", device=device)
    torch.rand(5)
    torch.manual_seed(3)
    second = drawn("bgcfnc", device=device)
    other = drawn("bgcfnc", device=device)
    for a, b, c in zip(first[1:], second[1:], other[1:], strict=True):
        assert torch.equal(a, b) and not torch.equal(a, c)
    x = torch.rand(4, 3, 12, 10, device=device)
    whole = apply(first, x)
    assert torch.equal(whole, apply(second, x))
    alone = Transforms((1, 3, 12, 10), *(t[2:3] for t in first[1:]))
    torch.testing.assert_close(apply(alone, x[2:3]), whole[2:3])  # no image looks at its neighbours


def test_the_probability_shared_by_all_is_each_sample_s_own_coin(device):
    matrices = drawn("bg", 256, p=0.5, device=device).matrices
    assert len(matrices.flatten(1).unique(dim=0)) > 200


def test_nothing_waits_for_the_device():
    """Values of tensors are never asked for: a tensor without values gets through, and CUDA graphs with it."""
    with torch.device("meta"):
        x, p = torch.rand(4, 3, 12, 10), torch.rand([])
    y, labels = apply(draw("bgcfnc", 4, (12, 10), 3, p, device="meta"), x, x)
    assert y.shape == labels.shape == x.shape


@pytest.mark.parametrize("pipe", ["bg", "cutout", "bgcfnc"])
def test_labels_go_where_their_pixels_go(device, pipe):
    """Of an image whose colours are its labels' first channels."""
    labels = torch.randn(16, 3, 24, 24, device=device)
    transforms = drawn(pipe, 16, (24, 24), device=device)
    still = transforms._replace(colours=None, gains=None, noise=None)
    image, seen = apply(still, labels, labels)
    assert torch.equal(image, seen)
    _, beside_changed_colours = apply(transforms, labels, labels)
    assert torch.equal(beside_changed_colours, seen)


def test_a_colour_still_names_its_label_after_the_warp(device):
    """A picture of four quarters, each painted in the colour of its class: both are read off the result."""
    palette = torch.tensor([[-1.0, -1, -1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], device=device)
    ids = torch.zeros(16, 24, 24, dtype=torch.long, device=device)
    ids[:, :12, 12:], ids[:, 12:, :12], ids[:, 12:, 12:] = 1, 2, 3
    labels = torch.nn.functional.one_hot(ids, 4).permute(0, 3, 1, 2).float() * 2 - 1
    image, seen = apply(drawn("bg", 16, (24, 24), device=device), palette[ids].permute(0, 3, 1, 2), labels)
    distance = (image[:, None] - palette[None, :, :, None, None]).square().sum(dim=2)  # [N, 4, H, W]
    agrees = distance.argmin(dim=1) == seen.argmax(dim=1)
    assert agrees.float().mean() > 0.98  # ties stand along the quarters' edges
    assert (seen.argmax(dim=1) == ids).float().mean() < 0.7  # and it did move


def test_computes_in_float32_at_least(device):
    x = (torch.rand(4, 3, 12, 10, device=device) * 2 - 1).bfloat16()
    transforms = drawn("bgcfnc", device=device)
    y = apply(transforms, x)
    assert y.dtype == torch.float32 and torch.equal(y, apply(transforms, x.float()))
    wide = apply(transforms, x.double())
    assert wide.dtype == torch.float64
    torch.testing.assert_close(y, wide.float(), atol=1e-4, rtol=1e-4)


def test_leaves_what_it_is_given(device):
    x, labels = torch.rand(4, 3, 12, 10, device=device), torch.rand(4, 2, 12, 10, device=device)
    copies = x.clone(), labels.clone()
    apply(drawn("bgcfnc", device=device), x, labels)
    assert torch.equal(x, copies[0]) and torch.equal(labels, copies[1])


@pytest.mark.parametrize("pipe", PIPES)
def test_is_affine_in_the_images(device, pipe):
    transforms = drawn(pipe, device=device)
    a, b = torch.randn(2, 4, 3, 12, 10, device=device, dtype=torch.float64)
    mixed = apply(transforms, 0.3 * a + 0.7 * b)
    torch.testing.assert_close(mixed, 0.3 * apply(transforms, a) + 0.7 * apply(transforms, b))


def test_gradients_of_both_orders_are_right_through_the_whole_pipe(device):
    transforms = drawn("bgcfnc", 2, (5, 4), device=device)
    x = torch.randn(2, 3, 5, 4, device=device, dtype=torch.float64, requires_grad=True)
    labels = torch.randn(2, 2, 5, 4, device=device, dtype=torch.float64, requires_grad=True)

    def pair(x, labels):
        return apply(transforms, x, labels)

    assert torch.autograd.gradcheck(pair, (x, labels))
    assert torch.autograd.gradgradcheck(pair, (x, labels))


def test_r1_reaches_a_discriminator_s_weights_through_the_whole_pipe(device):
    """The penalty on the gradient at the images as they were before the change; its own gradient by differences."""
    transforms = drawn("bgcfnc", 2, (5, 4), device=device)
    x = torch.randn(2, 3, 5, 4, device=device, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 3, 3, 3, device=device, dtype=torch.float64, requires_grad=True)

    def penalty(x, weight):
        score = torch.nn.functional.conv2d(apply(transforms, x), weight).tanh().sum()
        return torch.autograd.grad(score, x, create_graph=True)[0].square().sum()

    assert torch.autograd.gradcheck(penalty, (x, weight))


def test_nothing_in_is_nothing_out(device):
    x = torch.zeros(0, 3, 12, 10, device=device)
    assert apply(drawn("bgcfnc", 0, device=device), x).shape == x.shape


def test_says_what_does_not_fit():
    p, x = torch.tensor(0.5), torch.zeros(4, 3, 12, 10)
    for arguments, why in (
        (("colour", 4, (12, 10), 3, p), "pipe must be one of blit, .*, got 'colour'"),
        (("bgc", 4, (12, 10), 4, p), "channels must be 1 or 3, got 4"),
        (("bgc", -1, (12, 10), 3, p), "n must be at least 0"),
        (("bgc", 4, (12, 0), 3, p), r"size at least 1 x 1, got 4 and \(12, 0\)"),
        (("bgc", 4, (12, 10), 3, torch.rand(4)), r"p must be a scalar tensor on cpu, got \[4\]"),
        (("bgc", 4, (12, 10), 3, p.to("meta")), "p must be a scalar tensor on cpu, got .* on meta"),
    ):
        with pytest.raises(ValueError, match=why):
            draw(*arguments, device="cpu")
    for arguments, why in (
        ((x[:2],), r"images must be \[4, 3, 12, 10\] as drawn for, got \[2, 3, 12, 10\]"),
        ((x, x[:, :, 1:]), r"labels must be \[4, K, 12, 10\]"),
        ((x, x[0]), r"labels must be \[4, K, 12, 10\]"),
        ((x, x.double()), "as wide as the images"),
    ):
        with pytest.raises(ValueError, match=why):
            apply(drawn("bgc"), *arguments)
