"""That the emulation finds what it is there for: each kernel of faulty.cu has one mistake."""

import re
from pathlib import Path

import pytest
import torch
from emulator import SANITIZERS, Call, Fault, Output, emulator

CASES = re.findall(r"case (\d+): return start\((\w+)[,)]", (Path(__file__).parent / "faulty.cu").read_text())
NUMBERS = {name: int(number) for number, name in reversed(CASES)}  # the first, where a kernel has two
REPORTED = {  # which sanitizers report it, and how
    "reads_past_the_end": {"address": "heap-buffer-overflow.*\n.*READ"},
    "writes_past_the_end": {"address": "heap-buffer-overflow.*\n.*WRITE"},
    "loads_unaligned_packs": {"address": "misaligned address"},
    "forgets_a_barrier": {"thread": "data race"},
    "forgets_the_barrier_between_turns": {"thread": "data race"},
    "takes_a_shuffle_for_a_barrier": {"thread": "data race"},
    "lets_blocks_share_an_output": {"thread": "data race"},
    "puts_a_warp_sum_in_a_branch": dict.fromkeys(SANITIZERS, "waits for ever"),
    "reads_a_lane_that_left": dict.fromkeys(SANITIZERS, "a lane that takes no part"),
    "overruns_static_shared_memory": {"address": "index 64 out of bounds"},
    "overruns_dynamic_shared_memory": {"address": "use-after-poison"},
    "overruns_its_own_array": {"address": "insufficient space|stack-buffer-overflow"},
}
LEAVES_NAN = {"leaves_the_tail", "trusts_shared_memory_to_be_zero"}


def call_of(kernel: str, x: torch.Tensor) -> Call:
    return Call("faulty_cuda", dict(x=x, y=Output((len(x),), x.dtype), size=len(x), fault=NUMBERS[kernel]))


def test_every_faulty_kernel_is_tried():
    assert NUMBERS.keys() == REPORTED.keys() | LEAVES_NAN | {"right"}


@pytest.mark.parametrize("name", REPORTED)
def test_a_fault_is_reported(name):
    for sanitizer, report in REPORTED[name].items():
        with pytest.raises(Fault) as raised:
            emulator(sanitizer).run(call_of(name, torch.randn(99)))
        assert re.search(report, str(raised.value)), raised.value


@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_a_right_kernel_passes_and_what_is_not_written_stays_nan(sanitizer):
    x = torch.randn(99)
    calls = {name: call_of(name, x) for name in {"right"} | LEAVES_NAN}
    emulator(sanitizer).run(*calls.values())
    assert torch.equal(calls["right"].outputs["y"], 2 * x)
    for name in LEAVES_NAN:
        assert calls[name].outputs["y"].isnan().any()


def test_a_report_names_the_call_and_its_arguments():
    with pytest.raises(Fault, match=r"call 1, faulty_cuda.*'size': 98, 'fault': 2"):
        emulator("address").run(call_of("right", torch.randn(99)), call_of("writes_past_the_end", torch.randn(98)))


def test_a_launcher_that_writes_to_its_input_is_found():
    call = call_of("right", torch.randn(99))
    call.arguments |= dict(x=call.arguments["y"], y=call.arguments["x"])
    with pytest.raises(Fault, match="wrote to its input y"):
        emulator("address").run(call)
