"""A run survives: kill -9, signals, a full disk, a checkpoint cut short, a log cut off mid-line."""

import errno
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from plates import SMALL, pumpgan, start_pumpgan, write_plates
from safetensors.torch import load_file

from pumpgan.train import checkpoint as checkpoints
from pumpgan.train.journal import cut_back

STEERED = ("--dist-loss", "hole", "--dist-start", "0", "--path-length-weight", "2")


def bytes_of(run: Path, step: int) -> dict[str, bytes]:
    folder = run / "checkpoints" / str(step)
    return {name: (folder / name).read_bytes() for name in checkpoints.FILES}


def wait_for(condition, process, seconds: float = 90):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < end, "took too long"
        time.sleep(0.02)


def last_logged_step(run: Path) -> int:
    lines = (run / "log.jsonl").read_text().splitlines() if (run / "log.jsonl").exists() else []
    return json.loads(lines[-1])["step"] if lines else 0


def test_a_killed_and_resumed_run_ends_in_the_same_bytes_as_an_unbroken_one(plates, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train = ("train", "--data", plates, *SMALL, *STEERED)
    assert pumpgan(*train, "--out", whole, "--steps", 80).returncode == 0
    assert pumpgan(*train, "--out", broken, "--steps", 40).returncode == 0
    # Beyond the checkpoint of step 40, then gone without a word: what it did since must not show.
    process = start_pumpgan("train", "--resume", broken, "--steps", 4000)
    wait_for(lambda: last_logged_step(broken) >= 48, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert checkpoints.steps(broken / "checkpoints")[-1] == 40
    result = pumpgan("train", "--resume", broken, "--steps", 80)
    assert result.returncode == 0, result.stderr
    assert bytes_of(whole, 80) == bytes_of(broken, 80)
    logged = [json.loads(line) for line in (broken / "log.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in logged if "loss/generator" in line]
    assert steps == [16, 32, 40, 48, 64, 80]  # neither lost nor told twice; a finished run logs its last step


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_leaves(plates, tmp_path, number, code):
    run = tmp_path / "run"
    process = start_pumpgan("train", "--data", plates, *SMALL, "--out", run, "--steps", 100_000)
    wait_for(lambda: last_logged_step(run) >= 16, process)
    process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == code, output
    assert "go on with: pumpgan train --resume" in output
    step = checkpoints.steps(run / "checkpoints")[-1]
    assert step >= 16 and (run / "samples" / f"{step:08d}.png").exists()


def test_a_finished_run_has_nothing_left_to_do(plates, tmp_path):
    run = tmp_path / "run"
    assert pumpgan("train", "--data", plates, *SMALL, "--out", run, "--steps", 2).returncode == 0
    before = (run / "config.json").read_bytes()
    result = pumpgan("train", "--resume", run)
    assert result.returncode == 0 and "has reached its goal" in result.stdout
    assert (run / "config.json").read_bytes() == before


def test_a_run_without_a_checkpoint_starts_at_the_first_step(plates, tmp_path):
    run, again = tmp_path / "run", tmp_path / "again"
    for out in (run, again):
        assert pumpgan("train", "--data", plates, *SMALL, "--out", out, "--steps", 3).returncode == 0
    for step in (0, 3):  # as if power had failed before the first checkpoint
        for path in (again / "checkpoints" / str(step)).iterdir():
            path.unlink()
        (again / "checkpoints" / str(step)).rmdir()
    assert pumpgan("train", "--resume", again).returncode == 0
    assert bytes_of(run, 3) == bytes_of(again, 3)


def test_a_checkpoint_cut_short_is_named_and_the_older_one_offered(plates, tmp_path):
    run = tmp_path / "run"
    assert pumpgan("train", "--data", plates, *SMALL, "--out", run, "--steps", 4).returncode == 0
    model = run / "checkpoints" / "4" / "model.safetensors"
    os.truncate(model, 1000)
    result = pumpgan("train", "--resume", run, "--steps", 8)
    assert result.returncode == 1
    assert str(model) in result.stderr and "go on from step 0" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_flipped_bit_is_noticed(plates, tmp_path):
    run = tmp_path / "run"
    assert pumpgan("train", "--data", plates, *SMALL, "--out", run, "--steps", 2).returncode == 0
    path = run / "checkpoints" / "2" / "optimizer.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    result = pumpgan("train", "--resume", run, "--steps", 4)
    assert result.returncode == 1 and "SHA-256" in result.stderr


def test_other_data_is_refused(plates, tmp_path):
    data, run = write_plates(tmp_path / "data", 20), tmp_path / "run"
    assert pumpgan("train", "--data", data, *SMALL, "--out", run, "--steps", 2).returncode == 0
    (data / "labels" / "plate_3.png").write_bytes((data / "labels" / "plate_4.png").read_bytes())
    result = pumpgan("train", "--resume", run, "--steps", 4)
    assert result.returncode == 1 and "no longer holds the images and labels" in result.stderr


def test_data_that_was_moved_is_named_anew(plates, tmp_path):
    data, moved, run = write_plates(tmp_path / "data", 20), tmp_path / "elsewhere", tmp_path / "run"
    assert pumpgan("train", "--data", data, *SMALL, "--out", run, "--steps", 2).returncode == 0
    data.rename(moved)
    result = pumpgan("train", "--resume", run, "--steps", 3)
    assert result.returncode == 1 and str(data) in result.stderr and "--data" in result.stderr
    result = pumpgan("train", "--resume", run, "--data", plates, "--steps", 3)
    assert result.returncode == 1 and "no longer holds" in result.stderr
    assert pumpgan("train", "--resume", run, "--data", moved, "--steps", 3).returncode == 0
    assert pumpgan("train", "--resume", run, "--steps", 4).returncode == 0  # it is remembered


def test_a_full_disk_leaves_the_last_checkpoint_and_says_so(tmp_path, monkeypatch):
    tensors = {"a": torch.arange(4.0)}
    state = {"step": 1, "images": 4, "seconds": 0.0, "threads": 1}
    checkpoints.save_checkpoint(tmp_path, tensors, tensors, state, snapshot=False)

    def full(path, content):
        path.write_bytes(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints, "write_synced", full)
    with pytest.raises(OSError, match=r"No space left.*resume from the checkpoint of step 1"):
        checkpoints.save_checkpoint(tmp_path, tensors, tensors, {**state, "step": 2}, snapshot=False)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["1"]
    assert torch.equal(checkpoints.latest(tmp_path).tensors("model.safetensors")["a"], tensors["a"])


def test_the_last_two_are_kept_and_snapshots_for_good(tmp_path):
    networks = {"generator.w": torch.zeros(1), "averaged.w": torch.ones(1)}
    for step in (1, 2, 3):
        state = {"step": step, "images": step, "seconds": 0.0, "threads": 1}
        checkpoints.save_checkpoint(tmp_path, networks, {}, state, snapshot=step == 1)
    assert checkpoints.steps(tmp_path / "checkpoints") == [2, 3]
    assert list(load_file(tmp_path / "snapshots" / "1.safetensors")) == ["averaged.w"]
    tensors, step = checkpoints.averaged_tensors(tmp_path, 1)
    assert step == 1 and torch.equal(tensors["w"], torch.ones(1))


def test_a_log_is_cut_back_to_the_checkpoint_and_to_whole_lines(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"ste')
    cut_back(path, 2)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'
    path.write_text('{"step": 1}\n{"st')
    cut_back(path, 2)
    assert path.read_text() == '{"step": 1}\n'


def test_a_loss_that_is_not_finite_stops_the_run_and_names_its_phase(plates, tmp_path, monkeypatch):
    from pumpgan.train import semgan
    from pumpgan.train.config import SemganConfig
    from pumpgan.train.loop import Goal
    from pumpgan.train.run import start

    def diverged(logits):
        return logits.sum() * float("nan")

    monkeypatch.setattr(semgan, "generator_nonsaturating", diverged)
    config = SemganConfig(resolution=16, batch=4, channel_base=128, channel_most=16, latent_size=8, style_size=8)
    options = dict(preset="tiny", data=[plates], run=tmp_path / "run", device=torch.device("cpu"), quiet=True)
    with pytest.raises(ValueError, match=r"step 0: .*phase generator .*checkpoints/0"):
        start(config, goal=Goal(steps=20), **options)
    assert checkpoints.steps(tmp_path / "run" / "checkpoints") == [0]


def test_a_run_belongs_to_one_process_at_a_time(plates, tmp_path):
    run = tmp_path / "run"
    process = start_pumpgan("train", "--data", plates, *SMALL, "--out", run, "--steps", 100_000)
    wait_for(lambda: last_logged_step(run) >= 16, process)
    result = pumpgan("train", "--resume", run, "--steps", 200_000)
    process.kill()
    process.wait()
    assert result.returncode == 1 and "another process is training in it" in result.stderr


def test_a_log_that_cannot_grow_stops_the_run_in_one_line(plates, tmp_path):
    # A real limit, met by real writes: the shell caps every file at 400 KiB, and the first checkpoint is larger.
    command = [sys.executable, "-m", "pumpgan.cli", "train", "--data", plates, *SMALL, "--out", tmp_path / "run"]
    words = " ".join(shlex.quote(str(word)) for word in [*command, "--steps", 2, "--patch-base", 16])
    script = f"trap '' XFSZ; ulimit -f 400; exec {words}"
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert result.returncode == 1, result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert "cannot be written (File too large)" in last and "no checkpoint exists yet" in last
    assert "Traceback" not in result.stderr
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == []


def test_a_resumed_run_keeps_the_kernels_that_it_chose(plates, tmp_path):
    run = tmp_path / "run"
    assert pumpgan("train", "--data", plates, *SMALL, "--out", run, "--steps", 2).returncode == 0
    path = run / "checkpoints" / "2" / "state.json"
    state = json.loads(path.read_text())
    assert state["choices"] == {}  # on a CPU nothing is timed
    path.write_text(json.dumps({**state, "choices": {"a question": "the answer then"}}))
    assert pumpgan("train", "--resume", run, "--steps", 3).returncode == 0
    assert json.loads((run / "checkpoints" / "3" / "state.json").read_text())["choices"] == {
        "a question": "the answer then"
    }
