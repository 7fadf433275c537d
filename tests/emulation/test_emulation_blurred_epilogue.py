"""The up-convolution's filter and epilogue as one CUDA kernel each way, run by the processor under sanitizers."""

import math
from itertools import product

import pytest
import torch
from emulator import SANITIZERS, Call, Output, emulator
from test_emulation import EACH_DTYPE, Checks, gradients, output_like, stored, wide

from pumpgan.ops import reference

TAPS = torch.tensor([1.0, 3.0, 4.0, 1.5]) / 8  # not symmetric: a flip must show
SHAPES = [(2, 32, 5, 7), (1, 32, 1, 1), (2, 96, 4, 9), (1, 64, 19, 5), (3, 160, 7, 6)]  # of y

pytestmark = pytest.mark.parametrize("sanitizer", SANITIZERS)


def blur_shape(sanitizer, shape):
    """As the binding makes it, tiles as the launcher wants them."""
    n, c, h, w = shape
    asked = dict(samples=n, channels=c, rows=h, columns=w, band=1, bundle=1, channel_tile=1)
    call = Call("blur_tiles_for_cuda", asked)
    emulator(sanitizer).run(call)
    return {name: getattr(call.struct, name) for name in asked}


def test_blurred_epilogue_and_its_gradients(sanitizer):
    checks, other = Checks(), EACH_DTYPE[sanitizer]
    for k, shape in enumerate(SHAPES):
        n, c, h, w = shape
        tiles = blur_shape(sanitizer, shape)
        channel_parts = (h // tiles["band"] + 1) * (w // tiles["bundle"] + 1)
        pixel_parts = -(-c // tiles["channel_tile"])
        for dtype, (complete, clamp) in product(
            (torch.float32, other[k % len(other)]), ((True, 2.0), (False, math.inf))
        ):
            clamp = clamp if dtype in (torch.float32, torch.float64) else math.inf
            taps = TAPS.to(wide(dtype))
            x = torch.randn(n, c, h + 1, w + 1).to(dtype)
            seed = torch.randn(shape).to(dtype)
            d, noise, bias = (torch.randn(s, dtype=wide(dtype)) for s in ((n, c), (n, 1, h, w), (c,)))
            inputs = (x, d, noise, bias) if complete else (x, None, None, None)
            options = dict(padding=(1, 1), filter_gain=4.0, slope=0.2, gain=1.5, clamp=clamp)

            def forward(x, *rest, taps=taps, options=options):
                return reference.blurred_epilogue(x, taps, *rest, **options)

            def value(*inputs, forward=forward):
                return {"y": stored(forward(*inputs), True)}

            def gradient(seed, *inputs, forward=forward):
                grads = gradients(forward, inputs, seed)
                named = zip(("grad_x", "grad_d", "grad_noise", "grad_bias"), grads, strict=True)
                return {name: stored(g, True) if name == "grad_x" else g for name, g in named if g is not None}

            scalars = dict(shape=tiles, filter_gain=4.0, slope=0.2, gain=1.5, clamp=clamp, dtype=dtype)
            memory = dict(x=stored(x, True), taps=taps, d=inputs[1])
            whole = memory | dict(noise=inputs[2], bias=inputs[3], noise_stride=h * w)
            whole |= dict(y=output_like(seed, True)) | scalars
            checks.add("blurred_epilogue_cuda", whole, value, *inputs)

            def sums(*size, wanted=complete, dtype=dtype):
                return Output(size, wide(dtype)) if wanted else None

            backward = memory | dict(
                grad_y=stored(seed, True),
                y=stored(forward(*(t if t is None else t.double() for t in inputs)), True).to(dtype),
                x=memory["x"] if complete else None,
                grad_x=output_like(x, True),
                grad_d=sums(n, c),
                grad_noise=sums(n, h, w),
                grad_bias=sums(c),
                channel_sums=sums(n, channel_parts, c),
                channel_products=sums(n, channel_parts, c),
                pixel_sums=sums(n, pixel_parts, h, w),
            )
            checks.add("blurred_epilogue_backward_cuda", backward | scalars, gradient, seed, *inputs)
    checks.run(sanitizer)
