"""upfirdn2d against plain torch, for what a StyleGAN2 asks of it with the four taps [1, 3, 3, 1] / 8.

`copies` counts one x.clone() as one; at best a blur takes 1.0, halving 0.625, doubling 2.5 of them, and the gradient
as many again: 100 % of copy. `x ours` is how many times as long a contender takes as pumpgan.

    python benchmarks/bench_upfirdn2d.py --compile
"""

import click
import torch
from racing import HEADER, compare, options, save

from pumpgan.ops import reference, upfirdn2d
from pumpgan.train.allocator import keep_freed_memory

USES = {
    "blur": dict(padding=(2, 1, 2, 1)),
    "down": dict(down=2, padding=(1, 1, 1, 1)),
    "up": dict(up=2, padding=(2, 1, 2, 1), gain=4.0),
}
LEAST = {"blur": 1.0, "down": 0.625, "up": 2.5}  # copies of x, forward
LAYERS = {  # use, N, C, H, W: features are blurred and halved, images and their labels doubled
    "cpu": [
        *[(use, *shape) for use in ("blur", "down") for shape in ((8, 64, 128, 128), (16, 64, 32, 32), (4, 512, 8, 8))],
        *[("up", *shape) for shape in ((8, 3, 128, 128), (16, 14, 32, 32))],
    ],
    "cuda": [
        *[(use, *shape) for use in ("blur", "down") for shape in ((32, 128, 128, 128), (32, 512, 32, 32))],
        ("up", 32, 3, 128, 128),
    ],
}
DTYPES = {"cpu": (torch.float32, torch.bfloat16), "cuda": (torch.float32, torch.float16, torch.bfloat16)}


@click.command()
@options
def main(device, rounds, compiled, against, path):
    keep_freed_memory()
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], device=device) / 8
    functions = {"pumpgan": upfirdn2d, "torch": reference.upfirdn2d, **against}
    if compiled:
        functions["torch.compile"] = torch.compile(reference.upfirdn2d)
    click.echo(HEADER)
    rows = []
    for use, *shape in LAYERS[device]:
        contenders = {name: lambda x, f=f, use=use: f(x, taps, **USES[use]) for name, f in functions.items()}
        for channels_last in (False, True):
            for dtype in DTYPES[device]:
                x = torch.randn(shape, device=device, dtype=dtype)
                if channels_last:
                    x = x.to(memory_format=torch.channels_last)
                title = f"{use} {' '.join(map(str, shape))} {'NHWC' if channels_last else 'NCHW'} {str(dtype)[6:]}"
                least = (LEAST[use], 2 * LEAST[use])
                rows += compare(title, contenders, [x.requires_grad_()], device, rounds, least_copies=least)
    save(path, rows, device)


if __name__ == "__main__":
    main()
