"""MVTec AD, DeepPCB and one's own photographs: layouts, labels, splits and faults."""

from collections import Counter

import numpy as np
import pytest
from miniatures import deeppcb, mvtec, noise, pump
from PIL import Image
from PIL.ExifTags import Base

from pumpgan.data.check import check
from pumpgan.data.dataset import read_image
from pumpgan.data.importers import import_dataset
from pumpgan.data.importers.parts import FoldedMask
from pumpgan.data.importers.photograph import image_size


def refused(tmp_path, source, folder, *parts, **options):
    """Asserts that the import names all of `parts` and leaves nothing at its destination."""
    with pytest.raises((ValueError, OSError)) as raised:
        import_dataset(source, tmp_path / "none", folder, **options)
    assert not (tmp_path / "none").exists()
    assert all(part in str(raised.value) for part in parts), raised.value


def test_mvtec_photographs_keep_their_folder_in_the_name_and_lose_their_split(tmp_path):
    opened = import_dataset("mvtec", tmp_path / "set", mvtec(tmp_path / "from"), resolution=24)
    assert check(tmp_path / "set") == []
    assert Counter(e.kind for e in opened.entries) == {"good": 6, "crack": 2, "dent": 2}
    assert {"train_good_000", "test_good_000", "test_crack_001"} < {e.name for e in opened.entries}
    assert Counter(e.split for e in opened.entries if e.kind != "good") == {"train": 2, "test": 2}
    assert opened.flips == "none"
    shifts = {e.name: e.shift for e in opened.entries}  # None where noise is like the reference nowhere
    assert shifts["train_good_000"] == pytest.approx((0, 0), abs=0.1)
    crack = next(e for e in opened.entries if e.kind == "crack")
    assert np.argwhere(opened.label(crack)).min(0).tolist() == [4, 4] and opened.label(crack).sum() == 8 * 4


def test_mvtec_kinds_become_classes(tmp_path):
    opened = import_dataset("mvtec", tmp_path / "set", mvtec(tmp_path / "from"), classes="kinds")
    assert opened.class_names == ("good", "crack", "dent")
    assert {e.kind: int(opened.label(e).max()) for e in opened.entries} == {"good": 0, "crack": 1, "dent": 2}


def test_mvtec_faults_are_named(tmp_path):
    folder = mvtec(tmp_path / "from")
    truth = folder / "ground_truth"
    (truth / "crack" / "000_mask.png").unlink()
    Image.new("L", (48, 30)).save(truth / "crack" / "001_mask.png")
    Image.new("L", (48, 48)).save(truth / "dent" / "000_mask.png")
    (truth / "dent" / "001_mask.png").rename(truth / "dent" / "009_mask.png")
    refused(
        tmp_path, "mvtec", folder, "5 faults", "has no mask", "48x30", "marks nothing", "009_mask.png: has no photo"
    )
    refused(tmp_path, "mvtec", folder / "test", "train/good: no such folder")


def test_pcb_defects_are_what_differs_inside_the_boxes(tmp_path):
    opened = import_dataset("deeppcb", tmp_path / "set", deeppcb(tmp_path / "from"), resolution=32, classes="kinds")
    assert check(tmp_path / "set") == []
    assert (opened.channels, len(opened.entries)) == (1, 8)
    for entry in opened.entries:
        expected = np.zeros((32, 32), np.uint8)
        if entry.kind == "defect":
            expected[4:8, 4:8], expected[20:24, 20:24] = 1, 6
        np.testing.assert_array_equal(opened.label(entry), expected)
    assert Counter(e.split for e in opened.entries) == {"train": 6, "test": 2}  # a board is in one split


def test_pcb_faults_are_named(tmp_path):
    folder = deeppcb(tmp_path / "from")
    boxes = folder / "PCBData"
    (boxes / "group0" / "0_not" / "000.txt").write_text("1,2,3,4,5\n")
    (boxes / "group1" / "1_not" / "100.txt").unlink()
    (boxes / "group2" / "2" / "200_temp.jpg").unlink()
    (boxes / "group3" / "3_not" / "300.txt").write_text("")
    refused(
        tmp_path, "deeppcb", folder, "4 faults", "line 1 must be x1", "100.txt: no such", "200_temp", "lists no defect"
    )


def test_one_s_own_photographs_are_cropped_around_their_middle(tmp_path, monkeypatch):
    monkeypatch.setattr("pumpgan.data.importers.pump.CENTRE", 32)
    opened = import_dataset("pump", tmp_path / "set", pump(tmp_path / "from"), crop=16, resolution=16)
    assert check(tmp_path / "set") == []
    assert len(opened.entries) == 8 * 64
    boxes = np.array([e.box for e in opened.entries])
    assert boxes.min(0).tolist() == [16, 4, 32, 20] and boxes.max(0).tolist() == [32, 20, 48, 36]
    assert {e.image_label for e in opened.entries} == {"good", "defect"}
    assert all((e.image_label == "defect") == bool(opened.label(e).any()) for e in opened.entries)
    assert Counter(p for e in opened.split("test") for p in e.photographs).keys() == {
        e.group for e in opened.split("test")
    }


def test_sixteen_bits_are_scaled_by_one_range_of_the_set(tmp_path):
    opened = import_dataset("pump", tmp_path / "set", pump(tmp_path / "from", 8, 64, 64), patches=0, resolution=64)
    for entry in opened.entries:
        number = int(entry.name.removeprefix("shot_"))
        values = np.asarray(Image.open(tmp_path / "from" / "images" / f"{entry.name}.tif")).astype(float)
        np.testing.assert_array_equal(opened.image(entry), np.round((values - 900) / 2550 * 255))
        assert opened.image(entry)[0, 0] == (0 if number == 0 else 10)


def test_eight_bit_colour_photographs_are_taken_as_they_are(tmp_path):
    (tmp_path / "from" / "images").mkdir(parents=True)
    (tmp_path / "from" / "masks").mkdir()
    for i in range(4):
        Image.fromarray(noise(i, 32, 32, 3)).save(tmp_path / "from" / "images" / f"{i}.bmp")
        Image.fromarray(noise(i, 32, 32)).save(tmp_path / "from" / "masks" / f"{i}.png")
    opened = import_dataset("pump", tmp_path / "set", tmp_path / "from", patches=0, resolution=32, mask_threshold=200)
    first = opened.entries[0]
    np.testing.assert_array_equal(opened.image(first), noise(0, 32, 32, 3))
    np.testing.assert_array_equal(opened.label(first), noise(0, 32, 32) > 200)


def test_photographs_without_masks_are_refused_or_taken_as_told(tmp_path):
    folder = pump(tmp_path / "from")
    (folder / "masks" / "shot_1_mask.png").unlink()
    (folder / "masks" / "shot_9.png").write_bytes(b"")
    refused(tmp_path, "pump", folder, "2 faults", "shot_1.tif: has no mask", "shot_9.png: has no photograph")
    (folder / "masks" / "shot_9.png").unlink()
    unlabelled = import_dataset("pump", tmp_path / "set", folder, patches=0, no_mask="unlabelled")
    one = next(e for e in unlabelled.entries if e.name == "shot_1")
    assert unlabelled.label(one) is None and one.image_label is None
    good = import_dataset("pump", tmp_path / "good", folder, patches=0, no_mask="good")
    one = next(e for e in good.entries if e.name == "shot_1")
    assert not good.label(one).any() and one.image_label == "good"


def test_the_real_transistors_have_the_counts_of_their_description(tmp_path, test_data):
    opened = import_dataset("mvtec", tmp_path / "set", test_data / "mvtec-transistor", resolution=64)
    kinds = dict.fromkeys(("bent_lead", "cut_lead", "damaged_case", "misplaced"), 7)
    assert Counter(e.kind for e in opened.entries) == {"good": 191, **kinds}
    misplaced = [(opened.label(e) > 0).mean() for e in opened.entries if e.kind == "misplaced"]
    assert min(misplaced) > 0.36 and max(misplaced) < 0.51


def test_the_real_boards_have_the_defects_of_their_description(tmp_path, test_data):
    opened = import_dataset(
        "deeppcb", tmp_path / "set", test_data / "deeppcb-mini", resolution=640, classes="kinds", count=30
    )
    assert len(opened.entries) == 30
    for entry in opened.entries:
        assert bool(opened.label(entry).any()) == (entry.kind == "defect")
        group = test_data / "deeppcb-mini" / "PCBData" / entry.group
        if entry.kind == "defect":
            lines = (group / f"{entry.group[5:]}_not" / f"{entry.name[:-5]}.txt").read_text().splitlines()
            for left, top, right, bottom, kind in (map(int, line.split()) for line in lines):
                assert (opened.label(entry)[top:bottom, left:right] == kind).sum() >= 20


@pytest.mark.parametrize("mask", [np.zeros((37, 51), np.uint8), noise(0, 37, 51) % 2, np.ones((8, 8), np.uint8)])
def test_a_folded_mask_unfolds_to_what_it_was(mask):
    np.testing.assert_array_equal(FoldedMask(mask).unfold(), mask)


def test_folded_masks_of_few_defects_are_small():
    mask = np.zeros((2224, 3200), np.uint8)
    mask[500:520, 700:760] = 1
    assert len(FoldedMask(mask).bits) < 10_000


def test_sixteen_bit_photographs_of_one_value_are_black(tmp_path):
    folder = pump(tmp_path / "from", 4)
    for path in (folder / "images").iterdir():
        Image.fromarray(np.full((40, 64), 5000, np.uint16)).save(path)
    opened = import_dataset("pump", tmp_path / "set", folder, patches=0)
    assert not any(opened.image(entry).any() for entry in opened.entries)


def test_exif_behind_the_pixels_of_a_png_turns_it_too(tmp_path):
    exif = Image.Exif()
    exif[Base.Orientation] = 6
    path = tmp_path / "late.png"
    Image.fromarray(noise(0, 20, 30)).save(path, exif=exif)
    early = path.read_bytes()
    at = early.index(b"eXIf") - 4
    chunk = early[at : at + 12 + int.from_bytes(early[at : at + 4])]
    path.write_bytes(early.replace(chunk, b"")[:-12] + chunk + early[-12:])  # before IEND, of 12 bytes
    assert image_size(path) == read_image(path, "L").shape == (30, 20)
