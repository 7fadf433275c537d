"""modulated_conv2d and its epilogue against their definition in pumpgan.ops.reference."""

import math

import pytest
import torch
from conftest import assert_as_accurate

from pumpgan.ops import modulated_conv2d, reference
from pumpgan.ops.modulated_conv2d import demodulation

TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
LAYERS = [  # N, I, O, H, W, k, up
    (2, 3, 5, 4, 6, 3, 1),
    (3, 5, 2, 7, 5, 1, 1),
    (2, 3, 4, 5, 4, 3, 2),
    (1, 1, 1, 1, 1, 3, 2),
    (2, 17, 33, 3, 9, 3, 1),
    (2, 4, 6, 64, 64, 1, 1),
    (0, 3, 5, 4, 6, 3, 1),
    (0, 3, 5, 4, 6, 3, 2),
]


def inputs(layer, device, dtype=torch.float64, shared_noise=False, channels_last=False):
    n, i, o, h, w, k, up = layer
    shapes = [(n, i, h, w), (o, i, k, k), (n, i), (o,), (1 if shared_noise else n, 1, up * h, up * w)]
    tensors = [torch.randn(shape, device=device, dtype=dtype) for shape in shapes]
    if channels_last:
        tensors[0] = tensors[0].to(memory_format=torch.channels_last)
    return [t.requires_grad_() for t in tensors]


def call(function, tensors, up=1, **options):
    taps = TAPS.to(tensors[0]) if up == 2 else None
    return function(*tensors, up=up, taps=taps, **options)


def assert_matches_the_definition(tensors, tolerance, **options):
    y, expected = (call(f, tensors, **options) for f in (modulated_conv2d, reference.modulated_conv2d))
    torch.testing.assert_close(y, expected, rtol=tolerance, atol=tolerance)
    seed = torch.randn_like(y)
    wanted = [t for t in tensors if t is not None]
    gradients, truth = (torch.autograd.grad(r, wanted, seed) for r in (y, expected))
    for actual, true in zip(gradients, truth, strict=True):
        scale = max(1.0, true.abs().max().item() if true.numel() else 1.0)
        torch.testing.assert_close(actual, true, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("layer", LAYERS, ids=str)
@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("channels_last", [True, False])
def test_value_and_gradients_match_the_definition(device, layer, demodulate, channels_last):
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        tensors = inputs(layer, device, dtype, channels_last=channels_last)
        assert_matches_the_definition(tensors, tolerance, up=layer[-1], demodulate=demodulate)


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("with_noise", [True, False])
@pytest.mark.parametrize("demodulate", [True, False])
def test_every_part_may_be_left_out(device, channels_last, with_bias, with_noise, demodulate):
    x, weight, styles, bias, noise = inputs((3, 4, 5, 6, 7, 3, 1), device, channels_last=channels_last)
    tensors = [x, weight, styles, bias if with_bias else None, noise if with_noise else None]
    assert_matches_the_definition(tensors, 1e-10, demodulate=demodulate, clamp=0.9, slope=0.3, gain=1.7)


def test_a_batch_may_share_its_noise(device):
    tensors = inputs((3, 4, 5, 6, 7, 3, 1), device, shared_noise=True)
    assert_matches_the_definition(tensors, 1e-10)


@pytest.mark.parametrize("shape", [(2, 6, 130, 70), (2, 200, 3, 5), (5, 70, 33, 9)], ids=str)
@pytest.mark.parametrize("channels_last", [True, False])
def test_sums_that_cross_tiles_match_the_definition(device, shape, channels_last):
    n, c, h, w = shape
    tensors = inputs((n, 2, c, h, w, 1, 1), device, channels_last=channels_last)
    assert_matches_the_definition(tensors, 1e-10)


@pytest.mark.parametrize("layer", [(2, 2, 3, 3, 2, 3, 1), (2, 2, 2, 2, 3, 3, 2), (1, 3, 2, 2, 2, 1, 1)], ids=str)
@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("shared_noise", [True, False])
def test_is_twice_differentiable_in_every_input(device, layer, demodulate, shared_noise):
    def layer_of(*tensors):
        return call(modulated_conv2d, tensors, up=layer[-1], demodulate=demodulate)

    tensors = inputs(layer, device, shared_noise=shared_noise, channels_last=shared_noise)
    assert torch.autograd.gradcheck(layer_of, tensors)
    assert torch.autograd.gradgradcheck(layer_of, tensors)


@pytest.mark.parametrize("channels_last", [True, False])
def test_second_gradients_match_the_definition_where_the_layer_is_clamped(device, channels_last):
    tensors = inputs((2, 3, 4, 5, 6, 3, 1), device, channels_last=channels_last)

    def penalty_gradient(function):
        y = call(function, tensors, clamp=0.8)
        first = torch.autograd.grad((y * y.detach().cos()).sum(), tensors, create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in first), tensors)

    actual, expected = penalty_gradient(modulated_conv2d), penalty_gradient(reference.modulated_conv2d)
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)


def test_half_precision_is_as_accurate_as_plain_torch(device):
    for dtype in [torch.bfloat16] if device == "cpu" else [torch.bfloat16, torch.float16]:
        for channels_last in (True, False):
            tensors = inputs((2, 8, 16, 9, 7, 3, 1), device, dtype, channels_last=channels_last)
            assert_as_accurate(modulated_conv2d(*tensors), reference.modulated_conv2d, *tensors)


@pytest.mark.parametrize("up", [1, 2])
def test_parameters_stay_float32_beside_bfloat16_activations(device, up):
    tensors = inputs((2, 8, 16, 6, 5, 3, up), device, torch.float32, channels_last=True)
    x = tensors[0].detach().bfloat16().requires_grad_()
    y = call(modulated_conv2d, [x, *tensors[1:]], up=up)
    expected = call(reference.modulated_conv2d, tensors, up=up)
    assert y.dtype == torch.bfloat16 and y.is_contiguous(memory_format=torch.channels_last)
    seed = torch.randn_like(expected)
    gradients = torch.autograd.grad(y, [x, *tensors[1:]], seed.bfloat16())
    truth = torch.autograd.grad(expected, tensors, seed)
    assert [g.dtype for g in gradients] == [torch.bfloat16] + [torch.float32] * 4
    for actual, true in zip([y, *gradients], [expected, *truth], strict=True):
        assert (actual.float() - true).norm() < 0.03 * true.norm()


def test_gradients_do_not_depend_on_the_number_of_threads():
    tensors = inputs((3, 4, 70, 40, 50, 1, 1), "cpu", torch.float32)
    styles = torch.randn(3, 70)
    y = torch.ops.pumpgan.modulated_epilogue(torch.randn(3, 70, 40, 50), styles, tensors[4], tensors[3], 0.2, 1.4, 9.0)
    threads, results = torch.get_num_threads(), []
    for count in (1, 2):
        torch.set_num_threads(count)
        results.append(torch.ops.pumpgan.modulated_epilogue_backward(y.cos(), y, y, styles, True, True, 0.2, 1.4, 9.0))
    torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_demodulation_gives_every_output_channel_unit_variance(device):
    weight, styles = torch.randn(7, 5, 3, 3, device=device), torch.randn(4, 5, device=device)
    scaled = weight[None] * styles[:, None, :, None, None] * demodulation(weight, styles)[:, :, None, None, None]
    torch.testing.assert_close(scaled.square().sum(dim=(2, 3, 4)), torch.ones(4, 7, device=device))


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("channels_last", [True, False])
def test_lets_a_diverged_run_show(device, poison, channels_last):
    tensors = [t.detach() for t in inputs((1, 2, 3, 4, 4, 1, 1), device, torch.float32, channels_last=channels_last)]
    tensors[0][0, 1, 2, 3] = poison
    y = modulated_conv2d(*tensors, clamp=256.0)
    torch.testing.assert_close(y, reference.modulated_conv2d(*tensors, clamp=256.0), equal_nan=True)


@pytest.mark.parametrize("channels_last", [True, False])
def test_no_gradient_flows_through_a_clamp_that_half_precision_rounds(device, channels_last):
    for dtype in [torch.bfloat16] if device == "cpu" else [torch.bfloat16, torch.float16]:
        tensors = inputs((2, 3, 4, 5, 6, 1, 1), device, dtype, channels_last=channels_last)
        x, _, _, bias, _ = tensors
        bias.data.fill_(50.0)
        y = call(modulated_conv2d, tensors, clamp=0.7)  # bfloat16 holds 0.7 as 0.69921875, below it
        assert torch.equal(y, torch.full_like(y, 0.7))
        for gradient in torch.autograd.grad(y.sum(), (x, bias)):
            assert gradient.abs().max() == 0


@pytest.mark.parametrize("layout", ["strided", "expanded"])
def test_takes_any_layout(device, layout):
    x, weight, styles, bias, noise = (t.detach() for t in inputs((2, 3, 4, 6, 5, 3, 1), device))
    x = {"strided": torch.randn(2, 6, 6, 10).to(x)[:, ::2, :, ::2], "expanded": x[:1].expand_as(x)}[layout]
    styles, noise = styles.T.contiguous().T, noise.expand(2, 4, 6, 5)[:, 1:2]
    torch.testing.assert_close(
        modulated_conv2d(x, weight, styles, bias, noise), reference.modulated_conv2d(x, weight, styles, bias, noise)
    )


@pytest.mark.parametrize("channels_last", [True, False])
def test_output_lies_in_memory_as_the_input_does(device, channels_last):
    tensors = inputs((2, 3, 4, 6, 5, 3, 1), device, channels_last=channels_last)
    y = modulated_conv2d(*tensors)
    assert y.is_contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def test_compiles_into_one_graph(device):
    def layer(*tensors):
        return modulated_conv2d(*tensors) + 1

    tensors = inputs((2, 3, 4, 6, 5, 3, 1), device)
    y, expected = torch.compile(layer, fullgraph=True, backend="aot_eager")(*tensors), layer(*tensors)
    torch.testing.assert_close(y, expected)
    seed = torch.randn_like(y)
    torch.testing.assert_close(torch.autograd.grad(y, tensors, seed), torch.autograd.grad(expected, tensors, seed))


GOOD = dict(x=torch.zeros(2, 3, 4, 4), weight=torch.zeros(5, 3, 3, 3), styles=torch.zeros(2, 3))


@pytest.mark.parametrize(
    "bad, why",
    [
        (dict(x=torch.zeros(2, 3)), r"x must be \[N, I, H, W\], got \[2, 3\]"),
        (dict(weight=torch.zeros(5, 4, 3, 3)), r"weight must be \[O, 3, k, k\] with odd k, got \[5, 4, 3, 3\]"),
        (dict(weight=torch.zeros(5, 3, 2, 2)), "odd k"),
        (dict(styles=torch.zeros(2, 4)), r"styles must be \[2, 3\], got \[2, 4\]"),
        (dict(bias=torch.zeros(3)), r"bias must be \[5\], got \[3\]"),
        (dict(bias=torch.zeros(5, dtype=torch.int64)), "bias must be floating-point"),
        (dict(noise=torch.zeros(2, 1, 8, 8)), r"noise must be \[2 or 1, 1, 4, 4\]"),
        (dict(up=3), "up must be 1 or 2, got 3"),
        (dict(up=2), "taps must be given where up is 2"),
        (dict(slope=0.0), "slope must be positive, got 0.0"),
        (dict(gain=-1.0), "gain must be positive"),
        (dict(clamp=0.0), "clamp must be positive"),
    ],
)
def test_says_what_does_not_fit(bad, why):
    with pytest.raises(ValueError, match=why):
        modulated_conv2d(**{**GOOD, **bad})
