"""Every operator on random shapes, in every dtype and layout: value, gradient and second gradient against float64.

The memory that results come to lie in holds NaN before (the largest number where it holds integers), so an element
that nobody writes shows.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pumpgan.ops import (
    affine_sample,
    bias_act,
    gaussian_kl,
    implementation,
    label_stats,
    modulated_conv2d,
    reference,
    upfirdn2d,
)
from pumpgan.ops.blurred_epilogue import blurred_epilogue

LARGEST_ERROR = {torch.float64: 1e-10, torch.float32: 1e-5, torch.bfloat16: 1e-2}  # norm of the error over the truth's
SMALLEST_NORM = 1e-3  # smaller ones are what is left when larger terms cancel
TAPS = torch.tensor([1.0, 3.0, 4.0, 1.5], dtype=torch.float64) / 8  # not symmetric: a flip must show
USES = [
    dict(padding=(2, 1, 2, 1)),
    dict(down=2, padding=(1, 1, 1, 1), flip=True),
    dict(up=2, padding=(2, 1, 2, 1), gain=4.0),
    dict(up=2, padding=(1, 2, 3, 0)),  # its first row and column meet the filter one sample later
    dict(padding=(-1, 2, 0, 3)),
]
DTYPES = st.sampled_from([torch.float64, torch.float32, torch.bfloat16])
CHANNELS = st.one_of(st.integers(1, 9), st.integers(8, 70))  # from a cache line of channels on, other loops run
SIDES = st.integers(4, 12)


@pytest.fixture(autouse=True, scope="module")
def native():
    before = implementation.in_use()
    implementation.use("native")
    yield
    implementation.use(before)


@pytest.fixture(autouse=True, scope="module")
def poisoned_memory():
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)  # with which torch fills whatever it allocates
    assert torch.utils.deterministic.fill_uninitialized_memory and torch.empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(before)


def examples(count):
    return settings(max_examples=count, deadline=None, derandomize=True, database=None)


def random(shape, dtype, channels_last=False):
    x = torch.randn(shape, dtype=torch.float64).to(dtype)
    return x.to(memory_format=torch.channels_last) if channels_last else x


def derivatives(function, tensors, seeds):
    """The value, its gradient with respect to `tensors`, and the gradient of what that is when weighed by `seeds`."""
    leaves = [t.detach().requires_grad_() for t in tensors]
    y = function(*leaves)
    first = torch.autograd.grad(y, leaves, seeds[0].to(y.dtype).requires_grad_(), create_graph=True)
    weighed = sum((g * s.to(g.dtype)).sum() for g, s in zip(first, seeds[1:], strict=True))
    second = [None] * len(leaves)
    if weighed.requires_grad:
        second = torch.autograd.grad(weighed, leaves, allow_unused=True)
    return [y, *first, *(torch.zeros_like(t) if g is None else g for t, g in zip(leaves, second, strict=True))]


def assert_follows(function, definition, tensors):
    """function, in the dtype of `tensors`, errs as little as that dtype allows beside the definition in float64."""
    exact = [t.double() for t in tensors]
    seeds = [torch.randn_like(definition(*exact)), *(torch.randn_like(t) for t in exact)]
    seeds = [s.to(tensors[0].dtype).double() for s in seeds]  # what both sides can represent
    actual = derivatives(function, tensors, seeds)
    wanted = derivatives(definition, exact, seeds)
    for a, w in zip(actual, wanted, strict=True):
        error, size = (a.double() - w).norm(), w.norm().clamp_min(SMALLEST_NORM)
        assert error <= LARGEST_ERROR[tensors[0].dtype] * size, (error, size, a.shape, a.dtype)


@examples(60)
@given(n=st.integers(1, 3), c=CHANNELS, h=SIDES, w=SIDES, dtype=DTYPES, channels_last=st.booleans())
def test_bias_act_follows_its_definition(n, c, h, w, dtype, channels_last):
    tensors = [random((n, c, h, w), dtype, channels_last), random((c,), dtype)]
    assert_follows(bias_act, reference.bias_act, tensors)


@examples(120)
@given(
    n=st.integers(1, 2),
    c=CHANNELS,
    h=SIDES,
    w=SIDES,
    dtype=DTYPES,
    channels_last=st.booleans(),
    use=st.sampled_from(USES),
    square=st.booleans(),
)
def test_upfirdn2d_follows_its_definition(n, c, h, w, dtype, channels_last, use, square):
    taps = torch.outer(TAPS, TAPS.flip(0)) if square else TAPS
    assert_follows(
        lambda x: upfirdn2d(x, taps, **use),
        lambda x: reference.upfirdn2d(x, taps, **use),
        [random((n, c, h, w), dtype, channels_last)],
    )


@examples(60)
@given(
    n=st.integers(1, 3),
    c=CHANNELS,
    sides=st.tuples(*[st.integers(1, 12)] * 4),
    dtype=DTYPES,
    channels_last=st.booleans(),
    largest=st.sampled_from([1, 4, 40]),
)
def test_affine_sample_follows_its_definition(n, c, sides, dtype, channels_last, largest):
    # In steps of 1/64, so that every precision finds the same places.
    maps = (torch.randn(n, 2, 3, dtype=torch.float64) * largest * 64).round() / 64
    wide = maps if dtype == torch.float64 else maps.float()
    assert_follows(
        lambda x: affine_sample(x, maps if x.dtype == torch.float64 else wide, sides[2:]),
        lambda x: reference.affine_sample(x, maps, sides[2:]),
        [random((n, c, *sides[:2]), dtype, channels_last)],
    )


@examples(30)
@given(
    n=st.integers(1, 3),
    i=st.integers(2, 5),  # normalised over one channel, a style has no effect and its gradient is rounding alone
    o=CHANNELS,
    side=SIDES,
    dtype=DTYPES,
    channels_last=st.booleans(),
    up=st.sampled_from([1, 2]),
    demodulate=st.booleans(),
)
def test_modulated_conv2d_follows_its_definition(n, i, o, side, dtype, channels_last, up, demodulate):
    shapes = [(o, i, 3, 3), (n, i), (o,), (n, 1, up * side, up * side)]
    tensors = [random((n, i, side, side), dtype, channels_last), *(random(shape, dtype) for shape in shapes)]
    options = dict(demodulate=demodulate, up=up, taps=TAPS)

    def definition(*tensors):
        return reference.modulated_conv2d(*tensors, **options)

    if dtype == torch.bfloat16:  # what rounding between its steps costs, plain torch pays too
        truth = definition(*(t.double() for t in tensors))
        plain = (definition(*tensors).double() - truth).norm()
        error = (modulated_conv2d(*tensors, **options).double() - truth).norm()
        assert error <= 2 * plain + LARGEST_ERROR[dtype] * truth.norm()
    else:
        assert_follows(lambda *t: modulated_conv2d(*t, **options), definition, tensors)


@examples(60)
@given(
    n=st.integers(1, 3), c=st.sampled_from([32, 64, 96, 160]), h=st.integers(2, 40), w=st.integers(2, 12), dtype=DTYPES
)
def test_blurred_epilogue_follows_its_definition(n, c, h, w, dtype):
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    vectors = [random(shape, wide) for shape in ((n, c), (n, 1, h - 1, w - 1), (c,))]
    options = dict(padding=(1, 1), filter_gain=4.0, slope=0.2, gain=1.4, clamp=math.inf)
    assert_follows(
        lambda x, *rest: blurred_epilogue(x, TAPS.to(wide), *rest, **options),
        lambda x, *rest: reference.blurred_epilogue(x, TAPS, *rest, **options),
        [random((n, c, h, w), dtype, channels_last=True), *vectors],
    )


@examples(60)
@given(n=st.integers(1, 3), c=st.integers(1, 20), h=SIDES, w=SIDES, dtype=DTYPES, channels_last=st.booleans())
def test_label_stats_follow_their_definition(n, c, h, w, dtype, channels_last):
    logits = random((n, c, h, w), dtype, channels_last)
    assert_follows(
        lambda x: label_stats(x, temperature=0.7)[0],
        lambda x: reference.label_stats(x, temperature=0.7)[0],
        [logits],
    )
    assert torch.equal(label_stats(logits)[1], reference.label_stats(logits)[1])


@examples(30)
@given(n=st.integers(2, 9), c=st.integers(1, 20))
def test_gaussian_kl_follows_its_definition(n, c):
    target = [torch.rand(c, dtype=torch.float64) + 0.1 for _ in range(3)]
    assert_follows(
        lambda f: gaussian_kl(f, *target), lambda f: reference.gaussian_kl(f, *target), [random((n, c), torch.float64)]
    )


@examples(80)
@given(
    c=CHANNELS,
    h=SIDES,
    w=SIDES,
    dtype=DTYPES,
    channels_last=st.booleans(),
    value=st.sampled_from([math.nan, math.inf, -math.inf]),
    place=st.integers(0, 10**6),
    use=st.sampled_from(USES),
)
def test_what_is_not_finite_reaches_exactly_what_depends_on_it(c, h, w, dtype, channels_last, value, place, use):
    x = random((2, c, h, w), dtype)
    x.view(-1)[place % x.numel()] = value
    if channels_last:
        x = x.to(memory_format=torch.channels_last)
    for function, definition in (
        (bias_act, reference.bias_act),
        (lambda x: upfirdn2d(x, TAPS, **use), lambda x: reference.upfirdn2d(x, TAPS, **use)),
    ):
        assert torch.equal(function(x).isfinite(), definition(x.double()).isfinite())
    if math.isnan(value):
        assert torch.equal(label_stats(x)[0].isnan(), reference.label_stats(x.double())[0].isnan())
