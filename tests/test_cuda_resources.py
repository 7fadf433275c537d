"""That no CUDA kernel spills registers, as nvcc's assembler tells; no GPU is needed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SPILLS = """
__global__ void __launch_bounds__(1024, 2) greedy(const float* x, float* y) {
  float kept[96];
#pragma unroll
  for (int i = 0; i < 96; ++i) kept[i] = x[i * 1024 + threadIdx.x];
  float sum = 0;
#pragma unroll
  for (int i = 0; i < 96; ++i) {
    __syncthreads();
    sum = sum * kept[i] + kept[95 - i];
    y[i * 1024 + threadIdx.x] = sum;
  }
}
"""
needs_nvcc = pytest.mark.skipif(
    shutil.which("nvcc") is None and "CUDA_HOME" not in os.environ, reason="nvcc is not there to compile the kernels"
)


def measured(path: Path, *arguments: str | Path) -> list[dict]:
    script = ROOT / "benchmarks" / "cuda_resources.py"
    done = subprocess.run(
        [sys.executable, script, *arguments, "--json", path], capture_output=True, text=True, cwd=path.parent
    )
    assert done.returncode == 0, done.stderr
    return json.loads(path.read_text())["rows"]


@needs_nvcc
def test_no_kernel_keeps_in_memory_what_belongs_into_registers(tmp_path):
    rows = measured(tmp_path / "resources.json")
    seen = {(row["file"], row["architecture"]) for row in rows}
    assert seen == {(p.name, a) for p in (ROOT / "csrc").rglob("*_cuda.cu") for a in ("80", "90")}
    assert [row for row in rows if row["spills"] or row["stack"]] == []


@needs_nvcc
def test_a_kernel_that_spills_is_found(tmp_path):
    (tmp_path / "greedy.cu").write_text(SPILLS)
    (row,) = measured(tmp_path / "resources.json", tmp_path / "greedy.cu", "--architecture", "90")
    assert row["kernel"] == "greedy" and row["registers"] == 32 and row["threads"] == 2048 and row["spills"] > 0
