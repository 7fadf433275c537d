"""A study stops before anything runs where a test photograph was trained on, however far back."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from parts import use_small_networks, write_parts
from small_gan import SMALL_CONFIG

from pumpgan.inference.generate import generate as draw
from pumpgan.studies.leaks import refuse_leaks
from pumpgan.studies.plan import plan
from pumpgan.studies.schedule import run
from pumpgan.studies.stages import Stage, dataset, evaluate, generate, select, train, trained_run
from pumpgan.studies.store import Store
from pumpgan.train.config import SemganConfig
from pumpgan.train.loop import Goal
from pumpgan.train.record import RunRecord
from pumpgan.train.run import start

SOURCE = {"importer": "pump", "folder": "/photographs"}  # all sets here are cut from one folder of photographs


@pytest.fixture(scope="module", autouse=True)
def small_networks():
    with pytest.MonkeyPatch.context() as patch:
        use_small_networks(patch)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """parts; swapped, whose train split shows a photograph of parts' test; GANs trained on each of them."""
    folder = tmp_path_factory.mktemp("data")
    write_parts(folder / "parts", 16, source=SOURCE)
    shutil.copytree(folder / "parts", folder / "swapped")
    lines = folder / "swapped" / "images.jsonl"
    entries = [json.loads(line) for line in lines.read_text().splitlines()]
    planted = [e | {"split": "train"} if e["photographs"] == ["part_3"] else e for e in entries]
    lines.write_text("".join(json.dumps(entry) + "\n" for entry in planted))
    for name in ("parts", "swapped"):
        train_gan(folder / f"gan-{name}", folder / name)
    return folder


def train_gan(out: Path, data: Path, **options) -> None:
    config = SemganConfig(**SMALL_CONFIG | dict(precision="fp32"))
    options = dict(preset="tiny", device=torch.device("cpu"), quiet=True, say=lambda line: None) | options
    start(config, data=[data], run=out, goal=Goal(1), **options)


def judged(folder: Path, *more: Stage) -> Stage:
    """A classifier, of parts and of what more it learns from, on the test photographs of parts."""
    parts = dataset("parts", folder / "parts")
    classifier = train("classifier", "classifier", [parts, *more], preset="tiny", steps=50)
    return evaluate("scores", classifier, select("some", parts, count=9))


def refused(stage: Stage, tmp_path: Path) -> None:
    """By the plan and by the run, before anything is made."""
    for act in (plan, run):
        with pytest.raises(ValueError, match=r"photograph part_3 was trained on, in .*swapped"):
            act([stage], Store(tmp_path / "stages"))
    assert not (tmp_path / "stages").exists()


def test_a_study_without_a_leak_may_run(folder):
    drawn = generate("drawn", trained_run("gan", folder / "gan-parts"), 4)
    refuse_leaks(folder / "parts", [judged(folder, drawn)])


def test_a_dataset_that_is_trained_on(folder, tmp_path):
    refused(judged(folder, dataset("swapped", folder / "swapped")), tmp_path)


def test_what_a_gan_of_the_study_is_trained_on(folder, tmp_path):
    gan = train("gan", "semgan", [select("chosen", dataset("swapped", folder / "swapped"), count=5)], preset="tiny")
    refused(judged(folder, generate("drawn", gan, 4)), tmp_path)


def test_what_a_gan_from_elsewhere_was_trained_on(folder, tmp_path):
    gan = trained_run("gan", folder / "gan-swapped")
    refused(judged(folder, generate("drawn", gan, 4)), tmp_path)
    unlabelled = train("gan-2", "semgan", [dataset("parts", folder / "parts")], preset="tiny", networks=gan)
    refused(judged(folder, generate("drawn", unlabelled, 4)), tmp_path)


def test_what_the_run_that_it_began_with_was_trained_on(folder, tmp_path):
    train_gan(tmp_path / "second", folder / "parts", networks=folder / "gan-swapped")
    refused(judged(folder, generate("drawn", trained_run("gan", tmp_path / "second"), 4)), tmp_path)


def test_what_its_unlabelled_images_were(folder, tmp_path):
    train_gan(tmp_path / "second", folder / "parts")
    record = RunRecord.read(tmp_path / "second")
    replace(record, unlabelled=(str(folder / "swapped"),)).write(tmp_path / "second")
    refused(judged(folder, generate("drawn", trained_run("gan", tmp_path / "second"), 4)), tmp_path)


def test_what_drew_a_generated_dataset_and_what_filtered_it(folder, tmp_path):
    draw(folder / "gan-swapped", tmp_path / "drawn", 4)
    refused(judged(folder, dataset("drawn", tmp_path / "drawn")), tmp_path)
    draw(folder / "gan-parts", tmp_path / "filtered", 4)
    about = json.loads((tmp_path / "filtered" / "dataset.json").read_text())
    filtered = {"options": {"agreement": {"least": 0.5, "segmenter": str(folder / "gan-swapped")}}}
    about["source"] = {"importer": "select", "of": {"importer": "generate", **filtered}}
    (tmp_path / "filtered" / "dataset.json").write_text(json.dumps(about))
    refused(judged(folder, dataset("filtered", tmp_path / "filtered")), tmp_path)


def test_a_run_whose_data_is_gone_is_refused_as_nobody_can_tell(folder, tmp_path):
    shutil.copytree(folder / "swapped", tmp_path / "gone")
    train_gan(tmp_path / "gan", tmp_path / "gone")
    shutil.rmtree(tmp_path / "gone")
    drawn = generate("drawn", trained_run("gan", tmp_path / "gan"), 4)
    with pytest.raises(FileNotFoundError, match=r"gone: is not there, and .*gan was made from it"):
        refuse_leaks(folder / "parts", [judged(folder, drawn)])


def test_what_an_evaluation_does_not_rest_on_is_not_its_concern(folder):
    other = evaluate("other", trained_run("gan", folder / "gan-swapped"), dataset("swapped", folder / "swapped"))
    plan([judged(folder), other], Store("nowhere"))
