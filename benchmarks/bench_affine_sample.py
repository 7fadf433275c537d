"""affine_sample against torch's own grid_sample, for what an adaptive augmentation asks of it.

Maps turn, stretch and shift as the augmentation draws them; grid_sample gets its grid for nothing, and half types
widened to float32, for a grid in half precision is too coarse and torch's reflection in it reads beyond the image.
`copies` counts one x.clone() as one; at best each way takes 1.0 of them. `x ours` is how many times as long a contender
takes as pumpgan.

    python benchmarks/bench_affine_sample.py --compile
"""

import math

import click
import torch
import torch.nn.functional as F
from racing import HEADER, compare, options, save

from pumpgan.ops import affine_sample, reference
from pumpgan.train.allocator import keep_freed_memory

SHAPES = {  # N, C, H, W: an image, or an image and its labels, at twice their size
    "cpu": [(16, 3, 64, 64), (16, 14, 64, 64), (8, 3, 256, 256)],
    "cuda": [(32, 3, 128, 128), (32, 14, 128, 128), (32, 3, 512, 512)],
}
DTYPES = {"cpu": (torch.float32, torch.bfloat16), "cuda": (torch.float32, torch.float16, torch.bfloat16)}


def drawn_maps(n: int, size: int, device: str) -> torch.Tensor:
    """[n, 2, 3], as the augmentation draws them: any angle, scales 2**N(0, 0.2²), shifts N(0, 1/8 of the size)."""
    generator = torch.Generator().manual_seed(0)
    angle = torch.rand(n, generator=generator) * 2 * math.pi
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=1).view(n, 2, 2)
    scales = 2 ** (torch.randn(n, 2, 1, generator=generator) / 5)
    shifts = torch.randn(n, 2, 1, generator=generator) * size / 8
    return torch.cat([turn * scales, shifts], dim=2).to(device)


def grid_of(maps: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """The same places as F.grid_sample counts them, for results as large as x."""
    h, w = shape[2:]
    from_output = maps.new_tensor([w / 2, h / 2, 1])
    to_input = maps.new_tensor([[2 / w], [2 / h]])
    return F.affine_grid(maps * from_output * to_input, list(shape), align_corners=False)


@click.command()
@options
def main(device, rounds, compiled, against, path):
    keep_freed_memory()
    functions = {"pumpgan": affine_sample, "torch": reference.affine_sample, **against}
    if compiled:
        functions["torch.compile"] = torch.compile(reference.affine_sample)
    click.echo(HEADER)
    rows = []
    for shape in SHAPES[device]:
        maps = drawn_maps(shape[0], shape[3], device)
        grid = grid_of(maps, shape)

        def grid_sample(x, grid=grid):
            return F.grid_sample(x.float(), grid, padding_mode="reflection", align_corners=False).to(x.dtype)

        contenders = {name: lambda x, f=f, maps=maps: f(x, maps, tuple(x.shape[2:])) for name, f in functions.items()}
        contenders["grid_sample"] = grid_sample
        for channels_last in (False, True):
            for dtype in DTYPES[device]:
                x = torch.randn(shape, device=device, dtype=dtype)
                if channels_last:
                    x = x.to(memory_format=torch.channels_last)
                title = f"{' '.join(map(str, shape))} {'NHWC' if channels_last else 'NCHW'} {str(dtype)[6:]}"
                rows += compare(title, contenders, [x.requires_grad_()], device, rounds, least_copies=(1, 2))
    save(path, rows, device)


if __name__ == "__main__":
    main()
