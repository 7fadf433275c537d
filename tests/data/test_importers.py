"""Every source layout, sound and broken: what comes out, and that nothing comes out of a broken one."""

import errno
import json
import shutil
from collections import Counter

import numpy as np
import pytest
from miniatures import celebamask_hq, face_ids, label_maps, magnetic_tile, noise, save_index
from PIL import Image

from pumpgan.data import writer as writer_module
from pumpgan.data.check import check
from pumpgan.data.importers import IMPORTERS, import_dataset, layout_of
from pumpgan.data.importers.celebamask_hq import FACE_ID_OF_PART
from pumpgan.data.importers.crops import boxes, letterbox
from pumpgan.data.importers.magnetic_tile import tiles_of
from pumpgan.data.importers.photograph import fit_label

# CelebAMask-HQ id -> face class, written out by hand.
MERGED = [0, 1, 2, 9, 3, 3, 4, 4, 5, 5, 6, 6, 6, 7, 8, 10, 0, 0, 0]


def refused(tmp_path, match, source, folder, error=ValueError, **options):
    """Asserts that the import raises `match` and that nothing appears where the dataset would be."""
    with pytest.raises(error, match=match) as raised:
        import_dataset(source, tmp_path / "out" / "set", folder, **options)
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []
    return str(raised.value)


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*.png"))} | {
        "lines": (folder / "images.jsonl").read_bytes()
    }


# Label maps --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("masks", ["masks", "labels"])
def test_label_maps_become_the_eleven_face_classes(tmp_path, masks):
    opened = import_dataset("label-maps", tmp_path / "set", label_maps(tmp_path / "from", masks=masks), resolution=32)
    assert check(tmp_path / "set") == []
    assert Counter(entry.split for entry in opened.entries) == {"train": 4, "test": 2}
    for entry in opened.entries:
        ids = face_ids(int(entry.name.removeprefix("face_")), 32)
        np.testing.assert_array_equal(opened.label(entry), np.array(MERGED)[ids])
        assert (entry.kind, entry.image_label, entry.box) == ("face", None, (0, 0, 64, 64))
    source = json.loads((tmp_path / "set" / "dataset.json").read_text())["source"]
    assert source == {
        "importer": "label-maps",
        "folder": str(tmp_path / "from"),
        "options": {"resolution": 32},
    }


def test_the_merging_table_is_the_one_of_the_classes():
    assert FACE_ID_OF_PART.tolist() == MERGED


def test_grey_index_masks_and_any_image_format_are_read(tmp_path):
    folder = label_maps(tmp_path / "from", faces=0)
    for i, suffix in enumerate(("png", "BMP", "tif", "webp")):
        Image.fromarray(noise(i, 32, 32, 3)).save(folder / "images" / f"{i}.{suffix}")
        save_index(folder / "masks" / f"{i}.png", face_ids(i, 32), "L")
    opened = import_dataset("label-maps", tmp_path / "set", folder, resolution=32)
    np.testing.assert_array_equal(opened.label(opened.entries[0]), np.array(MERGED)[face_ids(0, 32)])


def test_classes_of_one_s_own_are_named_in_the_order_of_their_ids(tmp_path):
    folder = label_maps(tmp_path / "from", faces=0)
    for i in range(4):
        Image.fromarray(noise(i, 32, 32)).save(folder / "images" / f"{i}.png")
        save_index(folder / "masks" / f"{i}.png", noise(i, 32, 32) % 3)
    opened = import_dataset("label-maps", tmp_path / "set", folder, resolution=32, class_names="good, scratch,dent")
    assert (opened.class_names, opened.channels, opened.flips) == (("good", "scratch", "dent"), 1, "none")
    for entry in opened.entries:
        np.testing.assert_array_equal(opened.label(entry), noise(int(entry.name), 32, 32) % 3)
    assert opened.source["options"]["class_names"] == "good, scratch,dent"
    refused(tmp_path, r"id 2 is unknown.*--class-names", "label-maps", folder, class_names="good,scratch")
    for wrong in ("good", "good,,dent", "good,good"):
        refused(tmp_path, "class_names: must be two or more names", "label-maps", folder, class_names=wrong)


def test_black_and_white_masks_are_sent_to_the_source_that_reads_them(tmp_path):
    folder = label_maps(tmp_path / "from")
    save_index(folder / "masks" / "face_1.png", 255 * (noise(0, 32, 32) % 2), "L")
    refused(tmp_path, "id 255 is unknown.*masks of 0 and 255 are for the source pump", "label-maps", folder)


def test_a_missing_mask_is_refused_or_taken_as_told(tmp_path):
    folder = label_maps(tmp_path / "from")
    (folder / "masks" / "face_2.png").unlink()
    assert "--no-mask" in refused(tmp_path, r"face_2\.jpg: has no mask", "label-maps", folder)
    for told, labelled in (("good", 6), ("unlabelled", 5)):
        opened = import_dataset("label-maps", tmp_path / told, folder, no_mask=told)
        labels = {entry.name: opened.label(entry) for entry in opened.entries}
        assert sum(label is not None for label in labels.values()) == labelled
        assert labels["face_2"] is None or not labels["face_2"].any()


def test_a_mask_of_another_aspect_ratio_is_refused(tmp_path):
    folder = label_maps(tmp_path / "from")
    save_index(folder / "masks" / "face_1.png", np.zeros((32, 24)))
    refused(tmp_path, r"face_1\.png: the mask is 24x32 .* image 64x64", "label-maps", folder)


def test_an_unknown_class_id_is_refused(tmp_path):
    folder = label_maps(tmp_path / "from")
    save_index(folder / "masks" / "face_1.png", np.full((32, 32), 19))
    refused(tmp_path, r"face_1\.png: class id 19 is unknown; ids are 0 to 18", "label-maps", folder)


def test_a_colour_mask_is_refused(tmp_path):
    folder = label_maps(tmp_path / "from")
    Image.fromarray(noise(0, 32, 32, 3)).save(folder / "masks" / "face_1.png")
    refused(tmp_path, r"face_1\.png: a mask must hold class ids .* RGB", "label-maps", folder)


def test_a_truncated_photograph_is_refused(tmp_path):
    folder = label_maps(tmp_path / "from")
    path = folder / "images" / "face_3.jpg"
    path.write_bytes(path.read_bytes()[:-1500])
    refused(tmp_path, r"face_3\.jpg: cannot be read", "label-maps", folder, ValueError)


def test_empty_and_missing_folders_are_refused(tmp_path):
    refused(tmp_path, "holds no images", "label-maps", label_maps(tmp_path / "empty", faces=0))
    refused(tmp_path, "images: no such folder", "label-maps", tmp_path / "empty" / "images", FileNotFoundError)
    refused(tmp_path, "no such folder", "label-maps", tmp_path / "nowhere", FileNotFoundError)
    refused(tmp_path, "needs the folder", "label-maps", None)


def test_the_first_five_of_all_faults_are_listed_with_their_number(tmp_path):
    folder = label_maps(tmp_path / "from", faces=8)
    for i in (0, 1, 2):
        (folder / "masks" / f"face_{i}.png").unlink()  # seen by listing
    save_index(folder / "masks" / "face_3.png", np.zeros((32, 24)))  # seen in the header
    (folder / "images" / "face_4.jpg").write_bytes(b"no image")
    for i in (5, 6):
        save_index(folder / "masks" / f"face_{i}.png", np.full((32, 32), 77))  # seen by decoding
    text = refused(tmp_path, "7 faults", "label-maps", folder)
    assert text.count("\n") == 6 and "and 2 more" in text


def test_a_mask_without_image_and_two_images_of_one_name_are_refused(tmp_path):
    folder = label_maps(tmp_path / "from")
    shutil.copy(folder / "masks" / "face_0.png", folder / "masks" / "face_9.png")
    shutil.copy(folder / "images" / "face_0.jpg", folder / "images" / "face_0.png")
    refused(tmp_path, r"(?s)face_0\.png: has the same name.*face_9\.png: has no image", "label-maps", folder)


# CelebAMask-HQ -----------------------------------------------------------------------------------------------


def test_parts_of_a_face_are_painted_in_the_release_s_order(tmp_path):
    opened = import_dataset("celebamask-hq", tmp_path / "set", celebamask_hq(tmp_path / "from"), resolution=32)
    assert check(tmp_path / "set") == []
    assert sorted(entry.name for entry in opened.entries) == [f"{i:05d}" for i in range(5)]
    rows = opened.label(opened.entries[0])[:, 0]
    assert rows.tolist() == [1] * 4 + [3] * 4 + [1] * 8 + [7] * 16  # hair over skin, the eye over skin


def test_faults_of_a_release_are_named(tmp_path):
    folder = celebamask_hq(tmp_path / "from")
    masks = folder / "CelebAMask-HQ-mask-anno"
    for path in masks.rglob("00003_*.png"):
        path.unlink()
    (masks / "0" / "00000_skin.png").rename(masks / "0" / "00000_skinn.png")
    Image.new("L", (31, 31)).save(masks / "2" / "00004_hair.png")
    text = refused(tmp_path, "3 faults", "celebamask-hq", folder)
    assert all(
        part in text for part in ("00000_skinn.png: must be called", "3.jpg: has no masks", "00004_hair.png: the")
    )
    refused(tmp_path, "CelebA-HQ-img: no such folder", "celebamask-hq", tmp_path, FileNotFoundError)


# Magnetic tiles ----------------------------------------------------------------------------------------------


def test_tiles_are_grey_squares_split_by_tile(tmp_path):
    opened = import_dataset("magnetic-tile", tmp_path / "set", magnetic_tile(tmp_path / "from"), resolution=64)
    assert check(tmp_path / "set") == []
    assert (opened.channels, opened.flips, opened.size) == (1, "hv", (64, 64))
    assert len({entry.group for entry in opened.entries}) == 5
    by_kind = Counter((entry.kind, entry.image_label) for entry in opened.entries)
    assert by_kind == {("good", "good"): 5, ("blowhole", "defect"): 2, ("crack", "defect"): 2, ("uneven", "defect"): 1}
    assert [entry.name for entry in opened.entries if opened.label(entry) is None] == ["MT_Uneven_exp2_num_120200"]


def test_only_what_is_brighter_than_the_threshold_is_a_defect(tmp_path):
    folder = magnetic_tile(tmp_path / "from")
    areas = {}
    for threshold in (127, 60):
        opened = import_dataset("magnetic-tile", tmp_path / f"{threshold}", folder, mask_threshold=threshold, patches=1)
        entry = next(e for e in opened.entries if e.kind == "blowhole")
        left, top, right, bottom = entry.box
        areas[threshold] = (opened.label(entry) > 0).mean() * (right - left) * (bottom - top)
    assert areas[60] > areas[127] > 0


def test_kinds_become_classes_when_asked(tmp_path):
    opened = import_dataset("magnetic-tile", tmp_path / "set", magnetic_tile(tmp_path / "from"), classes="kinds")
    assert opened.class_names == ("good", "blowhole", "break", "crack", "fray", "uneven")
    ids = {entry.kind: int(opened.label(entry).max()) for entry in opened.entries if opened.label(entry) is not None}
    assert ids == {"good": 0, "blowhole": 1, "crack": 3}


def test_faults_of_tiles_are_named(tmp_path):
    folder = magnetic_tile(tmp_path / "from")
    crack, free = (sorted((folder / kind / "Imgs").glob("*.png")) for kind in ("MT_Crack", "MT_Free"))
    crack[0].unlink()
    Image.new("L", (5, 5)).save(crack[1])
    Image.new("L", Image.open(free[0]).size, 255).save(free[0])
    Image.new("RGB", Image.open(free[1]).size).save(free[1])
    text = refused(tmp_path, "4 faults", "magnetic-tile", folder)
    assert all(
        part in text for part in ("has no mask", "the mask is 5x5", "filed as free", "must be an 8-bit grey mask")
    )
    refused(tmp_path, "holds none of MT_Blowhole", "magnetic-tile", tmp_path / "from" / "MT_Free", FileNotFoundError)


def test_numbers_of_one_tile_are_near_or_in_the_listed_ranges():
    tiles = tiles_of([10, 310, 611, 52700, 65010, 65060, 65500, 85602, 88201, 124236, 124787])
    assert tiles == {
        10: 10, 310: 10, 611: 611, 52700: 52700, 65010: 52700, 65060: 52700, 65500: 65500,
        85602: 85602, 88201: 85602, 124236: 124236, 124787: 124236,
    }  # fmt: skip


# Crops -------------------------------------------------------------------------------------------------------


def test_crops_show_the_boxes_they_name(tmp_path):
    folder = magnetic_tile(tmp_path / "from")
    opened = import_dataset("magnetic-tile", tmp_path / "set", folder, patches=3, crop=24, resolution=24)
    assert len(opened.entries) == 30
    for entry in opened.entries:
        path = next(folder.rglob(f"{entry.photographs[0].split('_', 2)[2]}.jpg"))
        left, top, right, bottom = entry.box
        pixels = np.asarray(Image.open(path))[top:bottom, left:right]
        np.testing.assert_array_equal(opened.image(entry), pixels)
        assert entry.brightness == pytest.approx(pixels.mean(), abs=1e-3)


def test_an_image_label_is_decided_before_resizing(tmp_path):
    folder = tmp_path / "from" / "MT_Blowhole" / "Imgs"
    folder.mkdir(parents=True)
    for i in range(4):
        mask = np.zeros((64, 64), np.uint8)
        mask[32, 32] = 255  # one pixel, off the grid of an eighth
        Image.fromarray(noise(i, 64, 64)).save(folder / f"exp1_num_{i}000.jpg")
        Image.fromarray(mask).save(folder / f"exp1_num_{i}000.png")
    opened = import_dataset("magnetic-tile", tmp_path / "set", tmp_path / "from", resolution=8)
    assert {entry.image_label for entry in opened.entries} == {"defect"}
    assert not any(opened.label(entry).any() for entry in opened.entries)


def test_drawing_goes_on_until_enough_training_crops_hold_a_defect(tmp_path):
    folder = magnetic_tile(tmp_path / "from")
    for patches in (0, 2):
        opened = import_dataset(
            "magnetic-tile", tmp_path / f"{patches}", folder, patches=patches, crop=20, resolution=20, with_defect=23
        )
        train = opened.split("train")
        assert sum(entry.image_label == "defect" for entry in train) == 23
        assert len(opened.split("test")) == patches * len({e.photographs for e in opened.split("test")})
        assert patches or all(entry.image_label == "defect" for entry in train)
    refused(tmp_path, "no training photograph has a defect", "label-maps", blank(tmp_path), with_defect=3)


def blank(tmp_path):
    folder = label_maps(tmp_path / "blank")
    for path in (folder / "masks").iterdir():
        save_index(path, np.zeros((32, 32)))
    return folder


def test_the_same_import_makes_the_same_bytes_however_many_workers(tmp_path, monkeypatch):
    folder = magnetic_tile(tmp_path / "from")
    for workers in (1, 7):
        monkeypatch.setattr("os.cpu_count", lambda workers=workers: workers)
        import_dataset("magnetic-tile", tmp_path / f"{workers}", folder, patches=2, crop=32, with_defect=9)
    import_dataset("magnetic-tile", tmp_path / "other", folder, patches=2, crop=32, with_defect=9, seed=1)
    assert contents(tmp_path / "1") == contents(tmp_path / "7") != contents(tmp_path / "other")


def test_boxes_lie_inside_and_shrink_to_a_small_photograph():
    seen = list(boxes("tile", 0, (5, 7, 108, 47), 256))
    assert all(r - x == b - y == 40 and (y, b) == (7, 47) for x, y, r, b in seen)
    assert sorted(x for x, *_ in seen) == list(range(5, 69))  # each place once, then no more


def test_a_photograph_no_larger_than_a_crop_gives_one_image_and_not_as_many_copies_as_there_are_patches(tmp_path):
    opened = import_dataset("label-maps", tmp_path / "set", label_maps(tmp_path / "from"), patches=5, crop=256)
    assert len(opened.entries) == len({entry.photographs for entry in opened.entries}) > 0


def test_more_crops_with_a_defect_than_there_are_places_are_refused(tmp_path):
    wanted = {"patches": 0, "crop": 256, "with_defect": 1000}
    refused(
        tmp_path,
        "different crops hold a defect, 1000 are wanted",
        "magnetic-tile",
        magnetic_tile(tmp_path / "tiles"),
        **wanted,
    )


def test_letterboxing_mirrors_what_is_there():
    wide = np.arange(8, dtype=np.uint8).reshape(2, 4)
    assert letterbox(wide).tolist() == [[0, 1, 2, 3], [0, 1, 2, 3], [4, 5, 6, 7], [4, 5, 6, 7]]
    assert letterbox(noise(0, 7, 50, 3)).shape == (50, 50, 3)  # far beyond one reflection


def test_a_mask_is_brought_to_its_image_s_size():
    mask = np.arange(4, dtype=np.uint8).reshape(2, 2)
    assert fit_label(mask, (4, 4)).tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    assert fit_label(fit_label(mask, (6, 6)), (2, 2)).tolist() == mask.tolist()


# Any source --------------------------------------------------------------------------------------------------


def test_some_photographs_are_drawn_by_seed_and_keep_their_split(tmp_path):
    folder = label_maps(tmp_path / "from", faces=12)
    splits = {e.name: e.split for e in import_dataset("label-maps", tmp_path / "all", folder).entries}
    drawn = [
        {
            e.name: e.split
            for e in import_dataset("label-maps", tmp_path / f"{seed}", folder, count=7, seed=seed).entries
        }
        for seed in (0, 1)
    ]
    assert all(len(some) == 7 and some.items() <= splits.items() for some in drawn) and drawn[0] != drawn[1]
    refused(tmp_path, "count: must be at most 12", "label-maps", folder, count=13)


def test_synthetic_faces_need_no_folder(tmp_path):
    some = import_dataset("synthetic-face", tmp_path / "some", count=4, resolution=32)
    more = import_dataset("synthetic-face", tmp_path / "more", count=6, resolution=32)
    assert check(tmp_path / "some") == []
    assert [some.image(e).tolist() for e in some.entries] == [more.image(e).tolist() for e in more.entries[:4]]
    assert some.statistics["train"]["labelled"] == 3
    refused(tmp_path, "reads nothing", "synthetic-face", tmp_path)


@pytest.mark.parametrize("resolution", [16, 1024])
def test_a_size_that_synthetic_faces_are_not_drawn_in_is_one_fault(tmp_path, resolution):
    with pytest.raises(ValueError) as raised:
        import_dataset("synthetic-face", tmp_path / "set", count=40, resolution=resolution)
    assert str(raised.value) == f"resolution: synthetic-face draws 32 to 512 pixels a side, got {resolution}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(resolution=-1), "resolution: must be 0 to 8192"),
        (dict(patches=-1), "patches: must be 0 or more"),
        (dict(mask_threshold=10), "mask_threshold: label-maps has no use"),
        (dict(classes="kinds"), "classes: label-maps has no use"),
        (dict(no_mask="maybe"), "no_mask: must be good or unlabelled"),
        (dict(crop=32), "crop: without patches"),
    ],
)
def test_an_option_that_is_wrong_or_of_no_use_is_refused(tmp_path, options, message):
    refused(tmp_path, message, "label-maps", label_maps(tmp_path / "from"), **options)


def test_every_source_says_what_its_folder_holds():
    assert all(part in layout_of("label-maps") for part in ("images/NAME", "masks/NAME"))
    assert all(20 < len(layout_of(source)) < 600 for source in IMPORTERS)


def test_an_unknown_source_suggests_the_nearest(tmp_path):
    refused(tmp_path, "did you mean 'magnetic-tile'", "magnetic-tiles", tmp_path)


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine").write_text("keep")
    with pytest.raises(FileExistsError, match="not empty"):
        import_dataset("label-maps", tmp_path / "set", label_maps(tmp_path / "from"))
    assert [p.name for p in (tmp_path / "set").iterdir()] == ["mine"]


def test_a_full_disk_stops_the_import_in_one_line(tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer_module, "write_file", full)
    text = refused(tmp_path, "disk is full", "label-maps", label_maps(tmp_path / "from"), OSError)
    assert "\n" not in text


# The real thing ----------------------------------------------------------------------------------------------


def test_the_real_magnetic_tiles_have_the_counts_of_their_description(tmp_path, test_data):
    opened = import_dataset("magnetic-tile", tmp_path / "set", test_data / "magnetic-tile", resolution=32)
    assert Counter(entry.kind for entry in opened.entries) == {
        "blowhole": 83, "break": 61, "crack": 39, "fray": 23, "uneven": 73, "good": 666
    }  # fmt: skip
    unlabelled = {e.name.removeprefix("MT_Uneven_") for e in opened.entries if not opened.label_path(e).exists()}
    assert unlabelled == {"exp3_num_45042", "exp4_num_124690", "exp4_num_352527", "exp4_num_45057"}
    assert check(tmp_path / "set") == []  # among other things: no tile in both splits
    for kind in ("blowhole", "break", "crack", "fray", "uneven", "good"):
        assert {entry.split for entry in opened.entries if entry.kind == kind} == {"train", "test"}


def test_the_real_label_maps_have_the_counts_of_their_description(tmp_path, test_data):
    opened = import_dataset("label-maps", tmp_path / "set", test_data / "celebamask-hq-mini", resolution=64)
    having = Counter(
        name for split in opened.statistics.values() for name, n in split["images_with"].items() for _ in range(n)
    )
    assert len(opened.entries) == 747 and (having["hat"], having["eyeglass"]) == (37, 38)
    assert having["earring"] == pytest.approx(182 * 0.989, abs=1)  # nearest at 64 pixels loses 1.1 % of 182


def test_the_samples_of_the_release_agree_with_the_pairs(tmp_path, test_data):
    samples = test_data / "celebamask-hq-mini" / "official-samples"
    for kind, suffix in (("images", "jpg"), ("masks", "png")):
        (tmp_path / "from" / kind).mkdir(parents=True)
        for i in range(4):
            shutil.copy(samples / f"{i}.{suffix}", tmp_path / "from" / kind)
    opened = import_dataset("label-maps", tmp_path / "set", tmp_path / "from", resolution=512)  # 1024 and 512 pixels
    mask = Image.open(test_data / "celebamask-hq-mini" / "masks" / "b79692ce50b14035b8a7a8ab2d261bbc.png")
    sample = next(entry for entry in opened.entries if entry.name == "2")
    np.testing.assert_array_equal(opened.label(sample), np.array(MERGED)[np.asarray(mask)])


def test_whole_images_keep_their_own_size_where_asked_to(tmp_path):
    for folder, shape in (("images", (16, 24, 3)), ("masks", (16, 24))):
        (tmp_path / "wide" / folder).mkdir(parents=True)
        for i in range(8):
            pixels = noise(i, *shape) if folder == "images" else (noise(i, *shape) > 200).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "wide" / folder / f"{i}.png")
    made = import_dataset("label-maps", tmp_path / "out", tmp_path / "wide", resolution=0, class_names="good,dent")
    assert made.size == (16, 24)
    first = made.entries[0]
    with Image.open(tmp_path / "wide" / "images" / f"{first.photographs[0]}.png") as image:
        assert np.array_equal(made.image(first), np.asarray(image))
    Image.fromarray(noise(9, 16, 20, 3)).save(tmp_path / "wide" / "images" / "9.png")
    Image.fromarray(np.zeros((16, 20), np.uint8)).save(tmp_path / "wide" / "masks" / "9.png")
    with pytest.raises(ValueError, match="is 20x16, the first is 24x16"):
        import_dataset("label-maps", tmp_path / "no", tmp_path / "wide", resolution=0, class_names="good,dent")
    with pytest.raises(ValueError, match="crops want a number of pixels"):
        import_dataset("pump", tmp_path / "no", tmp_path / "wide", resolution=0, patches=2, no_mask="good")
