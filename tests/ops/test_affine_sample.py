"""affine_sample against scipy, against its definition in pumpgan.ops.reference, and against its own adjoint."""

import math

import numpy as np
import pytest
import torch
from conftest import assert_as_accurate
from scipy.ndimage import map_coordinates

from pumpgan.ops import affine_sample, implementation, reference

HALF = {"cpu": [torch.bfloat16], "cuda": [torch.float16, torch.bfloat16]}
SIZES = [  # of x, of y
    ((2, 3, 5, 7), (6, 4)),
    ((1, 1, 1, 1), (3, 2)),
    ((2, 1, 1, 9), (1, 1)),
    ((1, 40, 6, 33), (20, 50)),  # more than one group of channels, several vectors a row
    ((3, 16, 12, 12), (12, 12)),
]
LARGER = torch.finfo(torch.float32).max


@pytest.fixture(autouse=True, scope="module")
def native():
    before = implementation.in_use()
    implementation.use("native")
    yield
    implementation.use(before)


def laid_out(x, channels_last):
    return x.to(memory_format=torch.channels_last) if channels_last else x


def maps(n, *rows, device="cpu", dtype=torch.float64):
    """The same map n times; the identity unless told."""
    return torch.tensor(rows or [[1, 0, 0], [0, 1, 0]], device=device, dtype=dtype).expand(n, 2, 3)


def drawn_maps(n, device="cpu", dtype=torch.float64):
    """Turns, shrinking and enlarging up to fourfold, shears, shifts beyond the borders."""
    linear = torch.linalg.qr(torch.randn(n, 2, 2, dtype=torch.float64)).Q * 4 ** (2 * torch.rand(n, 2, 1) - 1)
    shift = torch.randn(n, 2, 1, dtype=torch.float64) * 10
    return torch.cat([linear + torch.randn(n, 2, 2) / 5, shift], dim=2).to(device, dtype)


SINGULAR = [([0, 0, 0.75], [0, 0, -1]), ([1, 2, 0], [2, 4, 0.25]), ([4, 0, 0], [0, 0, 1.5])]


def by_scipy(x, matrices, size):
    """scipy's "reflect" mirrors at -1/2 and W - 1/2."""
    v, u = np.mgrid[: size[0], : size[1]] - (np.array(size).reshape(2, 1, 1) - 1) / 2
    y = np.empty((*x.shape[:2], *size))
    for n, matrix in enumerate(matrices.numpy()):
        column, row = np.tensordot(matrix, np.stack([u, v, np.ones_like(u)]), axes=1)
        places = [row + (x.shape[2] - 1) / 2, column + (x.shape[3] - 1) / 2]
        for c in range(x.shape[1]):
            y[n, c] = map_coordinates(x[n, c].numpy(), places, order=1, mode="reflect")
    return torch.from_numpy(y)


@pytest.mark.parametrize("shape, size", SIZES)
@pytest.mark.parametrize("function", [affine_sample, reference.affine_sample], ids=["kernels", "definition"])
def test_shows_what_scipy_shows(function, shape, size):
    for _ in range(5):
        x, matrices = torch.randn(shape, dtype=torch.float64), drawn_maps(shape[0])
        torch.testing.assert_close(function(x, matrices, size), by_scipy(x, matrices, size), rtol=0, atol=1e-12)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("shape, size", SIZES)
def test_value_and_gradient_match_the_definition_in_every_precision(device, shape, size, channels_last):
    for dtype in (torch.float64, torch.float32, *HALF[device]):
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        x, seed = torch.randn(shape, device=device).to(dtype), torch.randn(*shape[:2], *size, device=device).to(dtype)
        # In steps of 1/64, so that every precision finds the same places.
        matrices = (drawn_maps(shape[0], device) * 64).round().div(64).to(wide)

        def gradient(function, seed, x, matrices):
            leaf = x.detach().requires_grad_()
            return torch.autograd.grad(function(leaf, matrices, size), leaf, seed)[0]

        def definition(*tensors):
            return gradient(reference.affine_sample, *tensors)

        lying = laid_out(x, channels_last), laid_out(seed, channels_last)
        y, grad = affine_sample(lying[0], matrices, size), gradient(affine_sample, lying[1], lying[0], matrices)
        if dtype == torch.float64:
            torch.testing.assert_close(y, reference.affine_sample(x, matrices, size), rtol=0, atol=1e-12)
            torch.testing.assert_close(grad, definition(seed, x, matrices), rtol=0, atol=1e-10)
        else:
            assert_as_accurate(y, lambda x, m: reference.affine_sample(x, m, size), x, matrices)
            assert_as_accurate(grad, definition, seed, x, matrices)


@pytest.mark.parametrize("channels_last", [False, True])
def test_its_gradient_is_its_adjoint(device, channels_last):
    for (n, c, h, w), size in SIZES:
        for matrices in [drawn_maps(n, device), *(maps(n, *rows, device=device) for rows in SINGULAR)]:
            x, y = (torch.randn(n, c, *s, device=device).double() for s in ((h, w), size))
            x, y = laid_out(x, channels_last), laid_out(y, channels_last)
            there = (affine_sample(x, matrices, size) * y).sum()
            back = (x * torch.ops.pumpgan.affine_sample_backward(y, matrices, h, w)).sum()
            torch.testing.assert_close(there, back, rtol=0, atol=1e-11 * y.abs().sum().item())


@pytest.mark.parametrize("function", [affine_sample, reference.affine_sample], ids=["kernels", "definition"])
def test_is_twice_differentiable(device, function):
    for channels_last in (False, True):
        x = laid_out(torch.randn(2, 3, 4, 5, device=device, dtype=torch.float64), channels_last).requires_grad_()
        matrices = drawn_maps(2, device)
        assert torch.autograd.gradcheck(lambda x, m=matrices: function(x, m, (5, 3)), x)
        assert torch.autograd.gradgradcheck(lambda x, m=matrices: function(x, m, (5, 3)).square(), x)


@pytest.mark.parametrize("shape", [(2, 3, 6, 6), (1, 2, 7, 7)])
def test_the_identity_and_quarter_turns_copy_pixels(device, shape):
    for dtype in (torch.float32, torch.float64, *HALF[device]):
        x = torch.randn(shape, device=device).to(dtype)
        for channels_last in (False, True):
            for quarters in range(4):
                cos, sin = [(1, 0), (0, 1), (-1, 0), (0, -1)][quarters]
                wide = torch.float64 if dtype == torch.float64 else torch.float32
                turn = maps(shape[0], [cos, -sin, 0], [sin, cos, 0], device=device, dtype=wide)
                y = affine_sample(laid_out(x, channels_last), turn, shape[2:])
                assert torch.equal(y, torch.rot90(x, quarters, (2, 3)))


def test_an_image_goes_on_mirrored_without_end(device):
    x = torch.randn(1, 1, 2, 3, device=device)
    y = affine_sample(x, maps(1, device=device, dtype=torch.float32), (2, 3 + 2 * 30))  # ten images to each side
    mirrored = torch.cat([x, x.flip(3)] * 10 + [x], dim=3)
    assert torch.equal(y, mirrored)
    far = affine_sample(x, maps(1, [1, 0, 6 * 2**20], [0, 1, -4 * 2**20], device=device, dtype=torch.float32), (2, 3))
    assert torch.equal(far, x)


def test_the_same_bits_in_every_run_and_with_any_number_of_threads(device):
    matrices = drawn_maps(3, device, torch.float32)
    for channels_last in (False, True):
        grad = laid_out(torch.randn(3, 40, 33, 31, device=device), channels_last)
        first = torch.ops.pumpgan.affine_sample_backward(grad, matrices, 40, 20)
        threads = torch.get_num_threads()
        torch.set_num_threads(4)
        try:
            again = torch.ops.pumpgan.affine_sample_backward(grad, matrices, 40, 20)
        finally:
            torch.set_num_threads(threads)
        assert torch.equal(first, again)


def test_nothing_in_is_nothing_out(device):
    x = torch.zeros(0, 3, 8, 8, device=device, requires_grad=True)
    y = affine_sample(x, torch.zeros(0, 2, 3, device=device), (4, 5))
    assert y.shape == (0, 3, 4, 5)
    assert torch.autograd.grad(y.sum(), x)[0].shape == x.shape
    assert (
        affine_sample(torch.zeros(2, 0, 8, 8, device=device), torch.zeros(2, 2, 3, device=device), (4, 5)).numel() == 0
    )


@pytest.mark.parametrize("kind", ["strided", "transposed", "expanded", "cut out of a channels-last buffer"])
def test_takes_any_layout(device, kind):
    x = torch.randn(2, 4, 6, 8, device=device, dtype=torch.float64)
    x = {
        "strided": x[:, ::2, :, 1:],
        "transposed": x.transpose(2, 3),
        "expanded": x[:1].expand(2, 4, 6, 8),
        "cut out of a channels-last buffer": x.to(memory_format=torch.channels_last)[:, 1:3, :, 2:],
    }[kind]
    matrices = drawn_maps(3, device).transpose(1, 2).contiguous().transpose(1, 2)[::2]
    torch.testing.assert_close(affine_sample(x, matrices, (5, 9)), reference.affine_sample(x, matrices, (5, 9)))


def test_result_and_gradient_lie_in_memory_as_x(device):
    layouts = (torch.contiguous_format, torch.channels_last)
    for layout, other in (layouts, layouts[::-1]):
        x = torch.randn(2, 3, 8, 8, device=device).contiguous(memory_format=layout).requires_grad_()
        for function in (affine_sample, reference.affine_sample):
            assert function(x, drawn_maps(2, device, torch.float32), (5, 6)).is_contiguous(memory_format=layout)
        y = affine_sample(x, drawn_maps(2, device, torch.float32), (5, 6))
        for of in (layout, other):
            seed = torch.randn_like(y).contiguous(memory_format=of)
            (grad,) = torch.autograd.grad(y, x, seed, retain_graph=True)
            assert grad.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_nan_and_infinity_reach_the_pixels_that_show_them_and_no_others(device, poison):
    matrices = drawn_maps(2, device)
    for channels_last in (False, True):
        x, grad = (torch.randn(2, 2, 12, 12, device=device, dtype=torch.float64) for _ in range(2))
        x[0, 0, 5, 6] = grad[1, 1, 3, 4] = poison
        touched = reference.affine_sample((~x.isfinite()).double(), matrices, (12, 12)) > 0
        assert touched.any()
        assert torch.equal(~affine_sample(laid_out(x, channels_last), matrices, (12, 12)).isfinite(), touched)
        back = torch.ops.pumpgan.affine_sample_backward(laid_out(grad, channels_last), matrices, 12, 12)
        reached = torch.ops.pumpgan.affine_sample_backward((~grad.isfinite()).double(), matrices, 12, 12) > 0
        assert reached.any() and torch.equal(~back.isfinite(), reached)


@pytest.mark.parametrize("function", [affine_sample, reference.affine_sample], ids=["kernels", "definition"])
@pytest.mark.parametrize("entry", [math.nan, math.inf, -math.inf, LARGER, -LARGER, 2.0**30, -(2.0**30), 1e10])
def test_a_place_that_is_nowhere_is_nan_and_gives_nothing_back(device, function, entry):
    for k in range(6):
        matrices = maps(2, device=device, dtype=torch.float32).clone()
        matrices[1].view(-1)[k] = entry
        x = torch.randn(2, 3, 5, 5, device=device, requires_grad=True)
        y = function(x, matrices, (4, 6))  # whose centre is no pixel
        assert y[0].isfinite().all()
        assert y[1].isnan().all()
        (grad,) = torch.autograd.grad(y, x, torch.ones_like(y))
        assert grad[0].sum() > 0 and (grad[1] == 0).all()


def test_compiles_into_one_graph(device):
    matrices = drawn_maps(2, device, torch.float32)

    def layer(x):
        return affine_sample(x * 2, matrices, (5, 9)) + 1

    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for channels_last in (False, True):
        x = laid_out(torch.randn(2, 3, 8, 8, device=device), channels_last).requires_grad_()
        y, expected = compiled(x), layer(x)
        torch.testing.assert_close(y, expected)
        actual, wanted = (torch.autograd.grad(t.square().sum(), x) for t in (y, expected))
        torch.testing.assert_close(actual, wanted)


def test_runs_the_definition_where_the_reference_is_chosen(device):
    x, matrices = torch.randn(2, 3, 8, 8, device=device), drawn_maps(2, device, torch.float32)
    implementation.use("reference")
    try:
        y = affine_sample(x, matrices, (5, 6))
    finally:
        implementation.use("native")
    assert torch.equal(y, reference.affine_sample(x, matrices, (5, 6)))


@pytest.mark.parametrize(
    "bad, why",
    [
        (dict(x=torch.zeros(3, 8, 8)), r"x must be \[N, C, H, W\]"),
        (dict(x=torch.zeros(1, 3, 8, 0)), "H, W from 1 to"),
        (dict(x=torch.zeros(1, 1, 1, 1).expand(1, 1, 1, 2**24 + 1)), "H, W from 1 to"),
        (dict(x=torch.zeros(1, 3, 8, 8, dtype=torch.uint8)), "x must be one of"),
        (dict(matrices=torch.zeros(2, 2, 3)), r"matrices must be \[1, 2, 3\], got \[2, 2, 3\]"),
        (dict(matrices=torch.zeros(1, 3, 3)), r"matrices must be \[1, 2, 3\]"),
        (dict(matrices=torch.zeros(1, 2, 3).double()), "must be float64 beside a float64 x, else float32, got"),
        (dict(matrices=torch.zeros(1, 2, 3, requires_grad=True)), "must not require a gradient"),
        (dict(matrices=torch.zeros(1, 2, 3, device="meta")), "device of x"),
        (dict(size=(0, 8)), r"size must be \(height, width\), each from 1"),
        (dict(size=(8,)), r"size must be \(height, width\)"),
    ],
)
def test_says_what_does_not_fit(bad, why):
    with pytest.raises(ValueError, match=why):
        affine_sample(**{"x": torch.zeros(1, 3, 8, 8), "matrices": torch.zeros(1, 2, 3), "size": (8, 8), **bad})


# C++ only guards: torch 2.13 hands its exception on as ValueError, torch 2.15 as RuntimeError, the text the same.
def test_the_operator_guards_itself_too():
    with pytest.raises((ValueError, RuntimeError), match=r"matrices must be \[2, 2, 3\]"):
        torch.ops.pumpgan.affine_sample(torch.zeros(2, 1, 8, 8), torch.zeros(1, 2, 3), 8, 8)
    with pytest.raises((ValueError, RuntimeError), match="got 0 x 8"):
        torch.ops.pumpgan.affine_sample_backward(torch.zeros(2, 1, 8, 8), torch.zeros(2, 2, 3), 0, 8)
