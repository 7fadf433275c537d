"""csrc/common/divider.h, compiled for the processor, against division."""

import shutil
import subprocess
from pathlib import Path

import pytest

CSRC = Path(__file__).parents[2] / "csrc"
PROGRAM = """
#include <cstdio>
#include "common/divider.h"

int main() {
  long long divisor, n;
  while (std::scanf("%lld %lld", &divisor, &n) == 2) {
    int64_t whole = n;
    const int64_t rest = pumpgan::Divider(divisor).take(whole);
    std::printf("%lld %lld\\n", static_cast<long long>(whole), static_cast<long long>(rest));
  }
}
"""


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_quotients_and_remainders_are_exact_about_every_edge(tmp_path):
    (tmp_path / "divide.cpp").write_text(PROGRAM)
    subprocess.run(["g++", "-std=c++17", f"-I{CSRC}", "-o", tmp_path / "divide", tmp_path / "divide.cpp"], check=True)
    edges = {2**k + step for k in range(0, 40) for step in (-1, 0, 1)} | {3, 7, 641, 6_700_417, 10**9 + 7}
    divisors = [d for d in edges if d > 0]
    cases = []
    for d in divisors:
        multiples = [d * (2**31 // d + step) for step in (-1, 0, 1)]
        cases += [(d, n + step) for n in [*edges, *multiples] for step in (-1, 0, 1) if n + step >= 0]
    told = subprocess.run(
        [tmp_path / "divide"],
        input="\n".join(f"{d} {n}" for d, n in cases),
        capture_output=True,
        text=True,
        check=True,
    )
    answers = [tuple(map(int, line.split())) for line in told.stdout.splitlines()]
    assert len(answers) == len(cases)
    wrong = [case for case, answer in zip(cases, answers, strict=True) if answer != divmod(case[1], case[0])]
    assert wrong == []
