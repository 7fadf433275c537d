"""blurred_epilogue and its backward, as operators, against their definition in pumpgan.ops.reference."""

import math

import pytest
import torch
from conftest import assert_as_accurate

from pumpgan.ops import reference
from pumpgan.ops.blurred_epilogue import blurred_epilogue, fuses

TAPS = torch.tensor([1.0, 3.0, 4.0, 1.5]) / 8  # not symmetric: a flip must show
OPTIONS = dict(padding=(1, 1), filter_gain=4.0, slope=0.3, gain=1.7, clamp=2.5)
SHAPES = [
    (2, 32, 9, 7),
    (1, 64, 2, 2),
    (2, 96, 5, 9),
    (1, 160, 37, 5),
    (2, 32, 3, 70),
    (1, 512, 34, 130),
    (0, 32, 5, 5),
]


def inputs(shape, device, dtype=torch.float64, *, shared_noise=False):
    n, c, h, w = shape
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    x = torch.randn(shape, device=device).to(dtype).to(memory_format=torch.channels_last)
    sizes = [(n, c), (1 if shared_noise else n, 1, h - 1, w - 1), (c,)]
    return [t.requires_grad_() for t in (x, *(torch.randn(size, device=device, dtype=wide) for size in sizes))]


def fused(x, d, noise, bias, *, taps=TAPS, **options):
    taps, options = taps.to(x.device, torch.float64 if x.dtype == torch.float64 else torch.float32), OPTIONS | options
    assert fuses(x, taps, options["padding"]) or x.numel() == 0
    return blurred_epilogue(x, taps, d, noise, bias, **options)


def definition(x, d, noise, bias, *, taps=TAPS, **options):
    return reference.blurred_epilogue(x, taps.to(x.device), d, noise, bias, **(OPTIONS | options))


def assert_follows(tensors, tolerance=1e-10, **options):
    y, expected = fused(*tensors, **options), definition(*tensors, **options)
    torch.testing.assert_close(y, expected, rtol=tolerance, atol=tolerance)
    wanted, seed = [t for t in tensors if t is not None], torch.randn_like(expected)
    gradients, truth = (torch.autograd.grad(r, wanted, seed) for r in (y, expected))
    for actual, true in zip(gradients, truth, strict=True):
        scale = max(1.0, true.abs().max().item() if true.numel() else 1.0)
        torch.testing.assert_close(actual, true, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_value_and_gradients_match_the_definition(device, shape):
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        assert_follows(inputs(shape, device, dtype), tolerance)


@pytest.mark.parametrize("missing", [(1,), (2,), (3,), (1, 2, 3)], ids=str)
def test_every_part_may_be_left_out(device, missing):
    tensors = inputs((2, 64, 6, 9), device)
    assert_follows([None if k in missing else t for k, t in enumerate(tensors)])


@pytest.mark.parametrize("shared_noise", [True, False])
def test_is_twice_differentiable_in_every_input(device, shared_noise):
    tensors = inputs((2, 8, 3, 4), device, shared_noise=shared_noise)
    assert torch.autograd.gradcheck(fused, tensors)
    assert torch.autograd.gradgradcheck(lambda *t: fused(*t, clamp=math.inf), tensors)


def test_second_gradients_match_the_definition_where_some_values_are_clamped(device):
    tensors = inputs((2, 32, 7, 8), device)

    def penalty_gradient(function):
        y = function(*tensors, clamp=0.8)
        first = torch.autograd.grad((y * y.detach().cos()).sum(), tensors, create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in first), tensors)

    torch.testing.assert_close(penalty_gradient(fused), penalty_gradient(definition), rtol=1e-9, atol=1e-9)


def test_half_precision_is_as_accurate_as_plain_torch(device):
    for dtype in [torch.bfloat16] if device == "cpu" else [torch.bfloat16, torch.float16]:
        tensors = [t.detach() for t in inputs((2, 32, 9, 7), device, dtype)]
        assert_as_accurate(fused(*tensors), definition, *tensors)


def test_gradients_in_half_precision_are_near_those_of_the_definition(device):
    tensors = inputs((2, 64, 33, 17), device, torch.bfloat16)
    exact = [t.detach().double().requires_grad_() for t in tensors]
    y, expected = fused(*tensors, clamp=math.inf), definition(*exact, clamp=math.inf)
    seed = torch.randn_like(y)
    gradients, truth = torch.autograd.grad(y, tensors, seed), torch.autograd.grad(expected, exact, seed.double())
    for actual, true in zip(gradients, truth, strict=True):
        assert (actual.double() - true).norm() < 0.01 * true.norm()


def test_gradients_do_not_depend_on_the_number_of_threads():
    tensors = inputs((3, 96, 70, 41), "cpu", torch.float32)
    y = fused(*tensors)
    threads, results = torch.get_num_threads(), []
    for count in (1, 2):
        torch.set_num_threads(count)
        results.append(torch.autograd.grad(y, tensors, y.detach().cos(), retain_graph=True))
    torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
def test_lets_a_diverged_run_show(device, poison):
    tensors = inputs((1, 32, 9, 8), device, torch.float32)
    tensors[0].data[0, 1, 4, 5] = poison
    y, expected = fused(*tensors), definition(*tensors)
    torch.testing.assert_close(y, expected, equal_nan=True)
    seed = torch.zeros_like(y)
    seed[0, 1, 0, 0] = poison  # far from the other
    grad_x, _, grad_noise, grad_bias = torch.autograd.grad(y, tensors, seed)
    assert not grad_x[0, 1, 1, 1].isfinite() and grad_x[0, 0].isfinite().all()
    assert (~grad_noise.isfinite()).sum() == 1 and (~grad_bias.isfinite()).sum() == 1


def test_no_gradient_flows_through_a_clamp_that_half_precision_rounds(device):
    x, d, noise, bias = inputs((2, 32, 5, 6), device, torch.bfloat16)
    bias.data.fill_(500.0)
    y = fused(x, d, noise, bias, clamp=0.7)  # bfloat16 holds 0.7 as 0.69921875, below it
    assert torch.equal(y, torch.full_like(y, 0.7))
    assert all(g.abs().max() == 0 for g in torch.autograd.grad(y.sum(), (x, d, noise, bias)))


def test_takes_tensors_that_lie_anyhow(device):
    x, d, noise, bias = (t.detach() for t in inputs((2, 32, 6, 5), device))
    buffer = torch.randn(1 + x.numel(), dtype=x.dtype, device=device)  # one element behind what is aligned
    shifted = buffer[1:].view(2, 6, 5, 32).permute(0, 3, 1, 2).copy_(x).requires_grad_()
    vector = torch.cat([bias[:1], bias])[1:]
    scales, wide_noise = d.T.contiguous().T, noise.expand(2, 3, 5, 4)[:, 1:2]
    y = fused(shifted, scales, wide_noise, vector)
    assert y.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(y, definition(x, d, noise, bias))
    for seed in (torch.randn(2, 64, 10, 8, device=device)[:, ::2, ::2, ::2], torch.ones(1, device=device).expand_as(y)):
        seed = seed.to(x.dtype)
        (grad_x,) = torch.autograd.grad(y, shifted, seed, retain_graph=True)
        assert grad_x.is_contiguous(memory_format=torch.channels_last)
        leaf = x.clone().requires_grad_()
        torch.testing.assert_close(grad_x, *torch.autograd.grad(definition(leaf, d, noise, bias), leaf, seed))


@pytest.mark.parametrize(
    "change", [dict(channels=33), dict(padding=(2, 1)), dict(count=6), dict(layout=torch.contiguous_format)], ids=str
)
def test_two_operators_do_what_one_pass_does_not_take(device, change):
    channels, padding, count = change.get("channels", 32), change.get("padding", (1, 1)), change.get("count", 4)
    x = torch.randn(2, channels, 9, 8, device=device, dtype=torch.float64)
    x = x.to(memory_format=change.get("layout", torch.channels_last)).requires_grad_()
    taps = torch.randn(count, device=device, dtype=torch.float64)
    assert not fuses(x, taps, padding)
    options = OPTIONS | dict(padding=padding)
    y, expected = (f(x, taps, None, None, None, **options) for f in (blurred_epilogue, reference.blurred_epilogue))
    torch.testing.assert_close(y, expected)
    seed = torch.randn_like(y)
    torch.testing.assert_close(torch.autograd.grad(y, x, seed), torch.autograd.grad(expected, x, seed))


def test_guards_its_arguments(device):
    x, d, noise, bias = (t.detach() for t in inputs((2, 32, 6, 5), device, torch.float32))
    for bad, why in [
        (dict(x=x[0]), r"x must be \[N, C, H \+ 1, W \+ 1\]"),
        (dict(x=x[:, :30]), "channels must fill blocks of 64 bytes, got 30"),
        (dict(d=d.double()), "d must have the shape and device"),
        (dict(noise=noise[:, :, 1:]), "noise must have the shape"),
        (dict(taps=TAPS.double()), r"taps must be \[4\], on the device of x, and float64"),
        (dict(slope=0.0), "slope and gain must be positive"),
    ]:
        arguments = dict(x=x, taps=TAPS.to(device), d=d, noise=noise, bias=bias, filter_gain=4.0, slope=0.2) | bad
        with pytest.raises((ValueError, RuntimeError), match=why):
            torch.ops.pumpgan.blurred_epilogue(*arguments.values(), 1.0, 2.0)
