"""The dataset folder: what is written is what is read, faults are named, and nothing half-written stays."""

import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from miniatures import dataset as miniature
from miniatures import noise
from PIL import Image

from pumpgan.data import writer as writer_module
from pumpgan.data.dataset import (
    FACE_CLASSES,
    PART_CLASSES,
    Dataset,
    Entry,
    LabelClass,
    read_entries,
    read_image,
    read_label,
)
from pumpgan.data.writer import DatasetWriter


def plates(out, **changes):
    about = dict(
        name="plates", classes=PART_CLASSES, size=(8, 12), channels=1, flips="hv", image_labels=("good", "defect")
    )
    return DatasetWriter(out, **{**about, **changes})


def test_what_was_written_is_read_back(tmp_path):
    entry = Entry(
        "plate_1",
        "train",
        ("shot_1",),
        group="part_1",
        kind="crack",
        image_label="defect",
        box=(1, 2, 13, 10),
        shift=(0.5, -2.0),
        brightness=127.5,
    )
    pasted = Entry("pasted", "train", ("shot_1", "shot_2"), donor="plate_1", destination="plate_2")
    image, label = noise(0, 8, 12), noise(1, 8, 12) % 2
    with plates(tmp_path / "set", source={"importer": "x"}, generator={"seed": 3}) as writer:
        writer.add(entry, image, label)
        writer.add(pasted, image)
    opened = Dataset.open(tmp_path / "set")
    assert opened.entries == (entry, pasted)
    assert (opened.name, opened.size, opened.channels, opened.flips) == ("plates", (8, 12), 1, "hv")
    assert (opened.classes, opened.image_labels) == (PART_CLASSES, ("good", "defect"))
    assert (opened.source, opened.generator) == ({"importer": "x"}, {"seed": 3})
    assert opened.statistics["train"] == {"images": 2, "labelled": 1, "images_with": {"good": 1, "defect": 1}}
    np.testing.assert_array_equal(opened.image(entry), image)
    np.testing.assert_array_equal(opened.label(entry), label)
    assert opened.label(pasted) is None


def test_labels_are_palette_images_of_eight_bits_in_the_class_colours(tmp_path):
    opened = miniature(tmp_path / "set")
    path = opened.label_path(opened.entries[0])
    with Image.open(path) as label:
        assert label.mode == "P"
        assert label.getpalette()[30:33] == list(FACE_CLASSES[10].colour)
    assert path.read_bytes()[24] == 8  # bit depth, in the PNG header


def test_the_same_images_make_the_same_bytes(tmp_path):
    miniature(tmp_path / "a")
    miniature(tmp_path / "b")
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert len(files) == 26
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)


def test_a_class_is_found_by_name_and_the_nearest_is_suggested(tmp_path):
    opened = miniature(tmp_path / "set")
    assert opened.class_id("earring") == 10
    with pytest.raises(ValueError, match="did you mean 'earring'"):
        opened.class_id("earing")


def test_face_classes_have_distinct_colours():
    assert len({c.colour for c in FACE_CLASSES}) == 11


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="not empty"):
        plates(tmp_path / "set")
    assert (tmp_path / "set" / "mine.txt").read_text() == "keep"


def test_an_empty_folder_may_become_the_dataset(tmp_path):
    (tmp_path / "set").mkdir()
    assert len(miniature(tmp_path / "set").entries) == 12


def test_a_failure_leaves_nothing_behind(tmp_path):
    with pytest.raises(RuntimeError), plates(tmp_path / "set") as writer:
        writer.add(Entry("a", "train"), noise(0, 8, 12))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_what_appears_meanwhile_is_not_overwritten(tmp_path):
    with pytest.raises(FileExistsError, match="not empty"), plates(tmp_path / "set"):
        (tmp_path / "set").mkdir()
        (tmp_path / "set" / "theirs").write_text("keep")
    assert [path.name for path in tmp_path.rglob("*")] == ["set", "theirs"]


def test_what_appears_in_the_last_moment_is_not_overwritten_either(tmp_path, monkeypatch):
    def meanwhile(out):
        out.mkdir(exist_ok=True)
        (out / "theirs").write_text("keep")

    with pytest.raises(FileExistsError, match="set: is not empty; choose"), plates(tmp_path / "set"):
        monkeypatch.setattr(writer_module, "check_new", meanwhile)
    assert [path.name for path in tmp_path.rglob("*")] == ["set", "theirs"]


def test_the_current_folder_may_become_the_dataset(tmp_path, monkeypatch):
    (tmp_path / "set").mkdir()
    monkeypatch.chdir(tmp_path / "set")
    assert len(miniature(Path(".")).entries) == 12
    assert len(Dataset.open(tmp_path / "set").entries) == 12
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_what_a_killed_writer_left_is_removed_and_a_living_ones_kept(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    left = [tmp_path / f".set.{number}.partial" for number in (dead.pid, os.getpid())]
    kept = [tmp_path / ".set.1.partial", tmp_path / f".other.{dead.pid}.partial"]
    for folder in left + kept:
        (folder / "images").mkdir(parents=True)
    miniature(tmp_path / "set")
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "set", *kept])


def test_a_full_disk_is_one_line_and_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(writer_module, "write_file", full)
    with pytest.raises(OSError, match="disk is full") as raised:
        miniature(tmp_path / "set")
    assert str(tmp_path / "set") in str(raised.value) and "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("entry", "image", "label", "message"),
    [
        (Entry("a", "train"), noise(0, 8, 8), None, "image a: must be uint8"),
        (Entry("a", "train"), noise(0, 8, 12).astype(float), None, "image a: must be uint8"),
        (Entry("a", "train"), noise(0, 8, 12), noise(0, 12, 8) % 2, "label a: must be uint8"),
        (Entry("a", "train"), noise(0, 8, 12), np.full((8, 12), 2, np.uint8), "ids must be below 2"),
        (Entry("first", "train"), noise(0, 8, 12), None, "taken"),
        (Entry("a", "train", image_label="broken"), noise(0, 8, 12), None, "must be one of good, defect"),
    ],
)
def test_an_image_that_does_not_fit_is_refused(tmp_path, entry, image, label, message):
    with pytest.raises(ValueError, match=message), plates(tmp_path / "set") as writer:
        writer.add(Entry("first", "train"), noise(0, 8, 12))
        writer.add(entry, image, label)


@pytest.mark.parametrize(
    "changes",
    [
        dict(classes=(LabelClass(1, "defect", (0, 0, 0)),)),
        dict(classes=(LabelClass(0, "a", (0, 0, 0)), LabelClass(1, "a", (0, 0, 0)))),
        dict(classes=(LabelClass(0, "a", (0, 0, 256)),)),
        dict(size=(0, 8)),
        dict(channels=4),
        dict(flips="v"),
    ],
)
def test_metadata_that_cannot_describe_a_dataset_is_refused(tmp_path, changes):
    with pytest.raises(ValueError):
        plates(tmp_path / "set", **changes)


@pytest.mark.parametrize(
    "changes",
    [
        dict(name="a/b"),
        dict(name=""),
        dict(name=".hidden"),
        dict(split="val"),
        dict(photographs="shot_1"),
        dict(box=(1, 2, 3)),
        dict(kind=3),
        dict(brightness="dark"),
    ],
)
def test_an_entry_with_a_wrong_field_is_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        replace(Entry("a", "train"), **changes)


def test_a_name_may_hold_what_some_take_for_the_end_of_a_line(tmp_path):
    entries = [Entry(name, "train", (name,)) for name in ("a\u2028b", "c\x85d", "e")]
    (tmp_path / "images.jsonl").write_text("".join(entry.to_json() + "\n" for entry in entries))
    assert read_entries(tmp_path / "images.jsonl") == tuple(entries)


def test_faulty_lines_are_listed_together(tmp_path):
    miniature(tmp_path / "set")
    lines = (tmp_path / "set" / "images.jsonl").read_text().splitlines()
    lines[2], lines[4] = "{", json.dumps({"name": "x", "split": "train", "colour": "red"})
    (tmp_path / "set" / "images.jsonl").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"(?s)2 faults:.*line 3: .*line 5: .*colour"):
        Dataset.open(tmp_path / "set")


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 2}', '{"format": 1}'])
def test_a_dataset_json_that_is_none_is_refused(tmp_path, text):
    miniature(tmp_path / "set")
    (tmp_path / "set" / "dataset.json").write_text(text)
    with pytest.raises(ValueError, match=r"dataset\.json"):
        Dataset.open(tmp_path / "set")


def test_a_folder_that_is_no_dataset_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="not a dataset"):
        Dataset.open(tmp_path)


def test_a_colour_mask_is_refused(tmp_path):
    Image.fromarray(noise(0, 8, 8, 3)).save(tmp_path / "mask.png")
    with pytest.raises(ValueError, match=r"mask\.png: a mask must hold class ids .* got mode RGB"):
        read_label(tmp_path / "mask.png", 11)


def test_an_unknown_id_is_named(tmp_path):
    Image.fromarray(np.array([[0, 11], [200, 3]], np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(ValueError, match=r"mask\.png: class id 11, 200 is unknown; ids are 0 to 10"):
        read_label(tmp_path / "mask.png", 11)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_truncated_file_is_named(tmp_path, suffix):
    path = tmp_path / f"cut.{suffix}"
    Image.fromarray(noise(0, 64, 64, 3)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(OSError, match=rf"cut\.{suffix}: cannot be read"):
        read_image(path, "RGB")


def test_photographs_are_read_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter
    Image.fromarray(noise(0, 8, 12, 3)).save(tmp_path / "turned.png", exif=exif)
    assert read_image(tmp_path / "turned.png", "RGB").shape == (12, 8, 3)
