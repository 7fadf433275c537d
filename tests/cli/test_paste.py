"""`pumpgan paste`: what it says, what it writes, and how it fails."""

import pytest
from click.testing import CliRunner
from moved_parts import moved_parts
from PIL import Image

from pumpgan.cli.main import main
from pumpgan.data.dataset import Dataset
from pumpgan.data.importers import import_dataset


def run(*arguments, exit_code=0) -> str:
    result = CliRunner().invoke(main, ["paste", *map(str, arguments)])
    assert result.exit_code == exit_code, result.output
    return result.output


@pytest.fixture
def parts(tmp_path):
    import_dataset("pump", tmp_path / "set", moved_parts(tmp_path / "from"), patches=10, crop=64, resolution=32)
    return tmp_path / "set"


def test_it_says_how_much_it_pasted_and_shows_some(tmp_path, parts):
    said = run(parts, "--out", tmp_path / "out", "--grid", tmp_path / "grid.png", "--copies", 100)
    pasted = Dataset.open(tmp_path / "out")
    donors = {e.name for e in Dataset.open(parts).split("train") if e.image_label == "defect"}
    short = sum(sum(e.donor == name for e in pasted.entries) < 100 for name in donors)
    line, shown = said.splitlines()[-2:]
    assert line == (
        f"{tmp_path / 'out'}: {len(pasted.entries)} images pasted from {len(donors)} donors, "
        f"where they were on the part; {short} donors had fewer than 100 destinations"
    )
    assert short
    assert shown.startswith(f"{tmp_path / 'grid.png'}: ") and Image.open(tmp_path / "grid.png").width > 4 * 32


def test_photographs_that_were_moved_are_found_where_it_is_told(tmp_path, parts):
    (tmp_path / "from").rename(tmp_path / "elsewhere")
    said = run(parts, "--out", tmp_path / "out", exit_code=1)
    assert said.count("\n") == 1 and "from: no such folder" in said and "--photographs" in said
    run(parts, "--out", tmp_path / "out", "--photographs", tmp_path / "elsewhere", "--blend", "poisson")
    assert Dataset.open(tmp_path / "out").entries


def test_it_says_when_defects_keep_to_the_edges_instead(tmp_path, parts):
    said = run(parts, "--out", tmp_path / "out", "--align", "none")
    assert "where they were between the photograph's edges\n" in said


def test_kinds_are_separated_by_commas(tmp_path, parts):
    said = run(parts, "--out", tmp_path / "out", "--kinds", "defect, scratches", exit_code=1)
    assert "no 'scratches' in train, there are defect" in said
    run(parts, "--out", tmp_path / "out", "--kinds", "defect")
    assert {e.kind for e in Dataset.open(tmp_path / "out").entries} == {"defect"}


def test_nothing_is_overwritten(tmp_path, parts):
    (tmp_path / "grid.png").write_bytes(b"mine")
    said = run(parts, "--out", tmp_path / "out", "--grid", tmp_path / "grid.png", exit_code=1)
    assert "grid.png: is there already" in said and not (tmp_path / "out").exists()
    assert "is not empty" in run(parts, "--out", parts, exit_code=1)


@pytest.mark.parametrize("option", [("--copies", 0), ("--align", "whole"), ("--max-brightness", -1), ("--blend", "x")])
def test_wrong_usage_is_told_as_such(tmp_path, option):
    run(tmp_path, "--out", tmp_path / "out", *option, exit_code=2)
