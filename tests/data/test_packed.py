"""Packed splits: the dataset's very pixels, cached and never stale."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from miniatures import dataset as miniature
from miniatures import noise
from PIL import Image

from pumpgan.data import packed as packed_module
from pumpgan.data.dataset import Dataset, Entry
from pumpgan.data.packed import digest, merge, pack
from pumpgan.data.writer import DatasetWriter


def test_arrays_hold_the_pixels_of_the_split_in_order(tmp_path):
    opened = miniature(tmp_path / "set", unlabelled=1)
    for split in ("train", "test"):
        packed = pack(opened, split)
        entries = opened.split(split)
        assert packed.names == tuple(entry.name for entry in entries)
        for i, entry in enumerate(entries):
            np.testing.assert_array_equal(packed.images[i].permute(1, 2, 0), opened.image(entry))
            label = opened.label(entry)
            assert bool(packed.labelled[i]) == (label is not None)
            np.testing.assert_array_equal(packed.labels[i], np.zeros((16, 16)) if label is None else label)
        assert packed.digest == digest(packed.images, packed.labels, packed.labelled)


def test_grey_images_have_one_channel(tmp_path):
    assert pack(miniature(tmp_path / "set", channels=1)).images.shape == (9, 1, 16, 16)


def test_images_are_resized_by_lanczos_and_labels_by_nearest(tmp_path):
    opened = miniature(tmp_path / "set")
    packed = pack(opened, "train", 8)
    image, label = (Image.fromarray(a) for a in (opened.image(opened.entries[0]), opened.label(opened.entries[0])))
    np.testing.assert_array_equal(packed.images[0].permute(1, 2, 0), image.resize((8, 8), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(packed.labels[0], label.resize((8, 8), Image.Resampling.NEAREST))


def count_decodings(monkeypatch):
    decoded = []
    original = Dataset.image
    monkeypatch.setattr(Dataset, "image", lambda self, entry: decoded.append(entry.name) or original(self, entry))
    return decoded


def test_a_second_call_maps_what_the_first_one_wrote(tmp_path, monkeypatch):
    opened = miniature(tmp_path / "set")
    first, decoded = pack(opened), count_decodings(monkeypatch)
    second = pack(opened)
    assert decoded == [] and second.digest == first.digest
    assert torch.equal(second.images, first.images) and torch.equal(second.labels, first.labels)


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "digest"])
def test_a_damaged_cache_is_made_anew(tmp_path, damage):
    opened = miniature(tmp_path / "set")
    first = pack(opened).digest
    folder = next((tmp_path / "set" / ".packed").iterdir())
    content = bytearray((folder / "images").read_bytes())
    if damage == "flip":
        content[7] ^= 1
        (folder / "images").write_bytes(content)
    elif damage == "cut":
        (folder / "labels").write_bytes(b"")
    elif damage == "remove":
        (folder / "labelled").unlink()
    else:
        (folder / "digest.json").write_text("{")
    assert pack(opened).digest == first


def test_a_changed_file_makes_the_cache_stale_and_the_old_one_goes(tmp_path):
    opened = miniature(tmp_path / "set")
    first = pack(opened)
    path = opened.image_path(opened.entries[0])
    Image.fromarray(noise(99, 16, 16, 3)).save(path)
    os.utime(path, ns=(1, 1))
    second = pack(opened)
    assert second.digest != first.digest
    np.testing.assert_array_equal(second.images[0].permute(1, 2, 0), noise(99, 16, 16, 3))
    assert len(list((tmp_path / "set" / ".packed").iterdir())) == 1


def test_what_another_process_packed_first_stays(tmp_path, monkeypatch):
    opened = miniature(tmp_path / "set")
    decode, theirs = packed_module.decode, []

    def beaten(*arguments):
        monkeypatch.setattr(packed_module, "decode", decode)
        theirs.append(pack(opened))
        theirs.append(next((tmp_path / "set" / ".packed").glob("train-*")).stat().st_ino)
        return decode(*arguments)

    monkeypatch.setattr(packed_module, "decode", beaten)
    assert pack(opened).digest == theirs[0].digest
    assert [folder.stat().st_ino for folder in (tmp_path / "set" / ".packed").iterdir()] == theirs[1:]


def test_a_packing_that_another_process_removes_is_made_once_more(tmp_path, monkeypatch):
    opened = miniature(tmp_path / "set")
    write, times = packed_module.write_arrays, []

    def undone(folder, name, *rest):
        write(folder, name, *rest)
        times.append(name)
        if len(times) <= undoings:
            shutil.rmtree(folder / name)

    monkeypatch.setattr(packed_module, "write_arrays", undone)
    undoings = 1
    assert len(pack(opened)) == 9 and len(times) == 2
    undoings = 9
    with pytest.raises(OSError, match="check this disk"):
        pack(opened, "test")


def test_writing_into_the_arrays_does_not_reach_the_cache(tmp_path):
    opened = miniature(tmp_path / "set")
    first = pack(opened)
    file = next((tmp_path / "set" / ".packed").iterdir()) / "images"
    before = file.read_bytes()
    first.images.zero_()
    assert file.read_bytes() == before


def test_a_dataset_that_cannot_be_written_is_cached_in_the_users_cache(tmp_path, monkeypatch):
    opened = miniature(tmp_path / "set")
    monkeypatch.setenv("PUMPGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    pack(opened)
    assert not (tmp_path / "set" / ".packed").exists()
    assert len(list((tmp_path / "cache" / "packed").iterdir())) == 1


def test_a_broken_image_is_named_and_nothing_is_cached(tmp_path):
    opened = miniature(tmp_path / "set")
    opened.image_path(opened.entries[1]).write_bytes(b"no image")
    with pytest.raises(OSError, match=r"noise_1\.png: cannot be read"):
        pack(opened)
    assert list((tmp_path / "set" / ".packed").iterdir()) == []


def test_an_empty_split_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no test images"):
        pack(miniature(tmp_path / "set", images=2), "test")


def test_the_image_label_decides_before_the_pixels_do(tmp_path):
    about = dict(size=(4, 4), channels=1, flips="hv", image_labels=("good", "defect"))
    classes = miniature(tmp_path / "faces").classes
    some = np.zeros((4, 4), np.uint8)
    some[1, 1] = 1
    with DatasetWriter(tmp_path / "set", name="parts", classes=classes, **about) as writer:
        for i, (image_label, label) in enumerate(
            [("good", some), ("defect", some * 0), ("defect", None), (None, some), (None, some * 0), (None, None)]
        ):
            writer.add(Entry(f"part_{i}", "train", image_label=image_label), noise(i, 4, 4), label)
    assert pack(Dataset.open(tmp_path / "set")).targets().tolist() == [0, 1, 1, 1, 0, -1]


def test_some_labels_are_kept_by_seed(tmp_path):
    packed = pack(miniature(tmp_path / "set", images=40, unlabelled=4))
    kept = packed.keep_labels(10, seed=1)
    assert int(kept.labelled.sum()) == 10 and bool((packed.labelled | ~kept.labelled).all())
    assert torch.equal(kept.labels[kept.labelled], packed.labels[kept.labelled])
    assert not kept.labels[~kept.labelled].any()
    assert torch.equal(kept.labelled, packed.keep_labels(10, seed=1).labelled)
    assert not torch.equal(kept.labelled, packed.keep_labels(10, seed=2).labelled)
    assert kept.digest != packed.digest
    with pytest.raises(ValueError, match="labelled: must be 0 to"):
        packed.keep_labels(41, seed=1)


def test_sets_are_joined_and_parts_are_taken(tmp_path):
    one, two = pack(miniature(tmp_path / "a")), pack(miniature(tmp_path / "b", images=8, unlabelled=2))
    both = merge([one, two])
    assert len(both) == len(one) + len(two) and both.names == one.names + two.names
    taken = both.take(range(len(one), len(both)))
    assert taken.names == two.names and taken.digest == two.digest


def test_sets_without_image_labels_are_joined_with_those_that_have_some(tmp_path):
    bare, named = pack(miniature(tmp_path / "a")), pack(miniature(tmp_path / "b"))
    named = replace(named, image_labels=("good", "defect"))
    assert merge([bare, named]).image_labels == merge([named, bare]).image_labels == ("good", "defect")
    with pytest.raises(ValueError, match="image labels must be equal"):
        merge([bare, named, replace(named, image_labels=("fine", "broken"))])


def test_a_strange_image_label_is_named(tmp_path):
    packed = pack(miniature(tmp_path / "a"))
    strange = replace(packed, entries=(replace(packed.entries[0], image_label="bad"), *packed.entries[1:]))
    with pytest.raises(ValueError, match=f"{packed.names[0]}: image label must be one of .*; got 'bad'"):
        strange.targets()


def test_sets_that_do_not_match_are_not_joined(tmp_path):
    one = pack(miniature(tmp_path / "a"))
    with pytest.raises(ValueError, match="channels, height and width must be equal"):
        merge([one, pack(miniature(tmp_path / "b", side=8))])
    with pytest.raises(ValueError, match="at least one"):
        merge([])
