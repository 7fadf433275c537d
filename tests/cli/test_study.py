"""`pumpgan study`: what would be done is said first, and what makes no sense is refused."""

import pytest
from click.testing import CliRunner
from parts import write_parts

from pumpgan.cli.main import main


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_parts(tmp_path_factory.mktemp("data") / "parts")


def pumpgan(*words):
    return CliRunner().invoke(main, ["study", *map(str, words)])


def test_a_dry_run_names_every_stage_and_does_nothing(data, tmp_path):
    out = tmp_path / "out"
    result = pumpgan("segmentation", "--data", data, "--out", out, "--repeats", 2, "--dry-run")
    assert result.exit_code == 0, result.output
    for stage in ("learnt", "gan-semanticgan", "gan-ours", "gan-ours+ld", "ours-500-pairs-1", "scores-none-0"):
        assert stage in result.output
    assert "gan-ours+ld-1" not in result.output and not (out / "stages").exists()
    fresh = pumpgan("segmentation", "--data", data, "--out", out, "--repeats", 2, "--fresh-gans", "--dry-run")
    assert "gan-ours+ld-1" in fresh.output


def test_wrong_usage_answers_with_2_and_wrong_input_with_1(data, tmp_path):
    for words, code, message in (
        (("classification", "--share", 0.5), 2, "--share: is of study segmentation"),
        (("segmentation", "--sizes", "10,many"), 2, "--sizes: must be numbers with commas between, got '10,many'"),
        (("segmentation", "--gan", "ours"), 2, "--gan: must read NAME=RUN"),
        (("segmentation", "--gan", f"ours={tmp_path}"), 1, "does not exist; is"),
        (("segmentation", "--data", tmp_path), 1, "not a dataset"),
    ):
        result = pumpgan("--data", data, "--out", tmp_path / "out", *words, "--dry-run")
        assert result.exit_code == code and message in result.output, result.output
