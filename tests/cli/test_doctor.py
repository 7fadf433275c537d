"""`pumpgan doctor`."""

import json
import os
import subprocess
import sys

from click.testing import CliRunner

from pumpgan.cli.main import main
from pumpgan.ops import implementation


def test_says_what_runs():
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 0, result.output
    for word in ("torch", "operators", "bias_act", "upfirdn2d", implementation.in_use(), "caches"):
        assert word in result.output


def test_gives_the_same_findings_as_json(monkeypatch, tmp_path):
    monkeypatch.setenv("PUMPGAN_CACHE", str(tmp_path))
    result = CliRunner().invoke(main, ["doctor", "--json"])
    findings = json.loads(result.output)
    assert findings["operators"]["in use"] == implementation.in_use()
    assert findings["operators"]["kernels for the CPU"] == implementation.describe()["cpu_isa"]
    assert findings["caches"]["folder"] == str(tmp_path)


def test_names_a_package_that_is_missing(monkeypatch):
    from pumpgan.cli import doctor

    monkeypatch.setattr(doctor, "OPTIONAL", ["no-such-package-of-pumpgan"])
    result = CliRunner().invoke(main, ["doctor"])
    assert "not installed" in result.output


def doctor(**environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "pumpgan.cli", "doctor"]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})


def test_says_that_kernels_do_not_load(broken_library):
    done = doctor(**broken_library)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert "pumpgan._C does not load" in done.stdout and "rebuild pumpgan" in done.stdout and "threads" in done.stdout
    done = doctor(**broken_library, PUMPGAN_OPS="reference")
    assert "not loaded: PUMPGAN_OPS=reference" in done.stdout, done.stderr


def test_says_what_is_wrong_with_the_choice_of_operators():
    done = doctor(PUMPGAN_OPS="fastest")
    assert done.returncode == 0, done.stderr
    assert "must be one of auto, native, reference, got 'fastest'" in done.stdout and "threads" in done.stdout


def test_leaves_quietly_when_nobody_reads_on():
    command = f"{sys.executable} -m pumpgan.cli doctor | true"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert done.stderr == ""


def test_runs_as_a_module_too():
    done = doctor()
    assert done.returncode == 0 and "operators" in done.stdout, done.stderr
