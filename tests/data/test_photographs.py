"""A dataset's photographs are found again, whatever it was made from."""

import json
import shutil

import numpy as np
import pytest
from miniatures import dataset as miniature
from miniatures import deeppcb, label_maps, magnetic_tile, mvtec, pump

from pumpgan.data.dataset import Dataset
from pumpgan.data.importers import import_dataset
from pumpgan.data.photographs import photographs_of, plan_of
from pumpgan.data.select import select

SOURCES = {
    "mvtec": (mvtec, 48),
    "magnetic-tile": (magnetic_tile, 90),
    "deeppcb": (deeppcb, 32),
    "label-maps": (label_maps, 64),
    "synthetic-face": (None, 64),
}


@pytest.mark.parametrize("source", SOURCES)
def test_photographs_are_those_that_the_images_show(tmp_path, source):
    make, side = SOURCES[source]
    opened = import_dataset(
        source, tmp_path / "set", make and make(tmp_path / "from"), resolution=side, **({} if make else {"count": 4})
    )
    found = photographs_of(opened)
    for entry in opened.entries:
        image, label = found[entry.name].read()
        if image.shape[:2] == (side, side):
            np.testing.assert_array_equal(image, opened.image(entry))
            assert label is None or label.any() == opened.label(entry).any()


def test_options_of_the_import_still_hold(tmp_path):
    opened = import_dataset(
        "pump", tmp_path / "set", pump(tmp_path / "from"), patches=2, crop=16, resolution=16, mask_threshold=254
    )
    for entry in opened.entries:
        image, label = photographs_of(opened)[entry.photographs[0]].read()
        left, top, right, bottom = entry.box
        np.testing.assert_array_equal(image[top:bottom, left:right], opened.image(entry))
        np.testing.assert_array_equal(label[top:bottom, left:right], opened.label(entry))


def test_a_selection_leads_back_to_the_photographs(tmp_path):
    opened = import_dataset("mvtec", tmp_path / "set", mvtec(tmp_path / "from"), classes="kinds", resolution=48)
    half = select(select(opened, tmp_path / "once", with_class="dent"), tmp_path / "twice", count=1)
    assert max(photographs_of(half)[half.entries[0].name].read()[1].ravel()) == 2


def test_photographs_may_have_been_moved(tmp_path):
    opened = import_dataset("mvtec", tmp_path / "set", mvtec(tmp_path / "from"), resolution=48)
    (tmp_path / "from").rename(tmp_path / "to")
    with pytest.raises(FileNotFoundError, match=r"from: no such folder; .* say where they are now by --photographs"):
        photographs_of(opened)
    assert photographs_of(opened, tmp_path / "to").keys() >= {e.name for e in opened.entries}


def test_missing_photographs_are_named_together(tmp_path):
    opened = import_dataset("mvtec", tmp_path / "set", mvtec(tmp_path / "from"), resolution=48)
    for name in ("000", "002"):
        (tmp_path / "from" / "train" / "good" / f"{name}.png").unlink()
    with pytest.raises(ValueError, match=r"(?s)2 faults.*train_good_000 is not in .*from any more.*train_good_002"):
        photographs_of(opened)
    shutil.rmtree(tmp_path / "from" / "ground_truth" / "dent")
    with pytest.raises(ValueError, match="has no mask"):
        photographs_of(opened)


def test_sets_that_were_not_cut_from_photographs_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"was not cut from photographs \(made by noise\)"):
        photographs_of(miniature(tmp_path / "noise"))
    faces = import_dataset("synthetic-face", tmp_path / "faces", count=2)
    with pytest.raises(ValueError, match="photographs: synthetic-face draws its own"):
        photographs_of(faces, tmp_path)


def test_options_of_another_version_are_refused(tmp_path):
    opened = import_dataset("mvtec", tmp_path / "set", mvtec(tmp_path / "from"), resolution=48)
    metadata = json.loads((opened.path / "dataset.json").read_text())
    metadata["source"]["options"]["whiten"] = True
    (opened.path / "dataset.json").write_text(json.dumps(metadata))
    with pytest.raises(ValueError, match=r"dataset.json: the options of its source are unknown: .*whiten"):
        plan_of(Dataset.open(opened.path))
