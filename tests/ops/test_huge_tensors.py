"""Tensors of more than 2^31 elements: an index that does not fit into 32 bits must not come round to the start."""

from pathlib import Path

import pytest
import torch
from conftest import GPUS

from pumpgan.ops import implementation, label_stats, upfirdn2d

N, C, SIDE = 33, 64, 1024  # 2^26 elements a sample, so the last sample begins at 2^31
WANTED_GIB = 11  # twice the bfloat16 tensor, and a few samples
SAMPLES = (0, N - 2, N - 1)
CASES = [("cpu", "NHWC")]  # as the networks run; indices are 64 bits wide throughout, and a minute is enough
CASES += [pytest.param((gpu, layout), marks=pytest.mark.cuda) for gpu in GPUS for layout in ("NCHW", "NHWC")]


def free_gib(device: str) -> float:
    if device == "cuda":
        return torch.cuda.mem_get_info()[0] / 2**30
    facts = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(facts["MemAvailable"].split()[0]) / 2**20


@pytest.fixture(scope="module", params=CASES, ids=" ".join)
def x(request):
    """[N, C, SIDE, SIDE] bfloat16, no two samples alike."""
    device, layout = request.param
    if free_gib(device) < WANTED_GIB:
        pytest.skip(f"{WANTED_GIB} GiB of memory are not free")
    before = implementation.in_use()
    implementation.use("native")
    sample = torch.randn(C * SIDE * SIDE, device=device, dtype=torch.bfloat16)
    memory = torch.empty(N, C * SIDE * SIDE, device=device, dtype=torch.bfloat16)
    for n in range(N):
        torch.mul(sample, 1 + n / N, out=memory[n])
    yield memory.view(N, C, SIDE, SIDE) if layout == "NCHW" else memory.view(N, SIDE, SIDE, C).movedim(3, 1)
    implementation.use(before)


def assert_treats_each_sample_alone(function, x):
    """function: [n, C, SIDE, SIDE] and the samples' numbers -> tensors whose rows are the samples."""
    whole = function(x, slice(0, N))
    for n in SAMPLES:
        alone = function(x[n : n + 1], slice(n, n + 1))
        torch.testing.assert_close([t[n : n + 1] for t in whole], list(alone), rtol=0.01, atol=1e-6)


@pytest.mark.slow
def test_bias_act(x):
    bias, scalars = torch.randn(C, device=x.device, dtype=x.dtype), (0.2, 1.4, 2.0)
    assert_treats_each_sample_alone(lambda x, _: [torch.ops.pumpgan.bias_act(x, bias, *scalars)], x)
    assert_treats_each_sample_alone(lambda x, _: [torch.ops.pumpgan.bias_act_backward(x, x, *scalars, False)[0]], x)


@pytest.mark.slow
def test_the_sum_of_a_bias_gradient(x):
    def sums(x):
        return torch.ops.pumpgan.bias_act_backward(x, x, 0.2, 1.0, 1e9, True)[1].double()

    torch.testing.assert_close(sums(x), sum(sums(x[n : n + 1]) for n in range(N)), rtol=0.01, atol=0)


@pytest.mark.slow
def test_upfirdn2d(x):
    taps = torch.tensor([1.0, 3.0, 4.0, 1.5], device=x.device) / 8
    for use in (dict(padding=(2, 1, 2, 1)), dict(down=2, padding=(1, 1, 1, 1))):
        assert_treats_each_sample_alone(lambda x, _, use=use: [upfirdn2d(x, taps, **use)], x)
    small = x[:, :, ::2, ::2]  # of which the result is as large as x
    assert_treats_each_sample_alone(lambda x, _: [upfirdn2d(x, taps, up=2, padding=(2, 1, 2, 1))], small)


@pytest.mark.slow
def test_modulated_epilogue(x):
    d, noise = torch.rand(N, C, device=x.device) + 0.5, torch.randn(N, 1, SIDE, SIDE, device=x.device)
    bias, scalars, op = torch.randn(C, device=x.device), (0.2, 1.4, 2.0), torch.ops.pumpgan.modulated_epilogue
    assert_treats_each_sample_alone(lambda x, rows: [op(x, d[rows], noise[rows], bias, *scalars)], x)
    backward = torch.ops.pumpgan.modulated_epilogue_backward  # of x, d and the noise; the bias sums over samples
    assert_treats_each_sample_alone(lambda x, rows: backward(x, x, x, d[rows], True, True, *scalars)[:3], x)


@pytest.mark.slow
def test_label_stats(x):
    assert_treats_each_sample_alone(lambda x, _: label_stats(x), x)
    grad = torch.randn(N, C, device=x.device) * SIDE**2  # by whose inverse the result is small
    backward = torch.ops.pumpgan.label_stats_backward
    assert_treats_each_sample_alone(lambda x, rows: [backward(grad[rows], x, 1.0)], x)
