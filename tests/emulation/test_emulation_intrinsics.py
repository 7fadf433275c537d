"""That the emulation's indices, shuffles, votes, atomics, fences and conversions are CUDA's."""

import pytest
import torch
from emulator import SANITIZERS, Call, Input, Output, emulator

pytestmark = pytest.mark.parametrize("sanitizer", SANITIZERS)


def run(sanitizer, kernel, x, size, start=None):
    """y, [size] float64. Where `start` is given, y holds that before the kernel runs."""
    call = Call("intrinsics_cuda", dict(x=x, y=Output((size,), torch.float64, start=start), kernel=kernel))
    emulator(sanitizer).run(call)
    return call.outputs["y"]


def test_every_thread_of_a_grid_runs_once(sanitizer):
    size = 12 * 30
    y = run(sanitizer, 0, torch.zeros(1), size, torch.zeros(size))
    assert y.tolist() == [i + 1 for i in range(size)]


def test_shuffles_hand_over_the_lanes_that_cuda_names(sanitizer):
    y = run(sanitizer, 1, torch.zeros(1), 6 * 32).reshape(6, 32).tolist()
    lanes = range(32)
    assert y[0] == [5] * 32
    assert y[1] == [lane // 8 * 8 + 1 for lane in lanes]
    assert y[2] == [lane ^ 3 for lane in lanes]
    assert y[3] == [lane + 3 if lane % 16 < 13 else lane for lane in lanes]
    assert y[4] == [lane - 2 if lane % 8 >= 2 else lane for lane in lanes]
    assert y[5] == [sum(range(16))] * 16 + [sum(range(16, 32))] * 16


def test_votes_and_reductions(sanitizer):
    y = run(sanitizer, 2, torch.zeros(1), 5).tolist()
    assert y == [sum(1 << lane for lane in range(0, 32, 3)), 0, 1, 24, -7]


def test_atomics_add_up_over_threads_and_blocks(sanitizer):
    x = torch.randint(0, 9, (64,)).float()
    y = run(sanitizer, 3, x, 3, torch.zeros(3))
    assert y.tolist() == [5 * x.sum().item(), 63 * 5, 0]


def test_fences_order_what_the_last_block_reads(sanitizer):
    x = torch.randint(0, 9, (32,)).float()
    y = run(sanitizer, 4, x, 64 + 5 * 32, torch.zeros(64 + 5 * 32))
    assert torch.equal(y[1:33], 15 * x.double())


def test_a_warp_may_wait_for_itself_and_a_kernel_ask_for_more_shared_memory(sanitizer):
    x = torch.randn(96)
    y = run(sanitizer, 5, x, 3 * 96).reshape(3, 3, 32)
    for turn in range(3):
        assert torch.equal(y[turn], (x + turn).double().reshape(3, 32).flip(1)), turn


def test_halves_are_rounded_as_torch_rounds_them(sanitizer):
    exponents = torch.randint(-28, 20, (4096,)).float()
    x = torch.randn(4096) * exponents.exp2()
    x[:8] = torch.tensor([0.0, -0.0, float("inf"), float("nan"), 65519.0, 65520.0, 2.0**-25, 3.0 * 2.0**-26])
    x[8:520] = (torch.randint(0x3C00, 0x4400, (512,)).short().view(torch.float16).float()) * (1 + 2.0**-11)  # ties
    y = run(sanitizer, 6, Input(x), 2 * 4096).reshape(-1, 2)
    for column, dtype in ((0, torch.float16), (1, torch.bfloat16)):
        torch.testing.assert_close(y[:, column], x.to(dtype).double(), rtol=0, atol=0, equal_nan=True)
