"""modulated_conv2d, its epilogues and its demodulation against their definitions in plain torch.

`x ours` is how many times as long a contender takes as pumpgan. A layer cannot be faster than its convolution, which
is torch's on all sides: the contender `convolution` is that alone; `% of floor` is the time that its multiplications
take, forward and for both gradients, at the speed of one large matrix product of the same run, over the layer's. An
epilogue takes 1.0 copies forward and 2.0 more backward at best. Activations are channels-last, parameters float32.
An up-convolution's epilogue, its low-pass filter included, also races the two operators that would do it one by one.

    python benchmarks/bench_modconv.py --compile --against peer=package.module:modulated_conv2d
"""

import math
from functools import partial

import click
import torch
import torch.nn.functional as F
from racing import HEADER, compare, options, product_speed, save

from pumpgan.ops import modulated_conv2d, reference, upfirdn2d
from pumpgan.ops.modulated_conv2d import demodulation
from pumpgan.train.allocator import keep_freed_memory

TINY = [(16, 64, 64, 8, 1), (16, 64, 32, 16, 2), (16, 32, 32, 32, 1)]  # N, I, O, side of x, up
WIDE = [(4, 512, 512, 8, 1), (4, 512, 256, 16, 2), (4, 256, 256, 32, 1)]  # of a 64-pixel StyleGAN2
LARGE = [(512, 512, 16, 1), (512, 512, 32, 1), (128, 128, 128, 1)]
LAYERS = {"cpu": TINY + WIDE, "cuda": [(32, *layer) for layer in [layer[1:] for layer in WIDE] + LARGE]}
EPILOGUES = {"cpu": [(16, 64, 32), (4, 256, 32), (8, 128, 64)], "cuda": [(32, 256, 64), (32, 128, 128)]}  # N, C, side
BLURRED_EPILOGUES = {  # N, C, side of y
    "cpu": [(16, 64, 16), (16, 32, 32), (4, 512, 16), (4, 512, 32), (4, 256, 64), (8, 64, 128)],
    "cuda": [(32, 512, 32), (32, 256, 64), (32, 128, 128)],
}
DEMODULATIONS = [(4, 512), (32, 512), (16, 64)]  # N, I = O
DTYPES = {"cpu": (torch.float32, torch.bfloat16), "cuda": (torch.float32, torch.float16, torch.bfloat16)}
EPILOGUE_COPIES = (1.0, 3.0)
TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8


def fused_epilogue(x, d, noise, bias):
    return torch.ops.pumpgan.modulated_epilogue(x, d, noise, bias, 0.2, 2**0.5, math.inf)


def plain_epilogue(x, d, noise, bias):
    return reference.bias_act(x * d.to(x.dtype)[:, :, None, None] + noise.to(x.dtype), bias.to(x.dtype))


def fused_blur(x, d, noise, bias):
    taps = TAPS.to(x.device)
    return torch.ops.pumpgan.blurred_epilogue(x, taps, d, noise, bias, 4.0, 0.2, 2**0.5, math.inf)


def two_operators(x, d, noise, bias):
    return fused_epilogue(upfirdn2d(x, TAPS.to(x.device), padding=(1, 1, 1, 1), gain=4.0), d, noise, bias)


def plain_blur(x, d, noise, bias):
    y = reference.upfirdn2d(x, TAPS.to(x.device), padding=(1, 1, 1, 1), gain=4.0)
    return plain_epilogue(y, d, noise, bias)


def plain_demodulation(weight, styles):
    modulated = weight[None] * styles[:, None, :, None, None]
    return (modulated.square().sum(dim=(2, 3, 4)) + reference.DEMODULATION_EPSILON).rsqrt()


def convolution(x, weight, styles, bias, noise, *, up, taps):
    if up == 1:
        return F.conv2d(x, weight.to(x.dtype), padding=1)
    return F.conv_transpose2d(x, weight.transpose(0, 1).to(x.dtype), stride=2, padding=1, output_padding=1)


def leaves(device, x, *others):
    """What takes a gradient: x, channels-last where it is an image, and float32 tensors of the other shapes."""
    if x.ndim == 4:
        x = x.to(memory_format=torch.channels_last)
    return [t.requires_grad_() for t in (x, *(torch.randn(shape, device=device) for shape in others))]


@click.command()
@options
def main(device, rounds, compiled, against, path):
    keep_freed_memory()
    click.echo(HEADER)
    rows = []

    def contest(title, contenders, tensors, least_copies=None):
        if compiled:
            contenders["torch.compile"] = torch.compile(contenders["torch"])
        found = compare(title, contenders, tensors, device, rounds, least_copies=least_copies)
        rows.extend(found)
        return found

    for n, size in DEMODULATIONS:
        weight, styles = (torch.randn(shape, device=device) for shape in [(size, size, 3, 3), (n, size)])
        contenders = {"pumpgan": demodulation, "torch": plain_demodulation}
        contest(f"demodulation {n} {size}", contenders, [weight.requires_grad_(), styles.requires_grad_()])
    for dtype in DTYPES[device]:
        name = str(dtype).removeprefix("torch.")
        for n, c, side in EPILOGUES[device]:
            x = torch.randn(n, c, side, side, device=device, dtype=dtype)
            contenders = {"pumpgan": fused_epilogue, "torch": plain_epilogue}
            tensors = leaves(device, x, (n, c), (n, 1, side, side), (c,))
            contest(f"epilogue {n} {c} {side}px {name}", contenders, tensors, EPILOGUE_COPIES)
        for n, c, side in BLURRED_EPILOGUES[device]:
            x = torch.randn(n, c, side + 1, side + 1, device=device, dtype=dtype)
            tensors, title = leaves(device, x, (n, c), (n, 1, side, side), (c,)), f"{n} {c} {side}px {name}"
            contenders = {"pumpgan": fused_blur, "torch": plain_blur}
            contest(f"blurred epilogue {title}", contenders, tensors, EPILOGUE_COPIES)
            # Apart: whoever runs after torch finds the caches cold, and the next one warm.
            rows.extend(
                compare(f"one by one {title}", {"pumpgan": fused_blur, "two": two_operators}, tensors, device, rounds)
            )
        speed = product_speed(device, dtype)
        for n, i, o, side, up in LAYERS[device]:
            x = torch.randn(n, i, side, side, device=device, dtype=dtype)
            tensors = leaves(device, x, (o, i, 3, 3), (n, i), (o,), (n, 1, up * side, up * side))
            functions = {"pumpgan": modulated_conv2d, "torch": reference.modulated_conv2d, **against}
            functions["convolution"] = convolution
            contenders = {key: partial(f, up=up, taps=TAPS.to(device)) for key, f in functions.items()}
            least = 3 * 2 * n * i * o * 9 * side**2 / speed
            for row in contest(f"layer {n} {i}>{o} {side}px{' up' if up == 2 else ''} {name}", contenders, tensors):
                row["both_floor_percent"] = 100 * least / row["both_ms"]
                click.echo(f"{row['what']:>44} {row['contender']:>16} {row['both_floor_percent']:10.1f} % of floor")
    save(path, rows, device)


if __name__ == "__main__":
    main()
