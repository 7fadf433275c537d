"""`pumpgan train` as a user meets it: what it leaves behind, and what it refuses in one line."""

import json
import subprocess
import sys

import pytest
import torch
from plates import SMALL, pumpgan

NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there to be used")


def refused(result, code: int, *words: str) -> None:
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr, result.stderr


def test_a_run_leaves_its_whole_folder(plates, tmp_path):
    run = tmp_path / "run"
    result = pumpgan("train", "--model", "semgan", "--data", plates, *SMALL, "--out", run, "--kimg", 0.128)
    assert result.returncode == 0, result.stderr
    assert "operators native" in result.stdout  # what runs is said
    assert sorted(p.name for p in (run / "checkpoints").iterdir()) == ["0", "32"]
    assert {p.name for p in (run / "samples").iterdir()} == {"00000000.png", "00000032.png"}
    assert list(run.glob("events.out.tfevents.*"))
    line = json.loads((run / "log.jsonl").read_text().splitlines()[0])
    assert {"step", "images", "seconds", "images_per_second", "peak_memory_bytes", "loss/generator"} <= line.keys()
    assert "loss/image_r1" in line  # due once in 16 steps, logged all the same
    assert {"labels/hole/presence_percent", "labels/hole/pixels_percent"} <= line.keys()
    assert json.loads((run / "config.json").read_text())["config"]["seed"] == 0


def test_unlabelled_images_and_fewer_labels_are_taken(plates, tmp_path):
    result = pumpgan(
        "train",
        "--data",
        plates,
        "--unlabelled",
        plates,
        "--labelled",
        8,
        *SMALL,
        "--out",
        tmp_path / "r",
        "--steps",
        2,
    )
    assert result.returncode == 0, result.stderr
    assert "96 images, 8 of them with labels" in result.stdout


def test_the_definitions_in_plain_torch_train_too(plates, tmp_path):
    result = pumpgan("train", "--data", plates, *SMALL, "--ops", "reference", "--out", tmp_path / "r", "--steps", 2)
    assert result.returncode == 0 and "operators reference" in result.stdout


def test_a_folder_with_something_in_it_is_not_overwritten(plates, tmp_path):
    (tmp_path / "kept.txt").write_text("mine")
    refused(pumpgan("train", "--data", plates, "--out", tmp_path), 1, str(tmp_path), "not empty")
    assert [p.name for p in tmp_path.iterdir()] == ["kept.txt"]


@pytest.mark.parametrize(
    "options, code, words",
    [
        (("--dist-loss", "hol"), 1, ("--dist-loss", "did you mean 'hole'")),
        (("--resolution", "50"), 1, ("--resolution", "power of two")),
        (("--steps", "2", "--minutes", "1"), 2, ("state one",)),
        (("--augment", "adaa"), 2, ("--augment",)),
        pytest.param(("--device", "cuda"), 2, ("--device cuda", "doctor"), marks=NO_GPU),
        (("--stepz", "2"), 2, ("--steps",)),
        (("--dist-target", "mean=2"), 2, ("--dist-target", "--dist-loss")),
    ],
)
def test_what_cannot_work_is_one_line(plates, tmp_path, options, code, words):
    refused(pumpgan("train", "--data", plates, "--out", tmp_path / "run", *options), code, *words)
    assert not (tmp_path / "run").exists()


def test_a_class_that_no_training_label_holds_is_refused(tmp_path, plates):
    from pumpgan.data.dataset import Dataset, Entry
    from pumpgan.data.writer import DatasetWriter

    source, out = Dataset.open(plates), tmp_path / "plain"
    with DatasetWriter(out, name="x", classes=source.classes, size=(16, 16), channels=3, flips="h") as writer:
        for entry in source.split("train"):
            writer.add(Entry(entry.name, "train"), source.image(entry), source.label(entry).clip(0, 1))
    result = pumpgan("train", "--data", out, "--dist-loss", "hole", "--out", tmp_path / "run")
    refused(result, 1, "--dist-loss", "'hole'")


def test_a_folder_that_is_no_dataset_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    refused(pumpgan("train", "--data", tmp_path / "empty", "--out", tmp_path / "run"), 1, str(tmp_path / "empty"))


def test_resume_goes_with_nothing_but_a_goal(plates, tmp_path):
    refused(pumpgan("train", "--resume", tmp_path, "--batch", 3), 2, "--resume")
    refused(pumpgan("train", "--resume", tmp_path), 1, "is", "a run folder?")


def test_help_answers_without_loading_torch():
    script = (
        "import sys; from pumpgan.cli.main import main; "
        "main(sys.argv[1:], standalone_mode=False); print('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", script, "train", "--help"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "False"
    assert "--dist-balance" in result.stdout and "pumpgan train --resume" in result.stdout
