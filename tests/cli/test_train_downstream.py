"""Classifiers and segmenters by the command line: trained, judged, and refused in one line."""

import json

import pytest
from click.testing import CliRunner
from parts import use_small_networks, write_parts

from pumpgan.cli.main import main
from pumpgan.data.dataset import PART_CLASSES, LabelClass


@pytest.fixture(autouse=True)
def small_networks(monkeypatch):
    use_small_networks(monkeypatch)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_parts(tmp_path_factory.mktemp("data") / "parts")


def pumpgan(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


TRAIN = ("train", "--steps", 8, "--validate-every", 4, "--batch", 8, "--device", "cpu")


@pytest.mark.parametrize("model, score", [("classifier", "f1"), ("segmenter", "iou")])
def test_a_run_is_trained_resumed_and_judged_on_test(data, tmp_path, model, score):
    run = tmp_path / "run"
    result = pumpgan(*TRAIN, "--model", model, "--data", data, "--out", run)
    assert result.exit_code == 0, result.output
    assert f"the best {score} is kept" in result.output and "validated every 4 steps on" in result.output
    result = pumpgan("train", "--resume", run, "--inception", "inception.pt")
    assert result.exit_code == 1 and "--inception: measures what a GAN draws" in result.output
    result = pumpgan("train", "--resume", run, "--steps", 12)
    assert result.exit_code == 0, result.output
    result = pumpgan("evaluate", "--run", run, "--data", data, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["split"] == "test" and told["scores"]["images"] == 20
    shown = pumpgan("evaluate", "--run", run, "--data", data)
    assert shown.exit_code == 0 and "on 20 images of 10 photographs" in shown.output
    lines = (run / "evaluations.jsonl").read_text().splitlines()
    assert len(lines) == 2 and json.loads(lines[0])["scores"] == told["scores"]


def test_what_does_not_fit_a_classifier_is_said_in_one_line(data, tmp_path):
    good = write_parts(tmp_path / "good", defective=0.0)
    other = write_parts(tmp_path / "other", classes=(*PART_CLASSES, LabelClass(2, "dirt", (1, 2, 3))))
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"\x10\x00")
    for words, message in (
        (("--model", "classifier", "--data", good), "are good; a classifier needs good images and defects"),
        (("--model", "segmenter", "--data", data, "--data", other), "classes must be those of"),
        (("--model", "classifier", "--data", data, "--unlabelled", good), "--unlabelled: classifiers and segmenters"),
        (("--model", "classifier", "--data", data, "--steps", 2), "--steps: must be at least --validate-every"),
        (("--model", "classifier", "--data", data, "--threshold", 1), "--threshold: must be between 0 and 1, got 1.0"),
        (
            (
                "--model",
                "classifier",
            ),
            "--data: a classifier needs a dataset",
        ),
    ):
        result = pumpgan(*TRAIN, *words, "--out", tmp_path / "run")
        assert result.exit_code == 1, (words, result.output)
        assert message in result.output and len(result.output.strip().splitlines()) == 1
        assert not (tmp_path / "run").exists()


def test_options_of_other_models_are_wrong_usage(data, tmp_path):
    for words, message in (
        (("--model", "classifier", "--dist-loss", "defect"), "--dist-loss: is not an option of --model classifier"),
        (("--model", "segmenter", "--oversample", 5), "--oversample: is not an option of --model segmenter"),
        (("--model", "semgan", "--threshold", 0.5), "--threshold: is not an option of --model semgan"),
    ):
        result = pumpgan(*TRAIN[:3], *words, "--data", data, "--out", tmp_path / "run")
        assert result.exit_code == 2 and message in result.output, result.output


def test_a_downstream_run_draws_nothing(data, tmp_path):
    run = tmp_path / "run"
    assert pumpgan(*TRAIN, "--model", "classifier", "--data", data, "--out", run).exit_code == 0
    result = pumpgan("generate", "--run", run, "--count", 1, "--out", tmp_path / "drawn")
    assert result.exit_code == 1 and "is a run of classifier, which draws nothing" in result.output
    result = pumpgan("evaluate", "--run", run, "--data", data, "--count", 5)
    assert result.exit_code == 2 and "--count: measures what a GAN draws" in result.output


def test_an_evaluation_leaves_curve_confusions_and_a_sheet(data, tmp_path):
    run = tmp_path / "run"
    for model, tables in (("classifier", 1), ("segmenter", 2)):
        run = tmp_path / model
        assert pumpgan(*TRAIN, "--model", model, "--data", data, "--out", run).exit_code == 0
        result = pumpgan("evaluate", "--run", run, "--data", data)
        assert result.exit_code == 0, result.output
        (folder,) = (run / "evaluations").iterdir()
        names = {
            "scores.json",
            "images.jsonl",
            "predictions.png",
            "precision-recall.png",
            "confusion.md",
            "confusion.csv",
        }
        assert {path.name for path in folder.iterdir()} == names
        assert (folder / "confusion.md").read_text().count("| --- |") == tables
        assert result.output.count("actual \\ predicted") == tables
        again = pumpgan("evaluate", "--run", run, "--data", data, "--split", "train")
        assert again.exit_code == 0 and len(list((run / "evaluations").iterdir())) == 2


def test_help_shows_the_options_of_the_model_that_is_asked_for():
    said = {model: pumpgan("train", "--model", model, "--help").output for model in ("classifier", "semgan")}
    helps = {model: " ".join(text.split()) for model, text in said.items()}  # wherever its lines are broken
    assert "--oversample" in helps["classifier"] and "--dist-memory" not in helps["classifier"]
    assert "--dist-memory" in helps["semgan"] and "--oversample" not in helps["semgan"]
    assert "default: 64" in helps["classifier"] and "default: 16; tiny: 16; thesis: 8" in helps["semgan"]
    assert pumpgan("train", "--help").output == said["semgan"]
