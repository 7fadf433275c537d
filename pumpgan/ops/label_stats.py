"""How much of each image each class of a label image holds, and how far that is from what it should be."""

import torch
from torch import Tensor

from pumpgan.ops import implementation, reference
from pumpgan.ops.contract import require_beside, require_floating

MOST_CLASSES = 256  # a label image has 8 bits


def label_stats(logits: Tensor, *, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Returns each class's share of each image, softly and counted, from one pass over the logits.

    logits: [B, C, H, W], one to 256 classes. CPU: float32, float64, bfloat16; CUDA: float16 too. Any strides; nothing
        is copied where pixels are evenly spaced, as in channels-last or in some channels of a wider tensor.
    temperature: > 0. Small ones make the soft shares follow the counts.

    fractions: [B, C] float32 (float64 for float64 logits), the mean over pixels of softmax(logits / temperature).
    counts: [B, C] int64, the pixels at which the class is largest; of equals the first, as in argmax. No gradient.

    The gradient reaches logits through fractions alone, and is differentiable again. NaN in, NaN out: one NaN makes
    its image's fractions NaN. The same bits on every run. ValueError names the argument that does not fit.
    """
    if logits.ndim != 4 or logits.shape[2] * logits.shape[3] == 0:
        raise ValueError(f"label_stats: logits must be [B, C, H, W] with H, W > 0, got {list(logits.shape)}")
    if not 1 <= logits.shape[1] <= MOST_CLASSES:
        raise ValueError(f"label_stats: logits must have 1 to {MOST_CLASSES} classes, got {logits.shape[1]}")
    if not temperature > 0:
        raise ValueError(f"label_stats: temperature must be positive, got {temperature}")
    require_floating("label_stats", "logits", logits)
    if implementation.in_use() == "reference":
        return reference.label_stats(logits, temperature=temperature)
    return torch.ops.pumpgan.label_stats(logits, temperature)


def gaussian_kl(fractions: Tensor, mean: Tensor, std: Tensor, floor: Tensor) -> Tensor:
    """Returns [C]: KL(N(mean, std² + floor²) || N(mu, s² + floor²)), mu and s² the moments of a class's fractions.

    fractions: [N, C] float32 or float64, shares of N images, N >= 1; s² is divided by max(N - 1, 1).
    mean, std: [C], the moments asked for.
    floor: [C], > 0, the smallest deviation told apart from none: it bounds the gradient, which grows as 1 / s⁴.
    All three have the dtype of fractions and take no gradient.

    ln(v / V) / 2 + (V + (mean - mu)²) / (2 v) - 1/2, with v = s² + floor², V = std² + floor². Differentiable twice in
    fractions. NaN in, NaN out. ValueError names the argument that does not fit.
    """
    if fractions.ndim != 2 or len(fractions) == 0:
        raise ValueError(f"gaussian_kl: fractions must be [N, C] with N > 0, got {list(fractions.shape)}")
    if fractions.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"gaussian_kl: fractions must be float32 or float64, got {fractions.dtype}")
    for name, tensor in (("mean", mean), ("std", std), ("floor", floor)):
        if tensor.shape != fractions.shape[1:]:
            raise ValueError(f"gaussian_kl: {name} must be [{fractions.shape[1]}], got {list(tensor.shape)}")
        if tensor.dtype != fractions.dtype:
            raise ValueError(f"gaussian_kl: {name} must have the dtype of fractions, got {tensor.dtype}")
        if tensor.requires_grad:
            raise ValueError(f"gaussian_kl: {name} must not require a gradient, it has none")
        require_beside("gaussian_kl", name, tensor, fractions)
    if implementation.in_use() == "reference":
        return reference.gaussian_kl(fractions, mean, std, floor)
    return torch.ops.pumpgan.gaussian_kl(fractions, mean, std, floor)


def _wide(logits):
    return torch.float64 if logits.dtype == torch.float64 else torch.float32


def _fake(logits, temperature):
    size = logits.shape[:2]
    return logits.new_empty(size, dtype=_wide(logits)), logits.new_empty(size, dtype=torch.int64)


def _fake_backward(grad_fractions, logits, temperature):
    last = logits.stride(1) == 1 and not logits.is_contiguous()
    return torch.empty_like(logits, memory_format=torch.channels_last if last else torch.contiguous_format)


def _save(ctx, inputs, output):
    logits, ctx.temperature = inputs
    ctx.save_for_backward(logits)


def _backward(ctx, grad_fractions, _):
    (logits,) = ctx.saved_tensors
    return torch.ops.pumpgan.label_stats_backward(grad_fractions, logits, ctx.temperature), None


def _save_backward(ctx, inputs, output):
    grad_fractions, logits, ctx.temperature = inputs
    ctx.save_for_backward(grad_fractions, logits)


def _double_backward(ctx, v):
    """v: gradient with respect to scale * p * (g - sum_k p_k g_k), where p = softmax(logits / temperature)."""
    grad_fractions, logits = ctx.saved_tensors
    scale = 1 / (logits.shape[2] * logits.shape[3] * ctx.temperature)
    v, g = v.to(grad_fractions.dtype), grad_fractions[:, :, None, None]
    p = (logits.to(grad_fractions.dtype) / ctx.temperature).softmax(dim=1)
    mean_g, mean_v = ((p * t).sum(dim=1, keepdim=True) for t in (g, v))
    by_p = v * (g - mean_g) - g * mean_v
    grad_logits = p * (by_p - (p * by_p).sum(dim=1, keepdim=True)) * (scale / ctx.temperature)
    return (p * (v - mean_v)).sum(dim=(2, 3)) * scale, grad_logits.to(logits.dtype), None


def _save_kl(ctx, inputs, output):
    ctx.save_for_backward(*inputs)


def _kl_backward(ctx, grad):
    return torch.ops.pumpgan.gaussian_kl_backward(grad, *ctx.saved_tensors), None, None, None


def _kl_double_backward(ctx, u):
    """u: gradient with respect to grad * (a / N + 2 b (f - mu) / K), a and b the divergence's slopes in mu and v."""
    grad, f, mean, std, floor = ctx.saved_tensors
    n, k = len(f), max(len(f) - 1, 1)
    off = f - f.mean(dim=0)
    v, target = off.square().sum(dim=0) / k + floor.square(), std.square() + floor.square()
    miss = f.mean(dim=0) - mean
    a, b = miss / v, 1 / (2 * v) - (target + miss.square()) / (2 * v.square())
    u_mean, u_off = u.sum(dim=0) / n, 2 * (u * off).sum(dim=0) / k
    by_mean = u_mean / v - u_off * miss / v.square()  # of a * u_mean + b * u_off
    by_v = -u_mean * miss / v.square() + u_off * ((target + miss.square()) / v.pow(3) - 1 / (2 * v.square()))
    grad_f = by_mean / n + 2 * (by_v * off + b * (u - u_mean)) / k
    return a * u_mean + b * u_off, grad * grad_f, None, None, None


if implementation.loaded():
    torch.library.register_fake("pumpgan::label_stats", _fake)
    torch.library.register_autograd("pumpgan::label_stats", _backward, setup_context=_save)
    torch.library.register_fake("pumpgan::label_stats_backward", _fake_backward)
    torch.library.register_autograd("pumpgan::label_stats_backward", _double_backward, setup_context=_save_backward)
    torch.library.register_fake("pumpgan::gaussian_kl", lambda fractions, *_: torch.empty_like(fractions[0]))
    torch.library.register_autograd("pumpgan::gaussian_kl", _kl_backward, setup_context=_save_kl)
    torch.library.register_fake("pumpgan::gaussian_kl_backward", lambda grad, f, *_: f.new_empty(f.shape))
    torch.library.register_autograd("pumpgan::gaussian_kl_backward", _kl_double_backward, setup_context=_save_kl)
