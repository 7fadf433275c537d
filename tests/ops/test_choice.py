"""Which way an operator takes: on a CPU the first, on a GPU the fastest, timed once and kept."""

import json
import sys

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from pumpgan.ops import choice, implementation, modulated_conv2d
from pumpgan.ops.choice import choices, choose, pin

WAYS = {"plain": lambda x: x * 2, "sum": lambda x: x + x, "shift": lambda x: x + x.detach()}
PRICES = {"plain": 3.0, "sum": 1.0, "shift": 2.0}  # milliseconds


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    """As on a GPU, whose clock says PRICES; the list of what was timed. A new process begins with `fresh()`."""
    timed = []

    def milliseconds(way, leaves, wanted):
        timed.append(next(name for name, other in WAYS.items() if other is way))
        return PRICES[timed[-1]]

    monkeypatch.setenv("PUMPGAN_CACHE", str(tmp_path))
    monkeypatch.setattr(choice, "_timed", lambda tensor: True)
    monkeypatch.setattr(choice, "_machine", lambda index: "GPU 1, torch 2, pumpgan 3")
    monkeypatch.setattr(choice, "_milliseconds", milliseconds)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    fresh(monkeypatch)
    return timed


def fresh(monkeypatch):
    monkeypatch.setattr(choice, "_chosen", {})
    monkeypatch.setattr(choice, "_pinned", {})


def test_a_cpu_takes_the_first_and_times_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("PUMPGAN_CACHE", str(tmp_path))
    monkeypatch.setattr(choice, "_milliseconds", None)
    assert choose("double", WAYS, torch.ones(3)) == "plain"
    assert choices() == {} and not list(tmp_path.iterdir())


def test_a_gpu_takes_the_fastest_and_asks_the_clock_once(gpu, monkeypatch, tmp_path):
    assert choose("double", WAYS, torch.ones(3)) == "sum"
    count = len(gpu)
    assert count == len(WAYS) * (choice.WARMUP + choice.ROUNDS) and gpu[:3] == list(WAYS)
    assert choose("double", WAYS, torch.zeros(3)) == "sum" and len(gpu) == count
    fresh(monkeypatch)  # another process finds the file
    assert choose("double", WAYS, torch.ones(3)) == "sum" and len(gpu) == count
    ((key, name),) = json.loads((tmp_path / "kernel-choices.json").read_text()).items()
    assert key == "double, [3] float32 contiguous_format, forward, GPU 1, torch 2, pumpgan 3" and name == "sum"
    assert choices() == {key: name}


def test_another_shape_dtype_layout_or_use_is_another_question(gpu, monkeypatch):
    image = torch.ones(2, 3, 4, 4)
    for tensor in (image, image[:1], image.double(), image.to(memory_format=torch.channels_last)):
        choose("double", WAYS, tensor)
        choose("double", WAYS, tensor.detach().requires_grad_())
    choose("twice", WAYS, image)
    monkeypatch.setattr(choice, "_machine", lambda index: "GPU 2, torch 2, pumpgan 3")
    choose("double", WAYS, image)
    assert len(choices()) == 10


def test_a_pinned_choice_comes_before_the_file_and_the_clock(gpu, monkeypatch):
    choose("double", WAYS, torch.ones(3))
    (key,) = choices()
    fresh(monkeypatch)
    pin({key: "shift"})
    count = len(gpu)
    assert choose("double", WAYS, torch.ones(3)) == "shift" and len(gpu) == count
    assert choices() == {key: "shift"}
    pin({})
    assert choose("double", WAYS, torch.ones(3)) == "sum"


def test_while_nothing_can_be_timed_what_is_known_is_taken_else_the_first(gpu, monkeypatch):
    with FakeTensorMode() as mode:
        assert choose("double", WAYS, mode.from_tensor(torch.ones(3))) == "plain"
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    assert choose("double", WAYS, torch.ones(3)) == "plain" and not gpu and not choices()
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    choose("double", WAYS, torch.ones(3))
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    assert choose("double", WAYS, torch.ones(3)) == "sum"


def test_a_compiled_function_takes_what_is_pinned_in_one_graph(gpu):
    ways = {"one": lambda x: x + 1, "two": lambda x: x + 2}

    def act(x):
        return ways[choose("add", ways, x)](x)

    x = torch.zeros(3)
    assert torch.compile(act, fullgraph=True, backend="eager")(x)[0] == 1
    pin({choice._key("add", (x,)): "two"})
    assert torch.compile(act, fullgraph=True, backend="eager")(x)[0] == 2
    assert not gpu


def test_the_backward_pass_is_timed_where_one_follows(monkeypatch):
    class Event:
        def __init__(self, enable_timing):
            pass

        def record(self):
            pass

        synchronize = record

        def elapsed_time(self, end):
            return float(len(passes))

    class Watched(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            passes.append("forward")
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            passes.append("backward")
            return grad * 2

    monkeypatch.setattr(torch.cuda, "Event", Event)
    x = torch.ones(3, requires_grad=True)
    for tensor, expected in ((x, ["forward", "backward"]), (x.detach(), ["forward"])):
        passes: list[str] = []
        choice._fastest({"only": Watched.apply}, (tensor,))
        assert passes == expected * (choice.WARMUP + choice.ROUNDS)
    assert x.grad is None


def test_a_file_that_is_of_no_use_is_named(gpu, tmp_path, monkeypatch):
    (tmp_path / "kernel-choices.json").write_text("{")
    with pytest.raises(ValueError, match=r"kernel-choices\.json: must hold the choices of kernels, remove it"):
        choose("double", WAYS, torch.ones(3))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PUMPGAN_CACHE", str(tmp_path / "file"))
    with pytest.raises(OSError, match="set PUMPGAN_CACHE"):
        choose("double", WAYS, torch.ones(3))


@pytest.mark.parametrize("up", [1, 2])
@pytest.mark.parametrize("channels_last", [True, False])
def test_every_way_of_a_modulated_convolution_draws_the_same(monkeypatch, up, channels_last):
    if implementation.in_use() != "native":
        pytest.skip("the reference knows one way")
    x, weight, styles = torch.randn(2, 8, 6, 6).bfloat16(), torch.randn(4, 8, 3, 3), torch.randn(2, 8)
    if channels_last:
        x = x.to(memory_format=torch.channels_last)
    results = []
    for place in (0, -1):
        module = sys.modules["pumpgan.ops.modulated_conv2d"]  # whose name in the package is its function's
        monkeypatch.setattr(module, "choose", lambda _, ways, *tensors, place=place: list(ways)[place])
        results.append(modulated_conv2d(x, weight, styles, up=up, taps=torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8))
    assert results[0].stride() == results[1].stride()
    torch.testing.assert_close(*results, rtol=0.02, atol=0.02)
