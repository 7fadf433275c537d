"""The choice between the kernels and their definitions."""

import os
import shutil
import subprocess
import sys

import pytest

from pumpgan.ops import implementation


@pytest.fixture(autouse=True)
def keep_the_choice():
    before = implementation.in_use()
    yield
    implementation.use(before)


def python(code: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment}
    )


def test_the_environment_chooses_for_a_process():
    code = "from pumpgan.ops import implementation; print(implementation.in_use())"
    assert python(code, PUMPGAN_OPS="reference").stdout.strip() == "reference"
    assert python(code, PUMPGAN_OPS="auto").stdout.strip() == "native"


def test_a_wrong_choice_is_refused():
    with pytest.raises(ValueError, match="ops: must be one of auto, native, reference, got 'fast'"):
        implementation.use("fast")
    assert "ops: must be one of" in python("import pumpgan.ops", PUMPGAN_OPS="fast").stderr


def test_native_is_refused_where_it_was_not_built(monkeypatch):
    monkeypatch.setattr(implementation, "built", lambda: False)
    monkeypatch.setattr(implementation, "loaded", lambda: False)
    with pytest.raises(ValueError, match="not built"):
        implementation.use("native")
    implementation.use("auto")
    assert implementation.in_use() == "reference"
    assert implementation.describe() == {
        "in_use": "reference",
        "built": False,
        "loaded": False,
        "cpu_isa": None,
        "cuda_architectures": [],
    }


def test_operators_work_without_the_library():
    code = """
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "pumpgan._C" else found(name, *rest)
import sys
import torch
from pumpgan.ops import bias_act, implementation, upfirdn2d
assert "pumpgan._C" not in sys.modules and implementation.in_use() == "reference"
x = torch.ones(1, 1, 4, 4, requires_grad=True)
print(upfirdn2d(bias_act(x), torch.ones(2) / 2).sum().item())
"""
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(9 * 2**0.5, rel=1e-5)


def test_kernels_that_do_not_load_are_one_sentence(broken_library):
    for choice in ("auto", "native"):
        done = python("import pumpgan.ops", **broken_library, PUMPGAN_OPS=choice)
        *_, last = done.stderr.splitlines()
        assert done.returncode == 1 and "During handling" not in done.stderr
        assert last.startswith("ImportError: pumpgan._C does not load") and "rebuild" in last
        assert last.endswith("or set PUMPGAN_OPS=reference to run its definitions in plain torch")


def test_the_definitions_run_beside_kernels_that_do_not_load(broken_library):
    code = """
import torch
from pumpgan.ops import bias_act, implementation
print(implementation.in_use(), implementation.describe()["loaded"], bias_act(torch.ones(1, 1)).item())
try:
    implementation.use("native")
except ValueError as error:
    print(error)
implementation.use("auto")
print(implementation.in_use())
"""
    done = python(code, **broken_library, PUMPGAN_OPS="reference")
    assert done.returncode == 0, done.stderr
    first, refusal, last = done.stdout.splitlines()
    assert first.startswith("reference False 1.41") and last == "reference"
    assert refusal.endswith("is not loaded, as PUMPGAN_OPS=reference asks; unset it")


def test_the_library_says_what_it_is():
    facts = implementation.describe()
    assert facts["built"] and facts["loaded"] and facts["cpu_isa"] in ("AVX-512", "AVX2", "SSE2", "as compiled")
    assert all(8.0 <= float(architecture) < 20 for architecture in facts["cuda_architectures"])


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="needs nvcc, as the build did")
def test_gpu_code_is_built_wherever_nvcc_is():
    assert implementation.describe()["cuda_architectures"]
