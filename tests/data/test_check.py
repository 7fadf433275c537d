"""`check` names every fault of a dataset folder, and finds none in a sound one."""

import json

import numpy as np
import pytest
from miniatures import dataset as miniature
from miniatures import noise
from PIL import Image

from pumpgan.data.check import check


def rewrite(folder, name, **changes):
    """Changes fields of the line called `name` in images.jsonl."""
    path = folder / "images.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(line | (changes if line["name"] == name else {})) + "\n" for line in lines))


def colour_label(folder):
    Image.fromarray(noise(0, 16, 16, 3)).save(folder / "labels" / "noise_1.png")


def unknown_id(folder):
    label = Image.fromarray(np.full((16, 16), 11, np.uint8))
    label.putpalette(list(range(768 // 3)) * 3)
    label.save(folder / "labels" / "noise_1.png")


def truncated(folder):
    path = folder / "images" / "noise_1.png"
    path.write_bytes(path.read_bytes()[:300])


def repeated_line(folder):
    path = folder / "images.jsonl"
    path.write_text(path.read_text() + path.read_text().splitlines()[1] + "\n")


FAULTS = {
    "image is missing": (lambda f: (f / "images" / "noise_1.png").unlink(), r"noise_1\.png: no such file"),
    "image is cut short": (truncated, r"images/noise_1\.png: cannot be read"),
    "image is not in the list": (
        lambda f: (f / "images" / "x.png").write_bytes(b""),
        r"x\.png: is not in images\.jsonl",
    ),
    "label is not in the list": (
        lambda f: (f / "labels" / "x.png").write_bytes(b""),
        r"x\.png: is not in images\.jsonl",
    ),
    "image has another size": (
        lambda f: Image.fromarray(noise(0, 8, 16, 3)).save(f / "images" / "noise_1.png"),
        r"must be 16x16 .* got 16x8",
    ),
    "image is grey": (
        lambda f: Image.fromarray(noise(0, 16, 16)).save(f / "images" / "noise_1.png"),
        "must be of mode RGB, got L",
    ),
    "label holds colours": (colour_label, r"labels/noise_1\.png: must be of mode P, got RGB"),
    "label has an unknown id": (unknown_id, "class id 11 is unknown"),
    "name stands twice": (repeated_line, "noise_1 stands there 2 times"),
    "photograph is in both splits": (
        lambda f: rewrite(f, "noise_3", photographs=["photograph_1"]),
        "photograph photograph_1 is in train and in test",
    ),
    "group is in both splits": (
        lambda f: rewrite(f, "noise_3", group="photograph_1"),
        "group photograph_1 is in train and in test",
    ),
    "image label is unknown": (lambda f: rewrite(f, "noise_1", image_label="odd"), "noise_1: image label 'odd'"),
    "line is not JSON": (lambda f: (f / "images.jsonl").write_text("{\n"), "line 1"),
    "metadata is not JSON": (lambda f: (f / "dataset.json").write_text("{"), r"dataset\.json: not JSON"),
    "label is gone": (lambda f: (f / "labels" / "noise_1.png").unlink(), r"labels/noise_1\.png: no such file; every"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named(tmp_path, fault):
    miniature(tmp_path / "set")
    assert check(tmp_path / "set") == []
    make, message = FAULTS[fault]
    make(tmp_path / "set")
    found = check(tmp_path / "set")
    with pytest.raises(AssertionError, match=message):
        raise AssertionError("\n".join(found))


def test_all_faults_are_named_at_once(tmp_path):
    miniature(tmp_path / "set")
    for fault in ("image is missing", "label is not in the list", "group is in both splits"):
        FAULTS[fault][0](tmp_path / "set")
    assert len(check(tmp_path / "set")) == 3


def test_a_folder_that_is_no_dataset_has_one_fault(tmp_path):
    assert len(check(tmp_path)) == 1


def test_a_label_that_is_gone_from_among_unlabelled_images_is_one_of_those_named(tmp_path):
    miniature(tmp_path / "set", unlabelled=3)
    (tmp_path / "set" / "labels" / "noise_1.png").unlink()
    (fault,) = check(tmp_path / "set")
    assert fault.endswith("say 7 train labelled, there are 6; without a label are noise_1, noise_9, noise_10")
