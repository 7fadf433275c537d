"""`pumpgan data`: what it prints, and how it fails."""

import json
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner
from miniatures import dataset as miniature
from miniatures import label_maps
from PIL import Image

from pumpgan.cli.main import main


def run(*arguments, exit_code=0):
    result = CliRunner().invoke(main, ["data", *map(str, arguments)])
    assert result.exit_code == exit_code, result.output
    return result.output


def test_a_source_becomes_a_dataset_that_is_sound(tmp_path):
    folder = label_maps(tmp_path / "from")
    said = run("import", "label-maps", "--from", folder, "--out", tmp_path / "set", "--resolution", 32)
    assert "train: 4 images, 4 labelled" in said and "earring in 4" in said
    assert said.endswith("--class-names names ids of your own\n") and run("check", tmp_path / "set") in said


def test_a_fault_of_the_source_is_told_without_a_trace(tmp_path):
    folder = label_maps(tmp_path / "from")
    (folder / "masks" / "face_1.png").unlink()
    said = run("import", "label-maps", "--from", folder, "--out", tmp_path / "set", exit_code=1)
    assert said.startswith("Error: ") and "face_1.jpg: has no mask" in said and said.count("\n") == 1
    assert not (tmp_path / "set").exists()
    run("import", "label-maps", "--from", folder, "--out", tmp_path / "set", "--no-mask", "unlabelled")


def test_nothing_is_overwritten(tmp_path):
    miniature(tmp_path / "set")
    before = (tmp_path / "set" / "dataset.json").read_bytes()
    assert "not empty" in run("import", "synthetic-face", "--count", 2, "--out", tmp_path / "set", exit_code=1)
    assert (tmp_path / "set" / "dataset.json").read_bytes() == before


def test_each_fault_of_a_dataset_is_a_line(tmp_path):
    miniature(tmp_path / "set")
    (tmp_path / "set" / "images" / "noise_2.png").unlink()
    (tmp_path / "set" / "labels" / "extra.png").write_bytes(b"")
    said = run("check", tmp_path / "set", exit_code=1)
    assert "noise_2.png: no such file" in said and "extra.png: is not in" in said and "2 faults" in said


def test_a_selection_is_a_dataset(tmp_path):
    miniature(tmp_path / "set", images=24)
    said = run("select", tmp_path / "set", "--with-class", "earring", "--share", 0.5, "--out", tmp_path / "half")
    assert "train: 12 images" in said and "earring in 6" in said
    said = run("select", tmp_path / "set", "--with-class", "earing", "--out", tmp_path / "none", exit_code=1)
    assert "did you mean 'earring'?" in said and not (tmp_path / "none").exists()


def test_statistics_are_printed_as_json(tmp_path):
    miniature(tmp_path / "set", images=24, unlabelled=3)
    figures = json.loads(run("stats", tmp_path / "set", "--json"))
    assert (figures["images"], figures["unlabelled"]) == (21, 3)
    assert figures["classes"]["earring"]["presence_percent"] == pytest.approx(100 * 7 / 21)
    assert figures["classes"]["earring"]["pixels_percent"] == pytest.approx(100 * 7 * 2 / 256 / 21)
    assert len(figures["share_edges"]) + 1 == len(figures["classes"]["earring"]["histogram"])
    assert figures["classes"]["earring"]["histogram"][0] == 14 and sum(figures["classes"]["earring"]["histogram"]) == 21
    said = run("stats", tmp_path / "set", "--split", "test")
    assert all(part in said for part in ("earring", "images %", "pieces", "edge/px", "<= 0.05 %", "<= 100 %"))


def test_a_sheet_is_drawn(tmp_path):
    miniature(tmp_path / "set")
    run("show", tmp_path / "set", "--count", 3, "--with-class", "earring", "--out", tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 3 * 16 and sheet.height > 16


def test_a_sheet_stands_beside_its_dataset_unless_told_otherwise_and_overwrites_nothing(tmp_path, monkeypatch):
    miniature(tmp_path / "set.v2")
    assert f"{tmp_path / 'set.v2.png'}: 3 images" in run("show", tmp_path / "set.v2", "--count", 3)
    before = (tmp_path / "set.v2.png").read_bytes()
    for options in ((), ("--out", tmp_path / "set.v2.png")):
        said = run("show", tmp_path / "set.v2", *options, exit_code=1)
        assert said.startswith(f"Error: {tmp_path / 'set.v2.png'}: is there already; ") and said.count("\n") == 1
    assert (tmp_path / "set.v2.png").read_bytes() == before
    (tmp_path / "set.v2.png").unlink()
    monkeypatch.chdir(tmp_path / "set.v2")
    assert str(tmp_path / "set.v2.png") in run("show", ".", "--count", 3)


@pytest.mark.parametrize(
    "arguments", [("import", "label-map", "--out", "x"), ("import", "label-maps"), ("select", "x"), ("paint",)]
)
def test_wrong_usage_exits_with_two(arguments):
    run(*arguments, exit_code=2)


def test_statistics_of_no_labels_say_where_there_are_none(tmp_path):
    source = miniature(tmp_path / "set", images=3)
    for entry in source.split("test"):
        source.label_path(entry).unlink()
    result = CliRunner().invoke(main, ["data", "stats", str(tmp_path / "set"), "--split", "test"])
    assert result.exit_code == 1 and "set: holds no labelled image in test" in result.output


def test_an_import_that_is_terminated_leaves_nothing_behind(tmp_path):
    command = [sys.executable, "-m", "pumpgan.cli", "data", "import", "synthetic-face", "--count", "100000"]
    process = subprocess.Popen([*command, "--out", tmp_path / "faces"], stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while not list(tmp_path.iterdir()) and time.monotonic() < until:
        time.sleep(0.05)
    assert list(tmp_path.iterdir())
    process.terminate()
    _, said = process.communicate(timeout=120)
    assert process.returncode == 143 and "terminated; what was not finished is not kept" in said
    assert list(tmp_path.iterdir()) == []


def test_an_export_says_what_it_wrote(tmp_path):
    miniature(tmp_path / "set")
    said = run("export", tmp_path / "set", "--format", "coco", "--out", tmp_path / "out")
    assert "coco, 9 train, 3 test images" in said and (tmp_path / "out" / "annotations" / "test.json").exists()
    assert "not empty" in run("export", tmp_path / "set", "--format", "masks", "--out", tmp_path / "out", exit_code=1)
