"""upfirdn2d against its definition in pumpgan.ops.reference."""

import math

import pytest
import torch
from conftest import assert_as_accurate
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pumpgan.ops import implementation, reference, upfirdn2d

HALF = {"cpu": [torch.bfloat16], "cuda": [torch.float16, torch.bfloat16]}
# Name: options of what a StyleGAN2 asks for with four taps.
USES = {
    "blur": dict(padding=(2, 1, 2, 1)),
    "down": dict(down=2, padding=(1, 1, 1, 1)),
    "up": dict(up=2, padding=(2, 1, 2, 1), gain=4.0),
}


@pytest.fixture(autouse=True, scope="module")
def native():
    before = implementation.in_use()
    implementation.use("native")
    yield
    implementation.use(before)


def binomial(device="cpu", dtype=torch.float32):
    return torch.tensor([1.0, 3.0, 3.0, 1.0], device=device, dtype=dtype) / 8


def laid_out(x, channels_last):
    return x.to(memory_format=torch.channels_last) if channels_last else x


def assert_same(x, taps, options, **tolerance):
    x = x.detach().requires_grad_()
    y, expected = upfirdn2d(x, taps, **options), reference.upfirdn2d(x, taps, **options)
    torch.testing.assert_close(y, expected, **tolerance)
    seed = torch.randn_like(expected)
    actual, wanted = torch.autograd.grad(y, x, seed), torch.autograd.grad(expected, x, seed)
    torch.testing.assert_close(actual, wanted, **tolerance)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    size=st.tuples(*[st.integers(1, most) for most in (2, 9, 9, 20)]),
    factors=st.tuples(st.integers(1, 3), st.integers(1, 4)),
    padding=st.tuples(*[st.integers(-2, 6)] * 4),
    filter_size=st.one_of(st.tuples(st.integers(1, 12)), st.tuples(st.integers(1, 5), st.integers(1, 5))),
    channels_last=st.booleans(),
    flip=st.booleans(),
)
def test_any_combination_of_options_matches_the_definition(size, factors, padding, filter_size, channels_last, flip):
    up, down = factors
    for extent, (before, after), taps in (
        (size[2] * up, padding[2:], filter_size[0]),
        (size[3] * up, padding[:2], filter_size[-1]),
    ):
        assume(min(before, after) >= -extent and extent + before + after >= taps)
    x = laid_out(torch.randn(size, dtype=torch.float64), channels_last)
    taps = torch.randn(filter_size, dtype=torch.float64)
    options = dict(up=up, down=down, padding=padding, gain=1.7, flip=flip)
    assert_same(x, taps, options, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-10)], ids=str)
def test_the_uses_of_a_generator_match_the_definition(device, use, channels_last, dtype, tolerance):
    # Several planes a sheet and a rest; then several tiles a row, of one value a pixel and of many.
    for size in [(2, 3, 16, 16), (1, 2, 11, 4000), (1, 64, 7, 150), (2, 128, 4, 40)]:
        x = laid_out(torch.randn(size, device=device, dtype=dtype), channels_last)
        for shape in ((12,), (4, 4), ()):
            taps = torch.randn(shape, device=device, dtype=dtype) / 4 if shape else binomial(device, dtype)
            options = dict(USES[use])
            if len(taps) == 12:
                options["padding"] = tuple(p + 4 for p in options["padding"])
            assert_same(x, taps, options, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("use", USES)
def test_is_twice_differentiable(device, use):
    for channels_last in (False, True):
        x = laid_out(torch.randn(2, 3, 4, 6, device=device, dtype=torch.float64), channels_last).requires_grad_()
        for taps in (torch.randn(4, device=device).double(), torch.randn(4, 4, device=device).double()):
            assert torch.autograd.gradcheck(lambda x, taps=taps: upfirdn2d(x, taps, **USES[use]), (x,))
            assert torch.autograd.gradgradcheck(lambda x, taps=taps: upfirdn2d(x, taps, **USES[use]), (x,))


@pytest.mark.parametrize("use", USES)
def test_half_precision_is_as_accurate_as_plain_torch(device, use):
    for dtype in HALF[device]:
        for channels_last in (False, True):
            x = laid_out(torch.randn(2, 8, 16, 18, device=device, dtype=dtype), channels_last)
            for taps in (binomial(device), torch.randn(13, device=device) / 4):
                options = USES[use] if len(taps) == 4 else USES[use] | {"padding": (6, 6, 6, 6)}

                def definition(x, options=options, taps=taps):
                    return reference.upfirdn2d(x, taps, **options)

                assert_as_accurate(upfirdn2d(x, taps, **options), definition, x)


def test_half_precision_is_rounded_once(device):
    for dtype in HALF[device]:
        x, taps = torch.randn(2, 8, 16, 18, device=device, dtype=dtype), torch.randn(13, device=device) / 4
        truth = reference.upfirdn2d(x.double(), taps.double(), padding=(6, 6, 6, 6))
        error = (upfirdn2d(x, taps, padding=(6, 6, 6, 6)).double() - truth).abs()
        assert (error <= truth.abs() * torch.finfo(dtype).eps / 2 + 1e-4).all()


def test_nothing_in_is_nothing_out(device):
    x = torch.zeros(0, 3, 8, 8, device=device, requires_grad=True)
    y = upfirdn2d(x, binomial(device), **USES["down"])
    assert y.shape == (0, 3, 4, 4)
    assert torch.autograd.grad(y.sum(), x)[0].shape == x.shape
    assert upfirdn2d(torch.zeros(2, 0, 8, 8, device=device), binomial(device), **USES["up"]).shape == (2, 0, 16, 16)


@pytest.mark.parametrize("kind", ["strided", "transposed", "expanded", "cut out of a channels-last buffer"])
def test_takes_any_layout(device, kind):
    x = torch.randn(2, 4, 6, 8, device=device)
    x = {
        "strided": x[:, ::2, :, 1:],
        "transposed": x.transpose(2, 3),
        "expanded": x[:1].expand(2, 4, 6, 8),
        "cut out of a channels-last buffer": x.to(memory_format=torch.channels_last)[:, 1:3, :, 2:],
    }[kind]
    taps = torch.randn(8, device=device)[::2]
    torch.testing.assert_close(upfirdn2d(x, taps), reference.upfirdn2d(x, taps))


def test_result_and_gradient_lie_in_memory_as_x(device):
    layouts = (torch.contiguous_format, torch.channels_last)
    for layout, other in (layouts, layouts[::-1]):
        x = torch.randn(2, 3, 8, 8, device=device).contiguous(memory_format=layout).requires_grad_()
        y, point = upfirdn2d(x, binomial(device), **USES["up"]), upfirdn2d(x, torch.ones(8, device=device))
        assert y.is_contiguous(memory_format=layout)
        for result, of in ((y, layout), (y, other), (point, layout)):  # a point lies in both ways
            seed = torch.randn_like(result).contiguous(memory_format=of)
            (grad,) = torch.autograd.grad(result, x, seed, retain_graph=True)
            assert grad.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("poison", [math.nan, math.inf])
@pytest.mark.parametrize("use", USES)
def test_nan_and_infinity_spread_as_far_as_the_filter_and_no_further(device, use, poison):
    for channels_last in (False, True):
        x = torch.randn(1, 2, 12, 12, device=device)
        x[0, 0, 5, 6] = poison
        x = laid_out(x, channels_last)
        y = upfirdn2d(x, binomial(device), **USES[use])
        clean = upfirdn2d(x.nan_to_num(posinf=0.0), binomial(device), **USES[use])
        touched = upfirdn2d((~x.isfinite()).float(), binomial(device), **USES[use]) > 0
        assert touched.any() and not y[touched].isfinite().any()
        torch.testing.assert_close(y[~touched], clean[~touched])


def test_keeps_the_brightness_of_a_constant_image(device):
    x = torch.full((1, 1, 8, 8), 0.25, device=device)
    y = upfirdn2d(x, binomial(device), **USES["up"])
    torch.testing.assert_close(y[..., 2:-2, 2:-2], torch.full((1, 1, 12, 12), 0.25, device=device))


@pytest.mark.parametrize("use", USES)
def test_compiles_into_one_graph(device, use):
    taps = binomial(device)

    def layer(x):
        return upfirdn2d(x * 2, taps, **USES[use]) + 1

    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for channels_last in (False, True):
        x = laid_out(torch.randn(2, 3, 8, 8, device=device), channels_last).requires_grad_()
        y, expected = compiled(x), layer(x)
        torch.testing.assert_close(y, expected)
        actual, wanted = (torch.autograd.grad(t.square().sum(), x) for t in (y, expected))
        torch.testing.assert_close(actual, wanted)


def test_runs_the_definition_where_the_reference_is_chosen(device):
    x = torch.randn(2, 3, 8, 8, device=device)
    implementation.use("reference")
    try:
        y = upfirdn2d(x, binomial(device), **USES["down"])
    finally:
        implementation.use("native")
    assert torch.equal(y, reference.upfirdn2d(x, binomial(device), **USES["down"]))


@pytest.mark.parametrize(
    "bad, why",
    [
        (dict(x=torch.zeros(3, 8, 8)), r"x must be \[N, C, H, W\]"),
        (dict(x=torch.zeros(1, 3, 8, 0)), "H, W >= 1"),
        (dict(x=torch.zeros(1, 3, 8, 8, dtype=torch.uint8)), "x must be one of"),
        (dict(taps=torch.zeros(2, 2, 2)), r"taps must be \[K\] or \[Kh, Kw\]"),
        (dict(taps=torch.zeros(0)), r"got shape \(0,\)"),
        (dict(taps=torch.ones(4, dtype=torch.int64)), "must be floating-point"),
        (dict(taps=torch.ones(4, requires_grad=True)), "must not require a gradient"),
        (dict(taps=torch.ones(4, device="meta")), "device of x"),
        (dict(up=0), "at least 1, got 0, 1"),
        (dict(padding=(1, 1)), r"padding must be \(left, right, top, bottom\)"),
        (dict(taps=torch.ones(9)), r"taps of 9 x 9 do not fit into 8 x 8 samples"),
        (dict(padding=(-9, 20, 0, 0)), "crops more than"),
    ],
)
def test_says_what_does_not_fit(bad, why):
    with pytest.raises(ValueError, match=why):
        upfirdn2d(**{"x": torch.zeros(1, 3, 8, 8), "taps": torch.ones(4), **bad})


# C++ only guards: torch 2.13 hands its exception on as ValueError, torch 2.15 as RuntimeError, the text the same.
def test_the_operator_guards_itself_too():
    with pytest.raises((ValueError, RuntimeError), match="fewer than the 9 taps"):
        torch.ops.pumpgan.upfirdn2d(torch.zeros(1, 1, 8, 8), torch.ones(9), 1, 1, 0, 0, 0, 0, 1.0, False)
