"""`pumpgan segment`: a trained segmenter on a user's photographs, and what it refuses in one line."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from parts import draw_part, use_small_networks, write_parts
from PIL import Image

from pumpgan.cli.main import main
from pumpgan.data.dataset import read_label


@pytest.fixture(autouse=True)
def small_networks(monkeypatch):
    use_small_networks(monkeypatch)


def pumpgan(*words, exit_code=0):
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == exit_code, result.output
    return result


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The run of a segmenter, and of a classifier."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        use_small_networks(patch)
        data = write_parts(folder / "parts")
        train = ("train", "--data", data, "--rate", 0.02, "--batch", 8, "--device", "cpu", "--validate-every", 16)
        pumpgan(*train, "--model", "segmenter", "--steps", 64, "--out", folder / "segmenter")
        pumpgan(*train, "--model", "classifier", "--steps", 16, "--out", folder / "classifier")
    return folder


@pytest.fixture
def photographs(tmp_path):
    """Three of 16 px, the second and third with a spot."""
    random = np.random.default_rng(7)
    (tmp_path / "photographs").mkdir()
    truth = {}
    for i in range(3):
        image, truth[f"part_{i}"] = draw_part(random, i > 0)
        Image.fromarray(image).save(tmp_path / "photographs" / f"part_{i}.png")
    return tmp_path / "photographs", truth


def test_a_segmenter_finds_the_spots_of_new_photographs(runs, photographs, tmp_path):
    folder, truth = photographs
    result = pumpgan("segment", "--run", runs / "segmenter", folder, "--out", tmp_path / "out")
    assert "photographs are taken whole: how the run's were cut is not known" in result.stderr
    assert result.stdout.startswith(f"{tmp_path / 'out'}: 3 photographs, 2 with defect\n  part_1 ")
    for name, spot in truth.items():
        found = read_label(tmp_path / "out" / "labels" / f"{name}.png", 2)
        assert found.shape == (16, 16) and found.any() == spot.any() and (found[spot == 0] == 0).mean() > 0.9
    told = pumpgan("segment", "--run", runs / "segmenter", folder, "--out", tmp_path / "2", "--tile", 0, "--json")
    summary = json.loads(told.stdout)
    assert not told.stderr and summary["checkpoint"] % 16 == 0
    assert [line["defect"] for line in summary["photographs"]] == [False, True, True]
    assert (tmp_path / "out" / "summary.jsonl").read_text() == (tmp_path / "2" / "summary.jsonl").read_text()


def test_what_cannot_be_segmented_is_told_in_a_line(runs, photographs, tmp_path):
    folder, out = photographs[0], tmp_path / "out"
    (folder / "colour.png").write_bytes(b"")
    for words, said in (
        (("--run", runs / "classifier", folder), "is a run of classifier; photographs are segmented by that of a segm"),
        (("--run", runs / "segmenter", "--refine", 3, folder), "Error: --refine: is of an encoder's run, "),
        (("--run", runs / "parts", folder), "config.json: does not exist; is "),
        (("--run", runs / "segmenter", "--checkpoint", 0, folder), "has validated no network yet, which it does every"),
        (("--run", runs / "segmenter", tmp_path / "gone"), "gone: no such file or folder"),
        (("--run", runs / "segmenter", folder), "colour.png: cannot be read ("),
        (("--run", runs / "segmenter", "--levels", 9, 3, folder), "Error: --levels: the darkest must be below"),
    ):
        result = pumpgan("segment", *words, "--out", out, "--tile", 16, exit_code=1)
        assert result.stderr.startswith("Error: ") and said in result.stderr and result.stderr.count("\n") == 1
        assert not out.exists()
    pumpgan("segment", "--run", runs / "segmenter", "--out", out, exit_code=2)  # no image named
    pumpgan("segment", "--run", runs / "segmenter", folder, "--out", out, "--tile", -1, exit_code=2)
