"""`pumpgan generate`: what it keeps, what it tells of the rest, and drawing a sample once more."""

import json

import pytest
import torch
from click.testing import CliRunner
from small_gan import SMALL_CONFIG

from pumpgan.cli.generate import generate as command
from pumpgan.cli.main import main
from pumpgan.data.check import check
from pumpgan.data.dataset import Dataset
from pumpgan.data.select import select
from pumpgan.inference import filters
from pumpgan.inference import generate as module
from pumpgan.inference.generate import generate
from pumpgan.inference.wanted import Wanted
from pumpgan.train.config import SemganConfig
from pumpgan.train.loop import Goal
from pumpgan.train.run import start


@pytest.fixture(scope="module")
def run(plates, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    how = dict(preset="tiny", goal=Goal(6), device=torch.device("cpu"), quiet=True, say=lambda text: 0)
    start(SemganConfig(**SMALL_CONFIG), data=[plates], run=folder, **how)
    return folder


@pytest.fixture(scope="module")
def filtered(run, tmp_path_factory):
    """A set of 20 samples from number 50 of seed 7 on, and its tally."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUMPGAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(filters, "REFERENCE", 64)
        out = tmp_path_factory.mktemp("sets") / "filtered"
        wanted = Wanted(with_class="hole", min_fraction=0.15, realism=0.5, novelty=0.5)
        yield out, generate(run, out, 20, wanted=wanted, seed=7, start=50)


def log_of(folder):
    return [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]


def test_every_sample_that_was_drawn_is_logged(filtered):
    out, tally = filtered
    log = log_of(out)
    assert [line["number"] for line in log] == list(range(50, 50 + tally.drawn)) and {line["seed"] for line in log} == {
        7
    }
    assert [line["name"] for line in log if line["kept"]] == [entry.name for entry in Dataset.open(out).entries]
    assert all(line["kept"] == (not line["reasons"]) for line in log)
    for reason in ("with_class", "realism"):
        assert tally.rejected[reason] == sum(reason in line["reasons"] for line in log) > 0
    kept = [line["scores"] for line in log if line["kept"]]
    assert all(set(scores) == {"fraction", "margin", "novelty", "nearest"} for scores in kept)
    assert all(scores["fraction"] > 0.15 and scores["margin"] >= 0 and scores["novelty"] >= 0.5 for scores in kept)


def test_a_filtered_set_is_sound_and_says_how_it_was_filtered(filtered, run, plates, tmp_path):
    out, _ = filtered
    assert check(out) == []
    dataset = Dataset.open(out)
    options = dataset.source["options"]
    assert options["with_class"] == "hole" and options["min_fraction"] == 0.15
    assert options["realism"]["share"] == 0.5 and set(options["realism"]["threshold"]) == {"all"}
    assert options["novelty"]["least"] == 0.5 and options["novelty"]["data"] == [str(plates)]
    assert options["novelty"]["recipe"]["name"] == "stand-in"
    assert (dataset.generator["seed"], dataset.generator["start"]) == (7, 50)
    assert len(select(dataset, tmp_path / "few", count=5).entries) == 5


def test_any_sample_can_be_drawn_once_more(filtered, run, tmp_path):
    out, _ = filtered
    line = next(line for line in log_of(out) if line["kept"] and line["number"] % 32 > 5)
    generate(run, tmp_path / "one", 1, seed=7, start=line["number"])
    for folder in ("images", "labels"):
        name = f"{folder}/{line['name']}.png"
        assert (tmp_path / "one" / name).read_bytes() == (out / name).read_bytes()
    assert [one["name"] for one in log_of(tmp_path / "one")] == [line["name"]]


def test_a_sample_is_judged_alike_wherever_one_starts(filtered, run, tmp_path, monkeypatch):
    out, _ = filtered
    monkeypatch.setattr(filters, "REFERENCE", 64)
    monkeypatch.setenv("PUMPGAN_CACHE", str(tmp_path / "cache"))
    wanted = Wanted(with_class="hole", min_fraction=0.15, realism=0.5, novelty=0.5)
    generate(run, tmp_path / "some", 4, wanted=wanted, seed=7, start=61)
    before = {line["name"]: line for line in log_of(out)}
    assert all(before[line["name"]] == line for line in log_of(tmp_path / "some"))


def test_where_too_few_can_be_kept_it_says_what_rejected_them(run, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LEAST_TRIES", 64)
    monkeypatch.setattr(module, "MOST_TRIES", 1)
    wanted = Wanted(with_class="plate", min_fraction=0.9)
    with pytest.raises(ValueError, match="0 of 64 samples can be kept, not 3; rejected are 64 by --with-class"):
        generate(run, tmp_path / "none", 3, wanted=wanted)
    assert list(tmp_path.iterdir()) == []


def test_a_set_that_is_interrupted_is_not_there(run, tmp_path):
    def stop(what, images, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(run, tmp_path / "set", 100, advance=stop)
    assert list(tmp_path.iterdir()) == []


def test_the_command_ends_with_what_it_drew_kept_and_rejected(run, tmp_path, monkeypatch):
    monkeypatch.setattr(filters, "REFERENCE", 64)
    out = tmp_path / "set"
    arguments = ["--run", run, "--count", 20, "--out", out, "--with-class", "hole", "--min-fraction", 0.15]
    said = CliRunner().invoke(command, [*map(str, arguments), "--realism", "0.5", "--device", "cpu"])
    assert said.exit_code == 0, said.output
    rejected = [line["reasons"] for line in log_of(out) if not line["kept"]]
    lacking, unreal = (sum(reason in reasons for reasons in rejected) for reason in ("with_class", "realism"))
    last = said.output.splitlines()[-1]
    assert last.startswith(f"{out}: 20 images, from {20 + len(rejected)} drawn, ")
    assert f"{lacking} rejected by --with-class" in last and f"{unreal} rejected by --realism" in last


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--min-fraction", "0.1"], "--min-fraction: needs --with-class"),
        (["--data", "d"], "--data: needs --novelty"),
        (["--inception", "f"], "--inception: needs --novelty"),
        (["--segmenter", "s"], "--segmenter: needs --agreement"),
        (["--realism", "0"], "--realism: must be a share over 0"),
    ],
)
def test_options_without_effect_are_wrong_usage(run, tmp_path, options, said):
    result = CliRunner().invoke(
        main, ["generate", "--run", str(run), "--count", "1", "--out", str(tmp_path / "x"), *options]
    )
    assert result.exit_code == 2 and said in result.output


def test_several_sets_can_be_named_as_the_training_images(run, plates, many_plates, tmp_path, monkeypatch):
    monkeypatch.setenv("PUMPGAN_CACHE", str(tmp_path / "cache"))
    arguments = ["--run", run, "--count", 2, "--out", tmp_path / "set", "--novelty", 0.1, "--device", "cpu"]
    said = CliRunner().invoke(command, [*map(str, [*arguments, "--data", plates, "--data", many_plates])])
    assert said.exit_code == 0, said.output
    novelty = Dataset.open(tmp_path / "set").source["options"]["novelty"]
    assert novelty["images"] == 48 + 450 and novelty["data"] == [str(plates), str(many_plates)]
