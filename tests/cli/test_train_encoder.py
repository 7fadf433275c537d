"""Encoders by the command line: trained, resumed, judged, and refused in one line."""

import json

import pytest
from click.testing import CliRunner
from small_encoder import use_small_encoder, write_gan_run

from pumpgan.cli.main import main


@pytest.fixture(autouse=True)
def small_encoder(monkeypatch):
    use_small_encoder(monkeypatch)


@pytest.fixture(scope="module")
def gan(plates, tmp_path_factory):
    return write_gan_run(plates, tmp_path_factory.mktemp("gan") / "gan")


def pumpgan(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


TRAIN = ("train", "--model", "encoder", "--steps", 4, "--validate-every", 2, "--batch", 4, "--device", "cpu")


def test_an_encoder_is_trained_at_the_size_of_its_gan_resumed_and_judged_on_test(gan, plates, tmp_path):
    run = tmp_path / "run"
    result = pumpgan(*TRAIN, "--run", gan, "--data", plates, "--out", run)
    assert result.exit_code == 0, result.output
    assert f"the generator is that of {gan} at step 2" in result.output
    assert "no perceptual loss (--perceptual none)" in result.output and "the best iou is kept" in result.output
    assert json.loads((run / "config.json").read_text())["size"] == [16, 16]
    result = pumpgan("train", "--resume", run, "--steps", 6)
    assert result.exit_code == 0, result.output
    result = pumpgan("evaluate", "--run", run, "--data", plates, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["kind"] == "encoder" and told["split"] == "test" and told["scores"]["images"] == 16


def test_what_does_not_fit_is_said_in_one_line(gan, plates, tmp_path):
    for words, message in (
        (("--run", gan, "--resolution", 8), "--resolution: must be that of the images which --run"),
        (("--run", tmp_path / "absent"), "config.json: does not exist"),
        (("--run", gan, "--perceptual", tmp_path / "vgg.pth"), "vgg.pth: is no file; --perceptual takes"),
        (("--run", gan, "--steps", 1), "--steps: must be at least --validate-every"),
    ):
        result = pumpgan(*TRAIN, *words, "--data", plates, "--out", tmp_path / "run")
        assert result.exit_code == 1, (words, result.output)
        assert message in result.output and len(result.output.strip().splitlines()) == 1
        assert not (tmp_path / "run").exists()
    result = pumpgan(*TRAIN, "--run", gan, "--out", tmp_path / "run")
    assert result.exit_code == 1 and "--data: an encoder needs a dataset" in result.output


def test_wrong_usage_is_told_as_such(gan, plates, tmp_path):
    for words, message in (
        ((), "--run: an encoder needs the run of a trained SemanticGAN"),
        (("--run", gan, "--perceptual-weight", 5), "--perceptual-weight: has no effect without --perceptual FILE"),
        (("--run", gan, "--oversample", 5), "--oversample: is not an option of --model encoder"),
    ):
        result = pumpgan(*TRAIN, *words, "--data", plates, "--out", tmp_path / "run")
        assert result.exit_code == 2 and message in result.output, result.output
    result = pumpgan("train", "--model", "semgan", "--run", gan, "--data", plates)
    assert result.exit_code == 2 and "--run: is not an option of --model semgan" in result.output
