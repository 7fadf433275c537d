"""label_stats and gaussian_kl against their definitions in pumpgan.ops.reference."""

import math

import pytest
import torch
from conftest import assert_as_accurate

from pumpgan.ops import gaussian_kl, label_stats, reference

SHAPES = [(2, 3, 5, 7), (1, 1, 1, 1), (3, 11, 1, 129), (2, 11, 64, 65), (5, 2, 130, 1), (1, 200, 3, 3), (0, 3, 4, 4)]


def laid_out(shape, layout, device, dtype=torch.float64):
    b, c, h, w = shape
    if layout == "slice of channels-last":  # as a generator draws colours and labels in one layer
        whole = torch.randn(b, c + 3, h, w, device=device, dtype=dtype).to(memory_format=torch.channels_last)
        return whole[:, 3:].detach().requires_grad_()
    x = torch.randn(shape, device=device, dtype=dtype)
    if layout == "channels-last":
        x = x.to(memory_format=torch.channels_last)
    if layout == "strided":
        x = torch.randn(b, c, h, 2 * w, device=device, dtype=dtype)[..., ::2]
    if layout == "transposed":
        x = torch.randn(b, c, w, h, device=device, dtype=dtype).transpose(2, 3)
    return x.detach().requires_grad_()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("layout", ["plain", "channels-last", "slice of channels-last", "strided", "transposed"])
@pytest.mark.parametrize("temperature", [1.0, 0.1])
def test_value_and_gradient_match_the_definition(device, shape, layout, temperature):
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        logits = laid_out(shape, layout, device, dtype)
        fractions, counts = label_stats(logits, temperature=temperature)
        expected, true_counts = reference.label_stats(logits, temperature=temperature)
        assert counts.dtype == torch.int64 and torch.equal(counts, true_counts)
        torch.testing.assert_close(fractions, expected, rtol=tolerance, atol=tolerance)
        seed = torch.randn_like(fractions)
        (gradient,) = torch.autograd.grad(fractions, logits, seed)
        (truth,) = torch.autograd.grad(expected, logits, seed)
        torch.testing.assert_close(gradient, truth, rtol=tolerance, atol=tolerance)


def test_labels_are_counted_once_each(device):
    fractions, counts = label_stats(torch.randn(4, 11, 50, 60, device=device))
    assert counts.sum(dim=1).tolist() == [3000] * 4
    torch.testing.assert_close(fractions.sum(dim=1), torch.ones(4, device=device))


def test_of_equal_logits_the_first_is_counted(device):
    logits = torch.randint(0, 2, (3, 4, 9, 9), device=device).float()
    first = [[(image.argmax(dim=0) == c).sum().item() for c in range(4)] for image in logits]
    assert label_stats(logits)[1].tolist() == first
    assert label_stats(torch.full((1, 3, 2, 2), -math.inf, device=device))[1].tolist() == [[4, 0, 0]]


def test_hugely_different_logits_give_shares_of_nought_and_one(device):
    logits = torch.tensor([-3e38, 0.0, 1e4], device=device).reshape(1, 3, 1, 1).expand(2, 3, 4, 5)
    fractions, _ = label_stats(logits, temperature=0.1)
    assert fractions.tolist() == [[0.0, 0.0, 1.0]] * 2


@pytest.mark.parametrize("layout", ["plain", "channels-last", "strided"])
def test_of_a_pixel_with_nans_the_first_of_them_is_counted(device, layout):
    for dtype in (torch.float32, torch.bfloat16):
        logits = laid_out((2, 5, 30, 41), layout, device, dtype).detach()
        for value in (math.nan, math.inf, -math.inf):
            logits[torch.rand(logits.shape, device=device) < 0.02] = value
        assert torch.equal(label_stats(logits)[1], reference.label_stats(logits)[1])


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_lets_a_diverged_run_show_in_its_image_alone(device, poison):
    logits = torch.randn(2, 3, 40, 40, device=device)
    logits[1, 2, 30, 7] = poison
    logits[1, 0, 30, 8] = math.nan
    fractions, counts = label_stats(logits)
    expected, true_counts = reference.label_stats(logits)
    assert fractions[1].isnan().all() and torch.equal(counts, true_counts)
    torch.testing.assert_close(fractions, expected, equal_nan=True)


def test_single_and_half_precision_are_as_accurate_as_plain_torch(device):
    for dtype in [torch.float32, torch.bfloat16] + ([torch.float16] if device == "cuda" else []):
        logits = (4 * torch.randn(3, 11, 40, 50, device=device)).to(dtype).requires_grad_()
        fractions, _ = label_stats(logits, temperature=0.3)
        assert fractions.dtype == torch.float32
        assert_as_accurate(fractions, lambda x: reference.label_stats(x, temperature=0.3)[0], logits.detach())
        seed = torch.randn_like(fractions)

        def gradient(x, function, seed=seed):
            x = x.detach().requires_grad_()
            fractions = function(x, temperature=0.3)[0]
            return torch.autograd.grad(fractions, x, seed.to(fractions.dtype))[0]

        assert_as_accurate(gradient(logits, label_stats), lambda x: gradient(x, reference.label_stats), logits.detach())


@pytest.mark.parametrize("layout", ["plain", "slice of channels-last"])
def test_fractions_are_twice_differentiable(device, layout):
    logits = laid_out((2, 3, 2, 3), layout, device)

    def fractions(logits):
        return label_stats(logits, temperature=0.7)[0]

    assert torch.autograd.gradcheck(fractions, logits)
    assert torch.autograd.gradgradcheck(fractions, logits)


def test_counts_have_no_gradient(device):
    assert not label_stats(torch.randn(1, 2, 3, 3, device=device, requires_grad=True))[1].requires_grad


def test_results_do_not_depend_on_the_number_of_threads():
    logits, threads, results = torch.randn(3, 11, 90, 70), torch.get_num_threads(), []
    for count in (1, 2):
        torch.set_num_threads(count)
        results.append(label_stats(logits))
    torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def moments(classes, device, dtype=torch.float64):
    return [torch.rand(classes, device=device, dtype=dtype) + 0.1 for _ in range(3)]


@pytest.mark.parametrize("shape", [(1, 3), (2, 1), (80, 11), (5, 300)], ids=str)
def test_divergence_matches_its_definition_to_second_order(device, shape):
    fractions = torch.rand(shape, device=device, dtype=torch.float64, requires_grad=True)
    target = moments(shape[1], device)
    kl, expected = gaussian_kl(fractions, *target), reference.gaussian_kl(fractions, *target)
    torch.testing.assert_close(kl, expected, rtol=1e-10, atol=1e-10)
    seed = torch.randn_like(kl)
    (first,) = torch.autograd.grad(kl, fractions, seed, create_graph=True)
    (true_first,) = torch.autograd.grad(expected, fractions, seed, create_graph=True)
    torch.testing.assert_close(first, true_first, rtol=1e-10, atol=1e-10)
    second = torch.autograd.grad(first.square().sum(), fractions)
    torch.testing.assert_close(second, torch.autograd.grad(true_first.square().sum(), fractions), rtol=1e-8, atol=1e-9)


def test_divergence_is_twice_differentiable(device):
    for n in (1, 4):
        fractions = torch.rand(n, 3, device=device, dtype=torch.float64, requires_grad=True)
        target = moments(3, device)
        assert torch.autograd.gradcheck(lambda f, t=target: gaussian_kl(f, *t), fractions)
        assert torch.autograd.gradgradcheck(lambda f, t=target: gaussian_kl(f, *t), fractions)


def test_divergence_in_single_precision_is_as_accurate_as_plain_torch(device):
    fractions = torch.rand(64, 11, device=device)
    assert_as_accurate(gaussian_kl(fractions, *(target := moments(11, device, torch.float32))), reference.gaussian_kl,
                       fractions, *target)  # fmt: skip


def test_divergence_vanishes_where_the_moments_agree_and_is_finite_where_nothing_varies(device):
    fractions = torch.rand(50, 4, device=device, dtype=torch.float64)
    floor = torch.full((4,), 0.01, device=device, dtype=torch.float64)
    kl = gaussian_kl(fractions, fractions.mean(dim=0), fractions.std(dim=0), floor)
    torch.testing.assert_close(kl, torch.zeros_like(kl), rtol=0, atol=1e-12)
    constant = torch.zeros(8, 4, device=device, dtype=torch.float64, requires_grad=True)
    kl = gaussian_kl(constant, floor, floor, floor)
    (gradient,) = torch.autograd.grad(kl.sum(), constant)
    assert kl.isfinite().all() and gradient.isfinite().all() and (gradient < 0).all()


def test_divergence_lets_a_diverged_run_show(device):
    fractions = torch.rand(4, 2, device=device)
    fractions[2, 1] = math.nan
    assert gaussian_kl(fractions, *moments(2, device, torch.float32)).isnan().tolist() == [False, True]


def test_both_compile_into_one_graph(device):
    def loss(logits, target):
        fractions, counts = label_stats(logits * 2, temperature=0.5)
        return gaussian_kl(fractions, *target).sum() + counts.sum()

    logits, target = laid_out((3, 4, 5, 6), "plain", device), moments(4, device)
    compiled, expected = torch.compile(loss, fullgraph=True, backend="aot_eager")(logits, target), loss(logits, target)
    torch.testing.assert_close(compiled, expected)
    torch.testing.assert_close(torch.autograd.grad(compiled, logits), torch.autograd.grad(expected, logits))


@pytest.mark.parametrize(
    "logits, temperature, why",
    [
        (torch.zeros(2, 3), 1.0, r"logits must be \[B, C, H, W\] with H, W > 0, got \[2, 3\]"),
        (torch.zeros(2, 3, 0, 4), 1.0, "H, W > 0"),
        (torch.zeros(2, 0, 4, 4), 1.0, "1 to 256 classes, got 0"),
        (torch.zeros(1, 257, 1, 1), 1.0, "1 to 256 classes, got 257"),
        (torch.zeros(2, 3, 4, 4, dtype=torch.int64), 1.0, "logits must be one of"),
        (torch.zeros(2, 3, 4, 4), 0.0, "temperature must be positive, got 0.0"),
    ],
)
def test_label_stats_says_what_does_not_fit(logits, temperature, why):
    with pytest.raises(ValueError, match=why):
        label_stats(logits, temperature=temperature)


@pytest.mark.parametrize(
    "bad, why",
    [
        (dict(fractions=torch.zeros(0, 3)), r"fractions must be \[N, C\] with N > 0"),
        (dict(fractions=torch.zeros(2, 3, dtype=torch.bfloat16)), "fractions must be float32 or float64"),
        (dict(mean=torch.zeros(4)), r"mean must be \[3\], got \[4\]"),
        (dict(std=torch.zeros(3, dtype=torch.float64)), "std must have the dtype of fractions"),
        (dict(floor=torch.ones(3, requires_grad=True)), "floor must not require a gradient"),
    ],
)
def test_gaussian_kl_says_what_does_not_fit(bad, why):
    good = dict(fractions=torch.zeros(2, 3), mean=torch.zeros(3), std=torch.zeros(3), floor=torch.ones(3))
    with pytest.raises(ValueError, match=why):
        gaussian_kl(**{**good, **bad})
