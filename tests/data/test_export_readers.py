"""Exports as the readers of other projects see them: what they find is what the dataset holds."""

import json

import numpy as np
import pytest
from miniatures import dataset as miniature
from miniatures import mvtec
from PIL import Image

from pumpgan.data.dataset import Dataset
from pumpgan.data.export import export
from pumpgan.data.importers import import_dataset


@pytest.fixture
def exported(tmp_path):
    """Exports a small dataset with two unlabelled images and gives it with the folder."""

    def make(layout: str):
        opened = miniature(tmp_path / "set", unlabelled=2)
        export(opened, tmp_path / "out", layout)
        return opened, tmp_path / "out"

    return make


def labels_of(opened: Dataset, split: str) -> dict[str, np.ndarray]:
    """What a reader that does not know of unlabelled images should see of each."""
    empty = np.zeros(opened.size, np.uint8)
    return {e.name: empty if (label := opened.label(e)) is None else label for e in opened.split(split)}


def test_pycocotools_reads_the_same_pixels(exported):
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is in the dev extra")
    opened, out = exported("coco")
    for split in ("train", "test"):
        reader = coco.COCO(out / "annotations" / f"{split}.json")
        assert [c["name"] for c in reader.loadCats(reader.getCatIds())] == list(opened.class_names[1:])
        found = {}
        for number in reader.getImgIds():
            about = reader.loadImgs(number)[0]
            label = np.zeros(opened.size, np.uint8)
            for annotation in reader.loadAnns(reader.getAnnIds(number)):
                mask = reader.annToMask(annotation).astype(bool)
                assert annotation["area"] == mask.sum() and (label[mask] == 0).all()
                rows, columns = np.nonzero(mask)
                left, top, width, height = annotation["bbox"]
                assert (left, left + width) == (columns.min(), columns.max() + 1)
                assert (top, top + height) == (rows.min(), rows.max() + 1)
                label[mask] = annotation["category_id"]
            found[about["file_name"].removesuffix(".png")] = label
        assert_equal(found, labels_of(opened, split))


def test_torchvision_s_coco_reader_hands_out_images_and_instances(exported):
    datasets = pytest.importorskip("torchvision.datasets", reason="torchvision is in the dev extra")
    pytest.importorskip("pycocotools", reason="pycocotools is in the dev extra")
    opened, out = exported("coco")
    reader = datasets.CocoDetection(out / "train", out / "annotations" / "train.json")
    assert len(reader) == len(opened.split("train"))
    for entry, (image, instances) in zip(opened.split("train"), reader, strict=True):
        np.testing.assert_array_equal(np.asarray(image), opened.image(entry))
        label = opened.label(entry)
        present = set() if label is None else set(np.unique(label[label > 0]).tolist())
        assert {i["category_id"] for i in instances} == present


def test_torchvision_s_folder_reader_pairs_images_with_masks(exported):
    folder = pytest.importorskip("torchvision.datasets.folder", reason="torchvision is in the dev extra")
    opened, out = exported("masks")
    images, masks = (
        {
            path.rpartition("/")[2].removesuffix(".png"): path
            for path, kind in folder.make_dataset(str(out / "train"), {"images": 0, "masks": 1}, (".png",))
            if kind == wanted
        }
        for wanted in (0, 1)
    )
    names = json.loads((out / "classes.json").read_text())
    assert [names[str(i)] for i in range(len(names))] == list(opened.class_names)
    entries = {entry.name: entry for entry in opened.split("train")}
    assert images.keys() == entries.keys() and masks.keys() < images.keys()
    assert_equal(
        {n: np.asarray(Image.open(p)) for n, p in images.items()}, {n: opened.image(entries[n]) for n in images}
    )
    assert_equal({n: np.asarray(Image.open(p)) for n, p in masks.items()}, {n: opened.label(entries[n]) for n in masks})


def test_webdataset_decodes_image_label_and_line_of_each_key(exported):
    webdataset = pytest.importorskip("webdataset", reason="webdataset is in the dev extra")
    opened, out = exported("webdataset")
    shard = str(out / "train-000000.tar")
    samples = list(webdataset.WebDataset(shard, shardshuffle=False, empty_check=False).decode("pil"))
    assert [sample["__key__"] for sample in samples] == [entry.name for entry in opened.split("train")]
    for entry, sample in zip(opened.split("train"), samples, strict=True):
        np.testing.assert_array_equal(np.asarray(sample["png"]), opened.image(entry))
        assert sample["json"]["photographs"] == list(entry.photographs)
        assert ("label.png" in sample) == (opened.label(entry) is not None)
        if "label.png" in sample:
            label = np.asarray(sample["label.png"])  # whatever the file, this decoder gives colours
            np.testing.assert_array_equal(label, np.stack([opened.label(entry)] * 3, -1))


def test_anomalib_finds_every_photograph_its_kind_and_its_mask(tmp_path):
    mvtecad = pytest.importorskip("anomalib.data.datasets.image.mvtecad", reason="anomalib is large; tried by hand")
    opened = import_dataset("mvtec", tmp_path / "set", mvtec(tmp_path / "from"), resolution=24)
    written = export(opened, tmp_path / "category", "mvtec")
    kinds = {entry.name: entry.kind for entry in opened.entries}
    for split, count in written.items():
        reader = mvtecad.MVTecADDataset(root=tmp_path, category="category", split=split)
        assert len(reader) == count
        for item in reader:
            name = item.image_path.rpartition("/")[2].removesuffix(".png")
            entry = next(e for e in opened.entries if e.name == name)
            assert bool(item.gt_label) == (kinds[name] != "good")
            if item.gt_label:
                np.testing.assert_array_equal(item.gt_mask.numpy() > 0, opened.label(entry) > 0)


def assert_equal(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, pixels in found.items():
        np.testing.assert_array_equal(pixels, expected[name])
