"""An affine warp of each image, mirrored at its borders without end."""

import torch
from torch import Tensor

from pumpgan.ops import implementation, reference
from pumpgan.ops.contract import layout_of, require_beside, require_floating, wide_dtype

LONGEST_SIDE = 2**24  # float32 tells that many columns apart


def affine_sample(x: Tensor, matrices: Tensor, size: tuple[int, int]) -> Tensor:
    """Returns images of `size` whose pixels show x, bilinearly, at the places that `matrices` send them to.

    x: [N, C, H, W], H and W from 1 to 2**24. CPU: float32, float64, bfloat16; CUDA: float16 too. Half types are
        interpolated in float32 and rounded once.
    matrices: [N, 2, 3], float64 beside a float64 x, else float32; on the device of x. An output pixel (u, v) shows the
        place matrices @ (u, v, 1) of its image, both in pixels from the centre: u = column - (width - 1) / 2 and
        v = row - (height - 1) / 2. Entries above 1 shrink. Constants: ValueError where they require a gradient.
    size: (height, width) of the result, each from 1 to 2**24.

    Returns [N, C, height, width], laid out in memory as x. Beyond its borders, at -1/2 and W - 1/2, an image goes on
    mirrored, its edge pixels repeated, and mirrored again. The identity and quarter turns copy pixels exactly.

    Differentiable in x to any order: the gradient adds each output pixel to the four that it shows. The same bits on
    every run. A NaN or infinity in x reaches every pixel whose four it is among, even with weight 0. A pixel whose
    place is not a number, or 2**28 pixels and more from the first, is NaN, and no gradient comes from it.
    Karras et al. 2020, arXiv:2006.06676, appendix B, of which this is the sampling. ValueError names what does not fit.
    """
    _check(x, matrices, size)
    if implementation.in_use() == "reference":
        return reference.affine_sample(x, matrices, size)
    return torch.ops.pumpgan.affine_sample(x, matrices, *size)


def _check(x: Tensor, matrices: Tensor, size: tuple[int, int]) -> None:
    if x.ndim != 4 or not all(1 <= side <= LONGEST_SIDE for side in x.shape[2:]):
        raise ValueError(f"affine_sample: x must be [N, C, H, W] with H, W from 1 to 2**24, got {list(x.shape)}")
    require_floating("affine_sample", "x", x)
    if matrices.shape != (len(x), 2, 3):
        raise ValueError(f"affine_sample: matrices must be [{len(x)}, 2, 3], got {list(matrices.shape)}")
    if matrices.dtype != wide_dtype(x):
        raise ValueError(
            f"affine_sample: matrices must be float64 beside a float64 x, else float32, got {matrices.dtype}"
        )
    if matrices.requires_grad:
        raise ValueError("affine_sample: matrices must not require a gradient, they have none; detach them")
    require_beside("affine_sample", "matrices", matrices, x)
    if len(size) != 2 or not all(1 <= side <= LONGEST_SIDE for side in size):
        raise ValueError(f"affine_sample: size must be (height, width), each from 1 to 2**24, got {size}")


def _fake(images, matrices, height, width):
    size = (*images.shape[:2], height, width)
    return torch.empty(size, dtype=images.dtype, device=images.device, memory_format=layout_of(images))


def _save(ctx, inputs, output):
    images, matrices, _, _ = inputs
    ctx.size, ctx.layout = images.shape[2:], layout_of(images)
    ctx.save_for_backward(matrices)


def _differentiated(adjoint: str):
    """Either operator is linear in its images and the other's adjoint."""

    def backward(ctx, grad):
        grad_images = getattr(torch.ops.pumpgan, adjoint)(grad, *ctx.saved_tensors, *ctx.size)
        return grad_images.contiguous(memory_format=ctx.layout), None, None, None  # grad may lie otherwise

    return backward


if implementation.loaded():
    for operator, adjoint in [("affine_sample", "affine_sample_backward"), ("affine_sample_backward", "affine_sample")]:
        torch.library.register_fake(f"pumpgan::{operator}", _fake)
        torch.library.register_autograd(f"pumpgan::{operator}", _differentiated(adjoint), setup_context=_save)
