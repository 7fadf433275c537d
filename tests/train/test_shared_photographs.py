"""Training refuses what its test data shows."""

import json

import pytest
from click.testing import CliRunner
from miniatures import dataset as miniature
from miniatures import label_maps
from plates import SMALL

from pumpgan.cli.main import main
from pumpgan.data.check import check
from pumpgan.data.dataset import Dataset
from pumpgan.data.importers import import_dataset
from pumpgan.data.select import select
from pumpgan.data.splits import refuse_shared


def plant(folder, name, photograph) -> Dataset:
    """Lets the image called `name` show a photograph."""
    lines = [json.loads(line) for line in (folder / "images.jsonl").read_text().splitlines()]
    changed = [line | ({"photographs": [photograph]} if line["name"] == name else {}) for line in lines]
    (folder / "images.jsonl").write_text("".join(json.dumps(line) + "\n" for line in changed))
    return Dataset.open(folder)


def refused_by_train(tmp_path, *sets) -> str:
    arguments = ["--out", str(tmp_path / "run"), "--steps", "1", *SMALL]
    result = CliRunner().invoke(main, ["train", "--model", "semgan", *map(str, sets), *arguments])
    assert result.exit_code == 1, result.output
    return result.output


def test_a_photograph_in_both_splits_is_refused_by_check_and_by_training(tmp_path):
    miniature(tmp_path / "set")
    plant(tmp_path / "set", "noise_3", "photograph_1")
    assert any("photograph photograph_1 is in train and in test" in fault for fault in check(tmp_path / "set"))
    said = refused_by_train(tmp_path, "--data", tmp_path / "set")
    assert f"Error: --data: {tmp_path / 'set'}: photograph photograph_1 is in train and in test" in said


@pytest.mark.parametrize("option", ["--data", "--unlabelled"])
def test_a_photograph_of_the_first_set_s_test_is_not_trained_on_through_another(tmp_path, option):
    first = miniature(tmp_path / "set")
    other = select(first, tmp_path / "other", count=4)
    refuse_shared([first, other])
    path = other.path / "images.jsonl"
    name = json.loads(path.read_text().splitlines()[0])["name"]
    plant(other.path, name, "photograph_7")  # which is in the test split of both
    said = refused_by_train(tmp_path, "--data", first.path, option, other.path)
    assert f"photograph photograph_7 is in its train and in {first.path}'s test" in said


def test_two_imports_of_one_folder_are_known_to_show_the_same(tmp_path):
    folder = label_maps(tmp_path / "from", faces=8)
    first, second = (import_dataset("label-maps", tmp_path / name, folder) for name in "ab")
    refuse_shared([first, second])
    swapped = (second.path / "images.jsonl").read_text()
    swapped = swapped.replace('"train"', '"?"').replace('"test"', '"train"').replace('"?"', '"test"')
    (second.path / "images.jsonl").write_text(swapped)
    with pytest.raises(ValueError, match=r"(?s)4 faults.*photograph face_\d is in its train and in .*a's test"):
        refuse_shared([first, Dataset.open(second.path)])


def test_equal_names_in_other_folders_are_other_photographs(tmp_path):
    first = import_dataset("label-maps", tmp_path / "a", label_maps(tmp_path / "one", faces=8))
    second = import_dataset("label-maps", tmp_path / "b", label_maps(tmp_path / "two", faces=5))
    refuse_shared([first, second])
