"""Every checkpoint is measured, the best is kept whatever happens, and training does not notice."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_gan import SMALL_CONFIG, small_gan, training_data
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pumpgan.data.dataset import LabelClass
from pumpgan.metrics.extractors import load_extractor
from pumpgan.train import loop, quality
from pumpgan.train.checkpoint import FILES, averaged_tensors, keep_snapshot
from pumpgan.train.config import SemganConfig, Stylegan2AdaConfig
from pumpgan.train.journal import Journal
from pumpgan.train.loop import Goal, Interrupted
from pumpgan.train.quality import Best, Quality, default_count, step_named
from pumpgan.train.run import resume, start
from pumpgan.train.training_data import TrainingData

CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUMPGAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def start_small(plates: Path, run: Path, steps: int, **options) -> None:
    config = SemganConfig(**{**SMALL_CONFIG, "precision": "fp32", "metric_count": 8, **options})
    start(config, preset="tiny", data=[plates], run=run, goal=Goal(steps), device=CPU, quiet=True, say=lambda text: 0)


def measured(run: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return {line["step"]: line["metrics/feature_distance"] for line in lines if "metrics/feature_distance" in line}


def snapshots(run: Path) -> list[int]:
    return sorted(int(path.stem) for path in (run / "snapshots").iterdir())


# A run ------------------------------------------------------------------------------------------------------


def test_a_checkpoint_is_measured_logged_said_and_kept(plates, tmp_path, capsys):
    run = tmp_path / "run"
    start_small(plates, run, 3)
    best = json.loads((run / "best.json").read_text())
    assert measured(run) == {3: best["value"]}  # not the first weights
    assert (best["step"], best["metric"]) == (3, "feature_distance")
    assert (best["recipe"]["name"], best["recipe"]["N"]) == ("stand-in", 8)
    assert (
        f"step 3: feature distance (stand-in, not FID; N = 8) {best['value']:.3f}, the best" in capsys.readouterr().out
    )
    events = EventAccumulator(str(run)).Reload()
    assert events.Scalars("metrics/feature_distance")[0].step == 3
    kept, whole = load_file(run / "snapshots" / "3.safetensors"), load_file(run / "checkpoints/3/model.safetensors")
    assert all(torch.equal(kept[name], whole[name]) for name in kept)
    assert step_named(run, "best") == 3


def test_measuring_leaves_training_as_it_is(plates, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_EVERY", 0.0)  # at every step
    for name, count in (("with", 8), ("without", 0)):
        start_small(plates, tmp_path / name, 4, metric_count=count)
    assert len(measured(tmp_path / "with")) == 4 and not measured(tmp_path / "without")
    for file in FILES:
        bytes_of = [(tmp_path / name / "checkpoints" / "4" / file).read_bytes() for name in ("with", "without")]
        assert bytes_of[0] == bytes_of[1]
    assert not (tmp_path / "without" / "best.json").exists()
    with pytest.raises(ValueError, match=r"best.json: does not exist; the run has measured no checkpoint"):
        step_named(tmp_path / "without", "best")


def test_the_best_does_not_depend_on_the_clock_where_steps_say_when_to_look(plates, tmp_path, monkeypatch):
    for name, seconds in (("slow", 0.0), ("fast", 1e9)):
        monkeypatch.setattr(loop, "SAVE_EVERY", seconds)
        start_small(plates, tmp_path / name, 5, checkpoint_every=2)
    assert measured(tmp_path / "slow") == measured(tmp_path / "fast") and sorted(measured(tmp_path / "fast")) == [
        2,
        4,
        5,
    ]
    assert Best.read(tmp_path / "slow") == Best.read(tmp_path / "fast")
    assert [path.name for path in sorted((tmp_path / "fast" / "checkpoints").iterdir())] == ["4", "5"]


def test_who_is_killed_between_a_measurement_and_its_checkpoint_measures_again(plates, tmp_path, monkeypatch):
    start_small(plates, tmp_path / "whole", 4, checkpoint_every=2)
    run, save = tmp_path / "broken", loop.save_checkpoint

    def killed(run, networks, rest, state, **options):
        if state["step"] == 2:
            raise KeyboardInterrupt
        save(run, networks, rest, state, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "save_checkpoint", killed)
        start_small(plates, run, 4, checkpoint_every=2)
    assert Best.read(run).step == 2 and not (run / "checkpoints" / "2").exists()
    assert resume(run, quiet=True, say=lambda text: 0)
    assert measured(run) == measured(tmp_path / "whole") and Best.read(run) == Best.read(tmp_path / "whole")


def test_a_better_value_of_before_a_resume_stays(plates, tmp_path):
    run = tmp_path / "run"
    start_small(plates, run, 2)
    before = Best.read(run)
    unbeatable = Best(2, before.metric, 0.0, before.recipe, False)
    unbeatable.write(run)
    assert resume(run, goal=Goal(4), quiet=True, say=lambda text: 0)
    assert sorted(measured(run)) == [2, 4]
    assert Best.read(run) == unbeatable and snapshots(run) == [2]
    Best(2, before.metric, 1e9, before.recipe, False).write(run)
    assert resume(run, goal=Goal(6), quiet=True, say=lambda text: 0)
    assert Best.read(run).step == 6 and snapshots(run) == [6]


def test_a_signal_is_not_kept_waiting(plates, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "signals", lambda: __import__("contextlib").nullcontext([15]))
    with pytest.raises(Interrupted):
        start_small(plates, tmp_path / "run", 9)
    assert (tmp_path / "run" / "checkpoints" / "1").is_dir()
    assert not measured(tmp_path / "run")


def test_a_wrong_inception_file_shows_before_the_run_begins(plates, tmp_path):
    (tmp_path / "text.pt").write_text("not a network")
    with pytest.raises(ValueError, match=r"text\.pt: is cut short, or not of torch"):
        start_small(plates, tmp_path / "run", 1, inception=str(tmp_path / "text.pt"))
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match="--inception: has no effect with --metric-count 0"):
        SemganConfig(inception="x.pt", metric_count=0)
    with pytest.raises(ValueError, match="--metric-count: must be at least 2, 0 for no metric, or -1 for auto, got 1"):
        SemganConfig(metric_count=1)


class ScriptLike(torch.nn.Module):
    """Answers as NVIDIA's TorchScript does."""

    def forward(self, x: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        return x.float().mean(dim=(2, 3)).repeat(1, 683)[:, :2048] / 100


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
def test_an_inception_file_that_was_moved_is_named_anew(plates, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.jit.script(ScriptLike()).save("inception.pt")
    monkeypatch.setattr(quality, "distance", lambda real, generated: 7.0)  # of 2048 features, it takes seconds
    run, moved = tmp_path / "run", tmp_path / "elsewhere.pt"
    start_small(plates, run, 2, inception="inception.pt")
    best = Best.read(run)
    assert (best.metric, best.recipe["name"], best.recipe["extractor"]) == ("fid", "sg2", "inception.pt")
    os.rename("inception.pt", moved)
    with pytest.raises(FileNotFoundError, match=r"inception\.pt: is no file.*named anew with --inception"):
        resume(run, goal=Goal(3), quiet=True)
    assert resume(run, goal=Goal(3), inception=str(moved), quiet=True, say=lambda text: 0)


# Which one is kept ------------------------------------------------------------------------------------------


@pytest.fixture
def measuring(tmp_path, monkeypatch):
    """Measures step after step of a run with distances as given; returns the snapshots that are there after each."""

    def measure(values: list[float], first: int = 1, regular: tuple[int, ...] = ()) -> list[list[int]]:
        gan, _ = small_gan(metric_count=4)
        images = torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8)
        classes = tuple(LabelClass(i, f"{i}", (i, 0, 0)) for i in range(3))
        data = training_data(images, torch.zeros(8, 16, 16, dtype=torch.uint8), classes)
        journal = Journal(tmp_path, step=0, goal=None, batch=4, seconds=0.0, quiet=True)
        look = Quality(tmp_path, journal, data, load_extractor(None), gan.config)
        (tmp_path / "snapshots").mkdir(exist_ok=True)
        there = []
        for gan.step, value in enumerate(values, first):
            if gan.step in regular:
                keep_snapshot(tmp_path, gan.tensors()[0], gan.step)
            monkeypatch.setattr(quality, "distance", lambda real, generated, value=value: value)
            assert look(gan) == value
            there.append(snapshots(tmp_path))
        journal.close()
        return there

    return measure


def test_the_best_is_kept_and_the_one_before_it_dropped(measuring, tmp_path):
    assert measuring([5.0, 3.0, 4.0, 3.0, 2.0]) == [[1], [2], [2], [2], [5]]
    assert (Best.read(tmp_path).step, Best.read(tmp_path).value) == (5, 2.0)
    assert averaged_tensors(tmp_path, step_named(tmp_path, "best"))[1] == 5
    assert measuring([2.5, 1.0], first=6) == [[5], [7]]  # after a resume


def test_a_regular_snapshot_stays_when_it_is_no_longer_the_best(measuring, tmp_path):
    assert measuring([5.0, 3.0, 2.0], regular=(2,)) == [[1], [2], [2, 3]]


def test_values_of_another_recipe_are_not_compared_with(measuring, tmp_path):
    measuring([5.0])
    best = json.loads((tmp_path / "best.json").read_text())
    best["recipe"]["name"] = "sg2"
    (tmp_path / "best.json").write_text(json.dumps(best))
    with pytest.raises(ValueError, match=r"best\.json: metrics of different recipes cannot be compared: name sg2 and"):
        measuring([4.0])
    (tmp_path / "best.json").write_text('{"step": 1')
    with pytest.raises(ValueError, match=r"best\.json: is cut short or damaged"):
        measuring([4.0])


# What it looks at -------------------------------------------------------------------------------------------


def test_a_conditional_run_is_drawn_as_its_data_are(tmp_path):
    images = torch.zeros(40, 3, 16, 16, dtype=torch.uint8)
    plain = training_data(images, torch.zeros(40, 16, 16, dtype=torch.uint8), ())
    data = TrainingData(plain.images, None, ("good", "defect"), (torch.arange(40) % 4 == 0).long())
    look = Quality(tmp_path, None, data, load_extractor(None), Stylegan2AdaConfig(metric_count=4000))
    drawn = look._conditions(0)
    assert abs(float(drawn.double().mean()) - 0.25) < 4 * (0.25 * 0.75 / 4000) ** 0.5
    assert torch.equal(drawn, look._conditions(0)) and not torch.equal(drawn, look._conditions(1))


def test_auto_draws_what_takes_seconds():
    def data(side: int) -> TrainingData:
        return training_data(torch.zeros(1, 3, side, side).byte(), torch.zeros(1, side, side).byte(), ())

    extractor = load_extractor(None)
    assert [default_count(data(side), extractor) for side in (32, 64, 128)] == [1024, 1024, 256]
    extractor.device = torch.device("cuda")
    assert default_count(data(512), extractor) == 4096
