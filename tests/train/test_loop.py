"""The loop: when it ends, saves, logs and keeps a snapshot."""

import json
from pathlib import Path

import pytest
import torch
from small_gan import SMALL_CONFIG, small_gan

from pumpgan.data.stream import Batch
from pumpgan.train import checkpoint as checkpoints
from pumpgan.train import journal, loop
from pumpgan.train.config import SemganConfig
from pumpgan.train.journal import Journal
from pumpgan.train.learner import Looks
from pumpgan.train.loop import Goal
from pumpgan.train.run import resume, start


def start_small(plates: Path, run: Path, goal: Goal, **options) -> None:
    config = SemganConfig(**{**SMALL_CONFIG, "precision": "fp32", **options})
    start(config, preset="tiny", data=[plates], run=run, goal=goal, device=torch.device("cpu"), quiet=True)


def steps_of(run: Path) -> list[int]:
    return checkpoints.steps(run / "checkpoints")


def losses(run: Path) -> list[dict]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if "loss/generator" in line]


class Clock:
    """A second passes whenever someone looks."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1
        return self.now


# Ends -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "goal, step, elapsed, over",
    [
        (Goal(steps=5), 4, 1e9, False),
        (Goal(steps=5), 5, 0, True),
        (Goal(minutes=2), 10**9, 119.9, False),
        (Goal(minutes=2), 0, 120, True),
        (Goal(steps=5, minutes=2), 0, 120, True),
        (Goal(), 10**9, 1e9, False),
    ],
)
def test_a_goal_is_a_step_or_a_time_whichever_comes_first(goal, step, elapsed, over):
    assert goal.reached(step, elapsed) == over


def test_minutes_end_a_run_and_count_anew_when_it_is_resumed(plates, tmp_path, monkeypatch):
    run = tmp_path / "run"
    monkeypatch.setattr(journal, "time", Clock())
    start_small(plates, run, Goal(minutes=0.2))
    last = checkpoints.latest(run)
    assert 0 < last.step <= 12 and last.state["finished"]
    assert 12 <= last.state["seconds"] <= 24
    assert not resume(run, quiet=True)  # nothing left to do
    assert resume(run, goal=Goal(minutes=0.2), quiet=True)
    again = checkpoints.latest(run)
    assert again.step > last.step and again.state["finished"]
    assert again.state["seconds"] >= last.state["seconds"] + 12


def test_a_run_of_steps_ends_at_its_step_and_says_so_in_its_checkpoint(plates, tmp_path):
    start_small(plates, tmp_path / "run", Goal(steps=3))
    last = checkpoints.latest(tmp_path / "run")
    assert last.step == 3 and last.state["finished"] and last.state["images"] == 12


# Saves ------------------------------------------------------------------------------------------------------


def test_a_run_saves_as_often_as_told_and_keeps_the_last_two(plates, tmp_path, monkeypatch):
    run, saved = tmp_path / "run", []

    def save(*arguments, **options):
        checkpoints.save_checkpoint(*arguments, **options)
        saved.append((steps_of(run)[-1], len(steps_of(run)), options["snapshot"]))

    monkeypatch.setattr(loop, "SAVE_EVERY", 0.0)
    monkeypatch.setattr(loop, "save_checkpoint", save)
    start_small(plates, run, Goal(steps=4))
    assert saved == [(0, 1, False), (1, 2, False), (2, 2, False), (3, 2, False), (4, 2, False)]
    assert steps_of(run) == [3, 4] and checkpoints.latest(run).state["finished"]
    assert sorted(p.stem for p in (run / "samples").iterdir()) == [f"{step:08d}" for step in range(5)]


def test_a_run_saves_at_its_start_and_end_alone_where_it_is_short(plates, tmp_path):
    start_small(plates, tmp_path / "run", Goal(steps=3))
    assert steps_of(tmp_path / "run") == [0, 3]


@pytest.mark.parametrize(
    "save_every, first, last, kept",
    [
        (0.0, 248, 252, [250]),  # at the step itself
        (300.0, 248, 252, [252]),  # at the first checkpoint beyond
        (0.0, 250, 252, []),  # that of 250 was the earlier invocation's
        (0.0, 499, 501, [500]),
    ],
)
def test_an_averaged_generator_is_kept_whenever_a_thousand_images_are_full(
    tmp_path, monkeypatch, save_every, first, last, kept
):
    monkeypatch.setattr(loop, "SAVE_EVERY", save_every)
    gan, step = small_gan(snapshot_kimg=1)  # of 4 images a step: every 250 steps
    gan.step = first
    labels = step.labels.argmax(dim=1)
    log = Journal(tmp_path, step=first, goal=last, batch=4, seconds=0.0, quiet=True)
    loop.train(
        gan,
        lambda at: Batch(step.images, None),
        lambda at: Batch(step.labelled_images, labels),
        run=tmp_path,
        goal=Goal(steps=last),
        journal=log,
        digest="",
        looks=Looks(lambda gan: []),
    )
    log.close()
    assert sorted(int(p.stem) for p in tmp_path.glob("snapshots/*.safetensors")) == kept
    for at in kept:
        tensors, found = checkpoints.averaged_tensors(tmp_path, at)
        assert found == at and tensors.keys() == gan.averaged.state_dict().keys()


# Logs -------------------------------------------------------------------------------------------------------


def test_every_sixteenth_step_is_logged_with_all_its_losses(plates, tmp_path):
    run = tmp_path / "run"
    start_small(plates, run, Goal(steps=32), path_length_every=16)
    lines = losses(run)
    assert [line["step"] for line in lines] == [16, 32]
    for line in lines:
        assert {"loss/image_r1", "loss/label_r1", "loss/path_length", "loss/image_discriminator"} <= line.keys()
        assert {"loss/label_discriminator", "loss/agreement", "loss/feature_matching"} <= line.keys()
        assert line["images"] == 4 * line["step"] and line["images_per_second"] > 0
    assert [line["seconds"] for line in lines] == sorted(line["seconds"] for line in lines)
