"""The CUDA kernels, run by the processor under sanitizers, against their definitions in pumpgan.ops.reference.

"address" sees accesses out of bounds or misaligned, "thread" missing barriers and races between blocks; both start with
NaN in outputs and shared memory, so what a kernel does not write fails the comparison. See emulation.h.
"""

import math
from itertools import product

import pytest
import torch
from conftest import assert_as_accurate
from emulator import DTYPES, SANITIZERS, Call, Fault, Input, Output, emulator

from pumpgan.ops import reference

EACH_DTYPE = {"address": list(DTYPES), "thread": [torch.float32, torch.bfloat16]}  # races come with the float32 ones
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}  # half precision: twice the error of plain torch
CALLS = 100  # in a process: starting a thousand fibers costs more than most calls

pytestmark = pytest.mark.parametrize("sanitizer", SANITIZERS)


def wide(dtype):
    return torch.float64 if dtype == torch.float64 else torch.float32


def stored(x, channels_last):
    """As x lies in memory."""
    return (x.permute(0, 2, 3, 1) if channels_last else x).contiguous()


def seen(memory, channels_last):
    return memory.permute(0, 3, 1, 2) if channels_last else memory


def output_like(x, channels_last, shift=0):
    return Output(tuple(stored(x, channels_last).shape), x.dtype, shift)


class Checks:
    """Calls and what their outputs must be; made and compared together."""

    def __init__(self):
        self.calls, self.comparisons = [], []

    def add(self, launcher, arguments, definition, *inputs):
        """`definition(*inputs)` returns a dict: of fields' names, the tensors they must hold."""
        call = Call(launcher, arguments)
        self.calls.append(call)
        self.comparisons.append((call, definition, inputs))

    def run(self, sanitizer):
        for first in range(0, len(self.calls), CALLS):
            emulator(sanitizer).run(*self.calls[first : first + CALLS])
        for call, definition, inputs in self.comparisons:
            for name in definition(*inputs):
                actual = call.outputs[name]
                if actual.numel():
                    self.compare(call, name, actual, definition, inputs)

    @staticmethod
    def compare(call, name, actual, definition, inputs):
        def this_one(*tensors):
            return definition(*tensors)[name].reshape(actual.shape)

        try:
            if actual.dtype in TOLERANCE:
                truth = this_one(*[t if t is None else t.double() for t in inputs])
                allowed = TOLERANCE[actual.dtype] * max(1.0, truth.nan_to_num().abs().max().item())
                torch.testing.assert_close(actual.double(), truth, rtol=0, atol=allowed, equal_nan=True)
            else:
                assert_as_accurate(actual, this_one, *inputs)
        except AssertionError as error:
            raise AssertionError(f"{call}: {name}: {error}") from None


def gradients(function, inputs, seed):
    """Of those inputs that are there, in their order."""
    leaves = [None if t is None else t.detach().requires_grad_() for t in inputs]
    found = iter(torch.autograd.grad(function(*leaves), [t for t in leaves if t is not None], seed))
    return [None if t is None else next(found) for t in leaves]


# Sizes about the 16 bytes of a pack, the 32 threads of a warp, the 256 of a block.
SHAPES = [(2, 3, 5, 7), (1, 1, 1, 1), (2, 8, 4, 4), (3, 70, 1, 3), (1, 33, 9, 31), (0, 3, 5, 7)]


def test_bias_act_and_its_gradients(sanitizer):
    checks = Checks()
    for dtype, shape, channels_last in product(EACH_DTYPE[sanitizer], SHAPES, (False, True)):
        x, bias, seed = torch.randn(shape).to(dtype), torch.randn(shape[1]).to(dtype), torch.randn(shape).to(dtype)
        for with_bias, clamp, shift in ((True, math.inf, 0), (False, 1.5, 0), (True, 1.5, dtype.itemsize)):
            inner = 1 if channels_last else shape[2] * shape[3]
            scalars = dict(slope=0.2, gain=1.5, clamp=clamp, dtype=dtype)
            sizes = dict(size=x.numel(), channels=shape[1], inner=inner)

            def forward(x, bias=None, clamp=clamp):
                return reference.bias_act(x, bias, slope=0.2, gain=1.5, clamp=clamp)

            def value(*inputs, forward=forward, last=channels_last):
                return {"y": stored(forward(*inputs), last)}

            def gradient(seed, *inputs, forward=forward, last=channels_last):
                grad_x, *grad_bias = gradients(forward, inputs, seed)
                summed = {"grad_bias": grad_bias[0]} if grad_bias and seed.numel() else {}
                return {"grad_x": stored(grad_x, last)} | summed

            inputs = (x, bias) if with_bias else (x,)
            memory = Input(stored(x, channels_last), shift)
            y = output_like(x, channels_last, shift)
            checks.add(
                "bias_act_cuda",
                dict(x=memory, bias=bias if with_bias else None, y=y, **sizes, **scalars),
                value,
                *inputs,
            )
            slices = min(max(x.numel() // shape[1] // 1024, 1), 512)
            backward = dict(
                grad_y=Input(stored(seed, channels_last), shift),
                y=Input(stored(forward(*inputs), channels_last), shift),
                grad_x=output_like(x, channels_last, shift),
                grad_bias=Output(bias.shape, dtype) if with_bias else None,
                partial=Output((slices, shape[1]), torch.float64) if with_bias else None,
            )
            checks.add("bias_act_backward_cuda", backward | sizes | scalars, gradient, seed, *inputs)
    checks.run(sanitizer)


def test_bias_act_sums_many_positions_in_slices(sanitizer):
    checks = Checks()
    for channels_last in (False, True):
        shape = (3, 5, 31, 37)  # slices end within images
        x, bias, seed = torch.randn(shape), torch.randn(5), torch.randn(shape)

        def gradient(seed, *inputs, last=channels_last):
            grad_x, grad_bias = gradients(reference.bias_act, inputs, seed)
            return {"grad_x": stored(grad_x, last), "grad_bias": grad_bias}

        arguments = dict(
            grad_y=stored(seed, channels_last),
            y=stored(reference.bias_act(x, bias), channels_last),
            grad_x=output_like(x, channels_last),
            grad_bias=Output((5,), torch.float32),
            partial=Output((3, 5), torch.float64),
            size=x.numel(),
            channels=5,
            inner=1 if channels_last else 31 * 37,
        )
        arguments |= dict(slope=0.2, gain=2**0.5, clamp=math.inf, dtype=torch.float32)
        checks.add("bias_act_backward_cuda", arguments, gradient, seed, x, bias)
    checks.run(sanitizer)


RESAMPLINGS = [  # taps, up, down, padding (left, right, top, bottom)
    ((4,), 1, 1, (2, 1, 2, 1)),
    ((4,), 2, 1, (2, 1, 2, 1)),
    ((4,), 1, 2, (1, 1, 1, 1)),
    ((4,), 4, 1, (3, 2, 3, 2)),
    ((4,), 1, 4, (3, 0, 2, 4)),
    ((8,), 2, 1, (4, 3, 4, 3)),
    ((12,), 1, 2, (5, 5, 5, 5)),
    ((2,), 1, 2, (0, 0, 0, 0)),
    ((3, 5), 2, 3, (-1, 4, 3, -2)),
    ((1,), 3, 2, (0, 0, 0, 0)),
    ((4, 4), 1, 1, (2, 1, 2, 1)),
]


def test_upfirdn2d(sanitizer):
    checks, other = Checks(), EACH_DTYPE[sanitizer]
    layouts = product([(2, 3, 7, 9), (1, 8, 6, 33), (1, 17, 9, 6), (1, 16, 20, 37)], (False, True))
    for k, ((shape, channels_last), resampling) in enumerate(product(layouts, RESAMPLINGS)):
        taps_shape, up, down, padding = resampling
        separable, flip = len(taps_shape) == 1, k % 2 == 1
        for dtype in (torch.float32, other[k % len(other)]):
            x, taps = torch.randn(shape).to(dtype), torch.randn(taps_shape, dtype=wide(dtype))

            def definition(x, taps, options=(up, down, padding, flip), last=channels_last):
                up, down, padding, flip = options
                y = reference.upfirdn2d(x, taps, up=up, down=down, padding=padding, gain=1.5, flip=flip)
                return {"y": stored(y, last)}

            def axis(size, taps, before, after, up=up, down=down):
                out = (size * up + before + after - taps) // down + 1
                return {"in": size, "out": out, "taps": taps, "up": up, "down": down, "before": before}

            left, right, top, bottom = padding
            shift = dtype.itemsize if k % 5 == 4 else 0  # cut out of a larger buffer
            y = Output(tuple(definition(x, taps)["y"].shape), dtype, shift)
            n, c, h, w = shape
            arguments = dict(
                x=Input(stored(x, channels_last), shift),
                taps=taps,
                y=y,
                planes=n if channels_last else n * c,
                pixel=c if channels_last else 1,
                rows=axis(h, taps_shape[0], top, bottom),
                columns=axis(w, taps_shape[-1], left, right),
            )
            arguments |= dict(separable=separable, flip=flip, gain=1.5, dtype=dtype)
            checks.add("upfirdn2d_cuda", arguments, definition, x, taps)
    checks.run(sanitizer)


MAPS = [  # in steps of 1/64: float32 finds the same places as float64
    [[1, 0, 0], [0, 1, 0]],
    [[0, -1, 0], [1, 0, 0]],
    [[0.75, -0.671875, 1.5], [0.671875, 0.75, -2.25]],
    [[0.25, 0, 0.125], [0, 0.3125, 0]],  # enlarges
    [[-4, 1, 3], [0.5, 3.25, 0]],  # shrinks: its view holds many mirrored copies
    [[0, 0, 0.75], [0, 0, -1]],  # singular
    [[1, 2, 0], [2, 4, 0.25]],
    [[1, 0, 5000.25], [0, 1, -7000.5]],
    [[1e20, 0, 0], [0, 1, 0]],  # one column of an odd y shows a place, the others none
    [[math.nan, 0, 0], [0, 1, 0]],
    [[1, 0, 0], [0, 1, -math.inf]],
]


def test_affine_sample_and_its_adjoint(sanitizer):
    checks, other = Checks(), EACH_DTYPE[sanitizer]
    sizes = [(3, 5, 7, 6, 5), (8, 6, 33, 9, 31), (17, 9, 6, 20, 20), (1, 1, 1, 4, 3), (16, 12, 12, 12, 13)]
    for k, ((c, h, w, *size), channels_last) in enumerate(product(sizes, (False, True))):
        for dtype in (torch.float32, other[k % len(other)]):
            somewhere = MAPS if dtype in TOLERANCE else MAPS[:-3]
            maps, n = torch.tensor(somewhere, dtype=wide(dtype)), len(somewhere)
            x, seed = torch.randn(n, c, h, w).to(dtype), torch.randn(n, c, *size).to(dtype)

            def value(x, maps, size=size, last=channels_last):
                return {"to": stored(reference.affine_sample(x, maps, size), last)}

            def adjoint(seed, x, maps, size=size, last=channels_last):
                (grad,) = gradients(lambda x: reference.affine_sample(x, maps, size), (x,), seed)
                return {"to": stored(grad, last)}

            shift = 0 if k % 2 else dtype.itemsize  # cut out of a larger buffer
            same = dict(samples=n, channels=c, rows=h, columns=w, shown_rows=size[0], shown_columns=size[1])
            same |= dict(matrices=maps, channels_last=channels_last, dtype=dtype)
            images, grad = (Input(stored(t, channels_last), shift) for t in (x, seed))
            to_y, to_x = (output_like(t, channels_last, shift) for t in (seed, x))
            checks.add("affine_sample_cuda", {"from": images, "to": to_y, **same}, value, x, maps)
            checks.add("affine_sample_backward_cuda", {"from": grad, "to": to_x, **same}, adjoint, seed, x, maps)
    checks.run(sanitizer)


def epilogue_shape(sanitizer, shape, channels_last):
    """As the binding makes it, tiles as the launcher wants them."""
    n, c, h, w = shape
    rows, lanes = (h * w, c) if channels_last else (c, h * w)
    asked = dict(samples=n, rows=rows, lanes=lanes, row_tile=1, lane_tile=1, channels_are_lanes=channels_last)
    call = Call("tile_for_cuda", asked)
    emulator(sanitizer).run(call)
    return {name: getattr(call.struct, name) for name in asked}


def test_modulated_epilogue_and_its_gradients(sanitizer):
    checks, other = Checks(), EACH_DTYPE[sanitizer]
    shapes = [(2, 3, 5, 7), (1, 1, 1, 1), (2, 8, 4, 4), (2, 130, 1, 3), (1, 34, 9, 31), (3, 5, 13, 11)]
    for k, (shape, channels_last) in enumerate(product(shapes, (False, True))):
        n, c, h, w = shape
        tiles = epilogue_shape(sanitizer, shape, channels_last)
        parts = [-(-tiles[f"{side}s"] // tiles[f"{side}_tile"]) for side in ("row", "lane")]
        channel_parts, pixel_parts = parts if channels_last else parts[::-1]
        for dtype, (complete, clamp) in product(
            (torch.float32, other[k % len(other)]), ((True, 2.0), (False, math.inf))
        ):
            clamp = clamp if dtype in (torch.float32, torch.float64) else math.inf
            scalars = dict(shape=tiles, slope=0.2, gain=1.5, clamp=clamp, dtype=dtype)
            x, seed = torch.randn(shape).to(dtype), torch.randn(shape).to(dtype)
            d, noise, bias = (torch.randn(s, dtype=wide(dtype)) for s in ((n, c, 1, 1), (n, 1, h, w), (1, c, 1, 1)))
            inputs = (x, d, noise, bias) if complete else (x, None, None, None)

            def forward(x, d, noise, bias, clamp=clamp):
                for part, operation in ((d, torch.mul), (noise, torch.add), (bias, torch.add)):
                    x = x if part is None else operation(x, part)
                return reference.bias_act(x, gain=1.5, clamp=clamp)

            def value(x, *rest, forward=forward, last=channels_last, dtype=dtype):
                y = forward(x, *rest)
                return {"y": stored(y.to(dtype) if x.dtype == dtype else y, last)}

            def gradient(seed, *inputs, forward=forward, last=channels_last):
                grads = gradients(forward, inputs, seed.to(forward(*inputs).dtype))
                named = zip(("grad_x", "grad_d", "grad_noise", "grad_bias"), grads, strict=True)
                return {name: stored(g, last) if name == "grad_x" else g for name, g in named if g is not None}

            shift = 0 if complete else dtype.itemsize  # cut out of a larger buffer
            memory = dict(x=Input(stored(x, channels_last), shift), d=inputs[1], noise=inputs[2], bias=inputs[3])
            whole = memory | dict(y=output_like(x, channels_last, shift), noise_stride=h * w) | scalars
            checks.add("modulated_epilogue_cuda", whole, value, *inputs)

            def sums(*size, wanted=complete, dtype=dtype):
                return Output(size, wide(dtype)) if wanted else None

            backward = dict(
                grad_y=Input(stored(seed, channels_last), shift),
                y=Input(value(*inputs)["y"], shift),
                x=memory["x"] if complete else None,
                d=inputs[1],
                grad_x=output_like(x, channels_last, shift),
                grad_d=sums(n, c),
                grad_noise=sums(n, h, w),
                grad_bias=sums(c),
                channel_sums=sums(n, channel_parts, c),
                channel_products=sums(n, channel_parts, c),
                pixel_sums=sums(n, pixel_parts, h, w),
            )
            checks.add("modulated_epilogue_backward_cuda", backward | scalars, gradient, seed, *inputs)
    checks.run(sanitizer)


def test_label_stats_and_its_gradient(sanitizer):
    checks, other = Checks(), EACH_DTYPE[sanitizer]
    shapes = [(2, 3, 5, 7), (1, 1, 1, 1), (1, 11, 33, 65), (7, 40, 1, 3), (1, 100, 2, 2)]
    shapes += [(2, 2, 6, 6), (1, 11, 44, 48), (2, 17, 3, 5), (1, 32, 6, 10)]  # four pixels an access; many classes
    for k, (shape, layout) in enumerate(product(shapes, ("plain", "channels-last", "slice of channels-last"))):
        b, c, h, w = shape
        pixels, extra = h * w, 3 if layout.startswith("slice") else 0
        blocks = -(-pixels // 2048)
        plain = dict(sample=c * pixels, label=pixels, pixel=1)
        last = dict(sample=(c + extra) * pixels, label=1, pixel=c + extra)
        for dtype, temperature in ((torch.float32, 1.0), (other[k % len(other)], 0.5)):
            whole = torch.randn(b, c + extra, h, w).to(dtype)
            logits, seed = whole[:, extra:], torch.randn(b, c, dtype=wide(dtype))
            shift = extra * dtype.itemsize
            memory = Input(stored(whole, layout != "plain").flatten()[extra:], shift)
            scalars = dict(samples=b, classes=c, pixels=pixels, temperature=temperature, dtype=dtype)

            def value(logits, temperature=temperature):
                return {"fractions": reference.label_stats(logits, temperature=temperature)[0]}

            def gradient(seed, logits, value=value, flat=layout == "plain"):
                (grad,) = gradients(lambda x: value(x)["fractions"], (logits,), seed)
                return {"grad_logits": stored(grad, not flat)}

            arguments = dict(
                logits=memory,
                fractions=Output((b, c), wide(dtype)),
                counts=Output((b, c), torch.int64),
                mass_parts=Output((b, blocks, c), torch.float64),
                count_parts=Output((b, blocks, c), torch.int64),
                layout=plain if layout == "plain" else last,
                blocks=blocks,
            )
            checks.add("label_stats_cuda", arguments | scalars, value, logits)
            backward = dict(
                grad_fractions=seed,
                logits=memory,
                grad_logits=Output(tuple(stored(logits, layout != "plain").shape), dtype),
                layout=arguments["layout"],
                grad_layout=plain if layout == "plain" else dict(sample=c * pixels, label=1, pixel=c),
            )
            checks.add("label_stats_backward_cuda", backward | scalars, gradient, seed, logits)
    checks.run(sanitizer)
    for call, _, inputs in checks.comparisons:
        if "counts" in call.outputs:
            assert torch.equal(call.outputs["counts"], reference.label_stats(*inputs)[1]), call


def test_gaussian_kl_and_its_gradient(sanitizer):
    checks = Checks()
    for (n, c), dtype in product([(1, 1), (7, 3), (40, 33), (33, 2)], (torch.float32, torch.float64)):
        fractions, target, deviation, floor, seed = (torch.rand(s, dtype=dtype) for s in ((n, c), c, c, c, c))
        tensors = dict(fractions=fractions, mean=target, std=deviation, floor=floor + 0.1)

        def value(*tensors):
            return {"result": reference.gaussian_kl(*tensors)}

        def gradient(seed, fractions, *others):
            (grad,) = gradients(lambda f: reference.gaussian_kl(f, *others), (fractions,), seed)
            return {"result": grad}

        scalars = dict(samples=n, classes=c, dtype=dtype)
        forward = dict(grad=None, result=Output((c,), dtype)) | tensors | scalars
        checks.add("gaussian_kl_cuda", forward, value, *tensors.values())
        backward = dict(grad=seed, result=Output((n, c), dtype)) | tensors | scalars
        checks.add("gaussian_kl_cuda", backward, gradient, seed, *tensors.values())
    checks.run(sanitizer)


def test_a_launch_that_cuda_would_refuse_is_refused(sanitizer):
    x = torch.randn(99)
    with pytest.raises(Fault, match="faulty did not launch: invalid argument"):  # more shared memory than was asked for
        emulator(sanitizer).run(Call("faulty_cuda", dict(x=x, y=Output((99,), x.dtype), size=99, fault=15)))
    with pytest.raises(Fault, match="faulty did not launch: invalid configuration"):  # a grid of no blocks
        emulator(sanitizer).run(Call("faulty_cuda", dict(x=x, y=Output((99,), x.dtype), size=0, fault=0)))
