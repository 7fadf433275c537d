"""Selections: the class, the share and the number that were asked for, from the split they were in."""

import numpy as np
import pytest
from miniatures import dataset as miniature

from pumpgan.data.check import check
from pumpgan.data.dataset import PART_CLASSES, PART_IMAGE_LABELS, Dataset, Entry
from pumpgan.data.export import export
from pumpgan.data.select import mix, select
from pumpgan.data.writer import DatasetWriter


def shares(opened, class_id=10):
    """Per split, how many images have the class, and how many there are."""
    having = {
        split: [bool((opened.label(entry) == class_id).any()) for entry in opened.split(split)]
        for split in ("train", "test")
    }
    return {split: (sum(has), len(has)) for split, has in having.items()}


def test_only_images_with_the_class_are_kept_unchanged(tmp_path):
    source = miniature(tmp_path / "set", images=24)
    chosen = select(source, tmp_path / "out", with_class="earring")
    assert shares(source) == {"train": (6, 18), "test": (2, 6)} and shares(chosen) == {"train": (6, 6), "test": (2, 2)}
    for entry in chosen.entries:
        assert entry in source.entries
        assert chosen.image_path(entry).read_bytes() == source.image_path(entry).read_bytes()
        assert chosen.label_path(entry).read_bytes() == source.label_path(entry).read_bytes()
    assert check(tmp_path / "out") == []
    assert chosen.source["of"] == {"importer": "noise"} and chosen.source["options"]["with_class"] == "earring"


def test_a_share_takes_as_many_without_the_class(tmp_path):
    source = miniature(tmp_path / "set", images=24)
    assert shares(select(source, tmp_path / "half", with_class="earring", share=0.5)) == {
        "train": (6, 12),
        "test": (2, 4),
    }
    rare = select(source, tmp_path / "rare", with_class="earring", share=0.2)
    assert shares(rare)["train"] == (3, 15)


def test_a_defect_too_small_for_its_label_is_taken_neither_for_one_nor_for_good(tmp_path):
    parts = dict(name="parts", classes=PART_CLASSES, size=(8, 8), channels=1, flips="hv")
    with DatasetWriter(tmp_path / "set", **parts, image_labels=PART_IMAGE_LABELS) as writer:
        for name, image_label, pixels in (("fine", "good", 0), ("bad", "defect", 3), ("speck", "defect", 0)):
            label = np.zeros((8, 8), np.uint8)
            label[0, :pixels] = 1
            writer.add(
                Entry(name, "train", photographs=(name,), image_label=image_label), np.zeros((8, 8), np.uint8), label
            )
    source = Dataset.open(tmp_path / "set")
    half = select(source, tmp_path / "half", with_class="defect", share=0.5)
    assert [entry.name for entry in half.entries] == ["fine", "bad"]
    good = select(source, tmp_path / "good", with_class="good")
    assert [entry.name for entry in good.entries] == ["fine", "bad"]
    assert export(source, tmp_path / "mvtec", "mvtec") == {"train": 1, "test": 1}


def test_a_number_thins_out_training_images_only(tmp_path):
    source = miniature(tmp_path / "set", images=24)
    some = select(source, tmp_path / "some", with_class="earring", share=0.5, count=6)
    assert shares(some) == {"train": (3, 6), "test": (2, 4)}
    other = select(source, tmp_path / "other", count=4, seed=1)
    assert (len(other.split("train")), len(other.split("test"))) == (4, 6)
    assert select(source, tmp_path / "again", count=4, seed=1).entries == other.entries
    assert select(source, tmp_path / "third", count=4, seed=2).entries != other.entries


def test_unlabelled_images_count_as_neither_with_nor_without(tmp_path):
    source = miniature(tmp_path / "set", images=24, unlabelled=12)
    half = select(source, tmp_path / "half", with_class="earring", share=0.5)
    assert all(half.label(entry) is not None for entry in half.entries)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(with_class="earing"), "did you mean 'earring'"),
        (dict(share=0.5), "share: must come with the class"),
        (dict(with_class="earring", share=0.0), "share: must be over 0"),
        (dict(count=0), "count: must be at least 1"),
    ],
)
def test_a_wrong_argument_is_named_and_nothing_is_written(tmp_path, options, message):
    source = miniature(tmp_path / "set")
    with pytest.raises(ValueError, match=message):
        select(source, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_class_that_no_training_image_has_is_refused(tmp_path):
    source = miniature(tmp_path / "set", images=4, unlabelled=4)
    with pytest.raises(ValueError, match="no training image is left with earring"):
        select(source, tmp_path / "out", with_class="earring")


def test_mixing_never_takes_more_than_there_are():
    assert mix([1, 2, 3], [4], 0.5, 10) == [1, 4]
    assert mix([1, 2, 3], [], 1.0, 2) == [1, 2]
    assert mix([1, 2, 3], list(range(10, 30)), 0.25, 8) == [1, 2, 10, 11, 12, 13, 14, 15]
