"""What the group does with what the library calls wrong."""

import pytest
from click.testing import CliRunner
from miniatures import dataset as miniature
from miniatures import label_maps

from pumpgan.cli.main import main


@pytest.mark.parametrize(
    ("options", "start"),
    [
        (("--share", 0.5), "Error: --share: must come with the class"),
        (("--with-class", "ear"), "Error: no class 'ear'; the classes are background, "),
        (("--count", 0), "Error: --count: must be at least 1"),
    ],
)
def test_an_option_is_called_as_the_user_typed_it(tmp_path, options, start):
    miniature(tmp_path / "set")
    said = CliRunner().invoke(main, ["data", "select", str(tmp_path / "set"), "--out", "x", *map(str, options)])
    assert said.exit_code == 1 and said.output.startswith(start)


@pytest.mark.parametrize("place", ["/proc/none/set", "here/file/set", "here/" + 300 * "a"])
def test_a_place_that_cannot_be_written_is_one_line_with_its_path(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    folder = label_maps(tmp_path / "from")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "file").touch()
    said = CliRunner().invoke(main, ["data", "import", "label-maps", "--from", str(folder), "--out", place])
    assert said.exit_code == 1 and said.output.startswith(f"Error: {place}: ") and said.output.count("\n") == 1
    said = CliRunner().invoke(main, ["data", "show", str(miniature(tmp_path / "set").path), "--out", f"{place}.png"])
    assert said.exit_code == 1 and said.output.startswith(f"Error: {place}.png: ") and said.output.count("\n") == 1
    assert {path.name for path in (tmp_path / "here").iterdir()} == {"file"}
