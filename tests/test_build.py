"""The build: what setup.py decides, and kernels compiled by themselves."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pumpgan

ROOT = Path(__file__).parent.parent
NARROW = """
#include "upfirdn2d/upfirdn2d.h"
#include "common/parallel.h"
#include <vector>
void pumpgan::parallel_for(int64_t n, int64_t, const std::function<void(int64_t, int64_t)>& body) { body(0, n); }
int main() {
  for (int64_t side = 1; side < 6; ++side) {
    const std::vector<float> x(side * side, 1.0f), taps(2, 0.5f);
    std::vector<float> y(side * side);
    const pumpgan::ResampledAxis axis{side, side, 2, 1, 1, 1};
    pumpgan::upfirdn2d_cpu({x.data(), taps.data(), y.data(), 1, 1, axis, axis, true, false, 1.0, pumpgan::DType::f32});
    if (y.front() != 0.25f || y.back() != (side == 1 ? 0.25f : 1.0f)) return 1;
  }
}
"""
VECTORS = """
#include "blurred_epilogue/blurred_epilogue.h"
#include "common/cpu_kernel.h"
#include <cstdio>
using namespace pumpgan;
void pumpgan::parallel_for(int64_t n, int64_t, const std::function<void(int64_t, int64_t)>& body) { body(0, n); }
template <typename T>
std::vector<T> values(int64_t n) {
  std::vector<T> made;
  for (int64_t i = 0; i < n; ++i) made.push_back(narrow<T>(float(int(i * 2654435761u >> 7 & 15) - 8)));
  return made;
}
template <typename T>
void show(const std::vector<T>& values) {
  for (T value : values) printf("%.9g ", double(widen(value)));
}
template <typename T>
void run(DType dtype) {
  BlurShape shape{2, 64, 5, 7, 1, 1, 1};
  blur_tiles_for_cpu(shape);
  const auto x = values<T>(2 * 64 * 6 * 8), grad_y = values<T>(2 * 64 * 5 * 7);
  const auto taps = values<float>(4), d = values<float>(128), noise = values<float>(70), bias = values<float>(64);
  std::vector<T> y(grad_y.size()), grad_x(x.size());
  std::vector<float> grad_d(128), grad_noise(70), grad_bias(64), sums(128), products(128), pixels(70);
  blurred_epilogue_cpu({x.data(), taps.data(), d.data(), noise.data(), bias.data(), y.data(), 35, shape, 0.25, 0.5,
                        1.0, 900.0, dtype});
  blurred_epilogue_backward_cpu({grad_y.data(), y.data(), x.data(), taps.data(), d.data(), grad_x.data(),
                                 grad_d.data(), grad_noise.data(), grad_bias.data(), sums.data(), products.data(),
                                 pixels.data(), shape, 0.25, 0.5, 1.0, 900.0, dtype});
  show(y), show(grad_x), show(grad_d), show(grad_noise), show(grad_bias);
}
int main() {
  run<float>(DType::f32);
  run<BFloat16>(DType::bf16);
}
"""


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **environment})


def test_a_cuda_home_without_nvcc_leaves_the_cpu_part(tmp_path):
    done = run(sys.executable, "setup.py", "--version", CUDA_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert f"no nvcc at {tmp_path}/bin; building for the CPU alone" in done.stderr
    assert done.stdout.splitlines()[-1] == pumpgan.__version__


def test_an_nvcc_that_does_not_say_where_it_lives_leaves_the_cpu_part(tmp_path, monkeypatch):
    (tmp_path / "nvcc").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "nvcc").chmod(0o755)
    monkeypatch.delenv("CUDA_HOME", raising=False)
    done = run(sys.executable, "setup.py", "--version", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path}/nvcc does not say" in done.stderr and "building for the CPU alone" in done.stderr


needs_gcc = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")


@needs_gcc
def test_gcc_below_12_gets_names_that_it_knows():
    for version, names in (("11", {"avx512f", "avx2"}), ("12", {"x86-64-v4", "x86-64-v3"})):
        header = ROOT / "csrc" / "common" / "cpu_kernel.h"
        done = run(
            "g++", "-E", "-dM", "-x", "c++", "-std=c++20", "-U__GNUC__", f"-D__GNUC__={version}", "-Icsrc", header
        )
        asked = dict(re.findall(r'#define (PUMPGAN_AVX\w+) "(.+)"', done.stdout))
        clones = re.search(r"target_clones\((.+?)\)", done.stdout)
        if clones is None:
            pytest.skip("one build alone, not for x86-64")
        assert set(asked.values()) == names
        assert {name.removeprefix("arch=") for name in re.findall(r'"(.+?)"', clones[1])} == names | {"default"}


@needs_gcc
def test_narrow_images_keep_within_the_libraries_rules(tmp_path):
    (tmp_path / "narrow.cpp").write_text(NARROW)
    kernel, program = ROOT / "csrc" / "upfirdn2d" / "upfirdn2d_cpu.cpp", tmp_path / "narrow"
    checks = ["-O0", "-D_GLIBCXX_ASSERTIONS", "-std=c++20"]
    built = run("g++", *checks, "-Icsrc", tmp_path / "narrow.cpp", kernel, "-o", program)
    assert built.returncode == 0, built.stderr
    done = run(program)
    assert done.returncode == 0, done.stderr


@needs_gcc
def test_vectors_of_every_width_compute_the_same(tmp_path):
    (tmp_path / "vectors.cpp").write_text(VECTORS)
    kernel, results = ROOT / "csrc" / "blurred_epilogue" / "blurred_epilogue_cpu.cpp", []
    for width in ([], ["-DPUMPGAN_VECTOR_BYTES=16"], ["-DPUMPGAN_VECTOR_BYTES=32"]):
        program = tmp_path / f"vectors{len(results)}"
        flags = ["-O1", "-std=c++20", "-Wno-psabi", *width]
        built = run("g++", *flags, "-Icsrc", tmp_path / "vectors.cpp", kernel, "-o", program)
        assert built.returncode == 0, built.stderr
        results.append(run(program).stdout)
    assert len(results[0].split()) > 20000 and results[1:] == results[:1] * 2  # small whole numbers: no sum is rounded
