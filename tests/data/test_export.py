"""Exports hold every image and its label, in the other tool's layout."""

import io
import json
import tarfile

import numpy as np
import pytest
from miniatures import dataset as miniature
from miniatures import magnetic_tile, mvtec
from PIL import Image

from pumpgan.data.dataset import PART_CLASSES, Dataset, Entry
from pumpgan.data.export import export, instances, run_lengths
from pumpgan.data.importers import import_dataset
from pumpgan.data.writer import DatasetWriter


def test_masks_are_the_ids_beside_the_images(tmp_path):
    opened = miniature(tmp_path / "set", unlabelled=1)
    assert export(opened, tmp_path / "out", "masks") == {"train": 9, "test": 3}
    for entry in opened.entries:
        mask = tmp_path / "out" / entry.split / "masks" / f"{entry.name}.png"
        np.testing.assert_array_equal(
            np.asarray(Image.open(tmp_path / "out" / entry.split / "images" / f"{entry.name}.png")), opened.image(entry)
        )
        assert mask.exists() == (opened.label(entry) is not None)
        if mask.exists():
            np.testing.assert_array_equal(np.asarray(Image.open(mask)), opened.label(entry))


def test_an_export_to_mvtec_is_imported_back(tmp_path):
    first = import_dataset("mvtec", tmp_path / "first", mvtec(tmp_path / "from"), resolution=24)
    written = export(first, tmp_path / "out", "mvtec")
    for split, count in written.items():
        assert len(list((tmp_path / "out" / split).rglob("*.png"))) == count  # not the dataset's own split
    second = import_dataset("mvtec", tmp_path / "second", tmp_path / "out", resolution=24)
    kinds = {entry.name: entry.kind for entry in first.entries}
    assert len(second.entries) == len(kinds)
    for entry in second.entries:
        original = next(e for e in first.entries if entry.name.endswith(e.name))
        assert entry.kind == original.kind
        np.testing.assert_array_equal(second.image(entry), first.image(original))
        np.testing.assert_array_equal(second.label(entry), first.label(original))


def test_mvtec_needs_the_masks_of_defects(tmp_path):
    opened = import_dataset("magnetic-tile", tmp_path / "set", magnetic_tile(tmp_path / "from"))
    with pytest.raises(ValueError, match="MT_Uneven_exp2_num_120200: has no mask"):
        export(opened, tmp_path / "out", "mvtec")
    assert not (tmp_path / "out").exists()


def decoded(counts, size):
    """A mask from its run lengths, by the definition."""
    values = np.repeat(np.arange(len(counts)) % 2, counts)
    return values.reshape(size[1], size[0]).T


def test_coco_instances_are_the_connected_pieces(tmp_path):
    label = np.zeros((5, 8), np.uint8)
    label[0, 0] = label[1, 1] = 1  # touch over a corner: one piece
    label[3:5, 4:7] = 1
    label[2, 7] = 2
    found = instances(label)
    assert [(f["category_id"], f["bbox"], f["area"]) for f in found] == [
        (1, [0, 0, 2, 2], 2),
        (1, [4, 3, 3, 2], 6),
        (2, [7, 2, 1, 1], 1),
    ]
    total = sum(decoded(f["segmentation"]["counts"], f["segmentation"]["size"]) * f["category_id"] for f in found)
    np.testing.assert_array_equal(total, label)
    with DatasetWriter(
        tmp_path / "set", name="x", classes=PART_CLASSES, size=(5, 8), channels=1, flips="none"
    ) as writer:
        writer.add(Entry("a", "train", ("a",)), label, np.minimum(label, 1))
        writer.add(Entry("b", "train", ("b",)), label)
    export(Dataset.open(tmp_path / "set"), tmp_path / "out", "coco")
    about = json.loads((tmp_path / "out" / "annotations" / "train.json").read_text())
    assert about["categories"] == [{"id": 1, "name": "defect"}]
    assert [(i["file_name"], i["width"], i["height"]) for i in about["images"]] == [("a.png", 8, 5), ("b.png", 8, 5)]
    # The pixel of class 2 has become class 1, and touches the second piece over a corner.
    assert [(a["id"], a["image_id"], a["area"]) for a in about["annotations"]] == [(1, 1, 2), (2, 1, 7)]


@pytest.mark.parametrize(("rows", "counts"), [(["01", "11"], [1, 3]), (["11", "00"], [0, 1, 1, 1, 1]), (["00"], [2])])
def test_run_lengths_go_down_the_columns_and_start_with_zeros(rows, counts):
    assert run_lengths(np.array([[c == "1" for c in row] for row in rows])) == counts


def test_a_webdataset_has_an_image_its_label_and_its_line_a_key(tmp_path, monkeypatch):
    monkeypatch.setattr("pumpgan.data.export.SHARD", 4)
    opened = miniature(tmp_path / "set", unlabelled=1)
    export(opened, tmp_path / "out", "webdataset")
    shards = sorted(path.name for path in (tmp_path / "out").glob("*.tar"))
    assert shards == ["test-000000.tar", "train-000000.tar", "train-000001.tar", "train-000002.tar"]
    files = {}
    for shard in shards:
        with tarfile.open(tmp_path / "out" / shard) as tar:
            files |= {member.name: tar.extractfile(member).read() for member in tar}
    assert len(files) == 12 * 3 - 1
    for entry in opened.entries:
        assert Entry.from_json(files[f"{entry.name}.json"].decode()) == entry
        np.testing.assert_array_equal(
            np.asarray(Image.open(io.BytesIO(files[f"{entry.name}.png"]))), opened.image(entry)
        )


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(ValueError, match="format: must be one of masks, mvtec, coco, webdataset"):
        export(miniature(tmp_path / "set"), tmp_path / "out", "yolo")


def test_a_defect_without_a_mask_is_not_exported_as_good(tmp_path):
    with DatasetWriter(
        tmp_path / "set", name="set", classes=PART_CLASSES, size=(8, 8), channels=1, flips="none",
        image_labels=("good", "defect"),
    ) as writer:  # fmt: skip
        for name, label in (("dented", "defect"), ("sound", "good")):
            writer.add(Entry(name, "train", image_label=label), np.zeros((8, 8), np.uint8), None)
    opened = Dataset.open(tmp_path / "set")
    with pytest.raises(ValueError, match="dented"):
        export(opened, tmp_path / "mvtec", "mvtec")
    assert export(opened, tmp_path / "coco", "coco") == {"train": 1, "test": 0}
    told = json.loads((tmp_path / "coco" / "annotations" / "train.json").read_text())
    assert [image["file_name"] for image in told["images"]] == ["sound.png"]
    assert export(opened, tmp_path / "tars", "webdataset") == {"train": 2, "test": 0}
