"""What every operator asks of its tensors, and how its results lie in memory."""

import torch
from torch import Tensor

CPU_DTYPES = (torch.float32, torch.float64, torch.bfloat16)
CUDA_DTYPES = (*CPU_DTYPES, torch.float16)


def require_floating(where: str, name: str, tensor: Tensor) -> None:
    """ValueError unless the kernels compute in the dtype of `tensor` on its device."""
    allowed = CPU_DTYPES if tensor.device.type == "cpu" else CUDA_DTYPES
    if tensor.dtype not in allowed:
        names = ", ".join(str(dtype).removeprefix("torch.") for dtype in allowed)
        raise ValueError(f"{where}: {name} must be one of {names} on {tensor.device.type}, got {tensor.dtype}")


def require_beside(where: str, name: str, tensor: Tensor, x: Tensor) -> None:
    """ValueError unless `tensor` is on the device of x."""
    if tensor.device != x.device:
        raise ValueError(f"{where}: {name} must be on the device of x, {x.device}, got {tensor.device}")


def wide_dtype(tensor: Tensor) -> torch.dtype:
    """The dtype of sums over `tensor`, and of what is small beside it: half types are computed wide."""
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32


def layout_of(x: Tensor) -> torch.memory_format:
    """Results lie as their input does: channels-last, or contiguous for everything else (and where both fit)."""
    if x.ndim == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last):
        return torch.channels_last
    return torch.contiguous_format
