"""Pasted defects lie where the part has them, on good places of other training photographs, and are labelled."""

from collections import Counter, defaultdict
from functools import partial

import numpy as np
import pytest
from miniatures import dataset as miniature
from miniatures import deeppcb, magnetic_tile, mvtec
from moved_parts import DEFECTS, PLACES, moved_parts
from PIL import Image

from pumpgan.augment.defects import cut_defects, paste, place_of
from pumpgan.augment.pasting import example_sheet, paste_defects
from pumpgan.data.check import check
from pumpgan.data.dataset import Dataset, Entry
from pumpgan.data.importers import import_dataset
from pumpgan.data.importers.photograph import Photograph
from pumpgan.data.packed import merge, pack
from pumpgan.data.photographs import photographs_of
from pumpgan.data.select import select
from pumpgan.data.splits import validation_split


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> Dataset:
    """Crops of 64 pixels as photographed: what is pasted can be compared pixel by pixel."""
    folder = tmp_path_factory.mktemp("parts")
    return import_dataset("pump", folder / "set", moved_parts(folder / "from"), patches=10, crop=64, resolution=64)


def in_photograph(entry, label) -> set[tuple[int, int]]:
    """(row, column) in the entry's photograph of every labelled pixel."""
    return {(y + entry.box[1], x + entry.box[0]) for y, x in np.argwhere(label).tolist()}


def files(dataset: Dataset) -> dict[str, bytes]:
    return {str(p.relative_to(dataset.path)): p.read_bytes() for p in sorted(dataset.path.rglob("*.*")) if p.is_file()}


def test_a_defect_keeps_its_place_on_the_part_and_its_pixels(tmp_path, parts):
    pasted = paste_defects(parts, tmp_path / "out", blending="hard", copies=3).dataset
    by_name, photographs = {e.name: e for e in parts.entries}, photographs_of(parts)
    assert pasted.entries
    for entry in pasted.entries:
        donor = by_name[entry.donor]
        (down, right), (down_there, right_there) = PLACES[donor.photographs[0]], PLACES[entry.destination]
        down, right = down_there - down, right_there - right
        left, top = donor.box[:2]
        assert entry.box == (left + right, top + down, left + right + 64, top + down + 64)
        label = pasted.label(entry)
        np.testing.assert_array_equal(label, parts.label(donor))
        ground = photographs[entry.destination].read()[0][entry.box[1] : entry.box[3], entry.box[0] : entry.box[2]]
        np.testing.assert_array_equal(pasted.image(entry), np.where(label > 0, parts.image(donor), ground))


def test_what_is_pasted_is_training_data_that_says_where_it_comes_from(tmp_path, parts):
    made = paste_defects(parts, tmp_path / "out", copies=3)
    pasted, by_name = made.dataset, {e.name: e for e in parts.entries}
    assert check(tmp_path / "out") == []
    assert {e.split for e in pasted.entries} == {"train"}
    train = {p for e in parts.split("train") for p in e.photographs}
    for entry in pasted.entries:
        donor = by_name[entry.donor]
        assert donor.split == "train" and entry.destination in train
        assert entry.photographs == (*donor.photographs, entry.destination) and entry.group == entry.destination
        assert (entry.kind, entry.image_label) == ("defect", "defect") and entry.destination != donor.photographs[0]
        assert pasted.label(entry).any() and pasted.label(entry).sum() == parts.label(donor).sum()
    donors = {e.name for e in parts.split("train") if e.image_label == "defect"}
    destinations = defaultdict(list)
    for entry in pasted.entries:
        destinations[entry.donor].append(entry.destination)
    assert made.donors == len(donors) and destinations.keys() <= donors
    assert all(len(names) == len(set(names)) <= 3 for names in destinations.values())
    assert max(map(len, destinations.values())) == 3
    assert pasted.source["of"] == parts.source and pasted.source["options"]["align"] == "part"


def test_nobody_s_defect_is_pasted_over_another_or_left_unlabelled(tmp_path, parts):
    pasted = paste_defects(parts, tmp_path / "out", copies=20).dataset
    photographs = photographs_of(parts)
    shown = Counter(e.destination for e in pasted.entries)
    assert shown.keys() & DEFECTS.keys(), "a photograph with a defect elsewhere is a destination too"
    for entry in pasted.entries:
        label = photographs[entry.destination].read()[1]
        assert not label[entry.box[1] : entry.box[3], entry.box[0] : entry.box[2]].any()


def test_donors_with_too_few_destinations_are_counted(tmp_path, parts):
    all_there_are = paste_defects(parts, tmp_path / "all", copies=20)
    found = Counter(e.donor for e in all_there_are.dataset.entries)
    assert all_there_are.short == all_there_are.donors
    most = max(found.values())
    made = paste_defects(parts, tmp_path / "most", copies=most)
    assert len(made.dataset.entries) == found.total()
    assert made.short == made.donors - sum(n == most for n in found.values())


def test_the_seed_decides_which_destinations(tmp_path, parts):
    first = paste_defects(parts, tmp_path / "first", copies=2, seed=3).dataset
    again = paste_defects(parts, tmp_path / "again", copies=2, seed=3).dataset
    other = paste_defects(parts, tmp_path / "other", copies=2, seed=4).dataset
    assert files(first) == files(again)
    assert {e.name for e in first.entries} != {e.name for e in other.entries}


def test_destinations_are_about_as_bright(tmp_path):
    brighter = ("part_0", "part_3", "part_4", "part_7")
    folder = moved_parts(tmp_path / "from", brighter)
    opened = import_dataset("pump", tmp_path / "set", folder, patches=10, crop=64, resolution=64)

    def mixed(dataset: Dataset) -> int:
        return sum(len(set(e.photographs) & set(brighter)) == 1 for e in dataset.entries)

    near = paste_defects(opened, tmp_path / "near", copies=9, max_brightness=20)
    far = paste_defects(opened, tmp_path / "far", copies=9, max_brightness=255)
    assert mixed(near.dataset) == 0 and mixed(far.dataset) > 0
    assert near.short == near.donors == far.short


def test_defects_without_any_good_place_are_an_error(tmp_path):
    tiles = import_dataset("magnetic-tile", tmp_path / "tiles", magnetic_tile(tmp_path / "from"))
    defective = select(tiles, tmp_path / "defective", with_class="defect")
    with pytest.raises(ValueError, match=r"none of its \d+ defects has a good place .* at most 10 grey levels"):
        paste_defects(defective, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_template_takes_the_defects_of_its_own_photograph_alone(tmp_path):
    opened = import_dataset("deeppcb", tmp_path / "set", deeppcb(tmp_path / "from"), resolution=32)
    made = paste_defects(opened, tmp_path / "out")
    assert {e.name for e in made.dataset.entries} == {
        f"{e.name}_on_{e.name[:-5]}_temp" for e in opened.split("train") if e.kind == "defect"
    }
    assert made.short == made.donors == 3
    for entry in made.dataset.entries:
        donor = next(e for e in opened.entries if e.name == entry.donor)
        np.testing.assert_array_equal(made.dataset.label(entry), opened.label(donor))


def test_photographs_of_any_size_keep_a_defect_s_place_between_the_edges(tmp_path):
    opened = import_dataset("magnetic-tile", tmp_path / "set", magnetic_tile(tmp_path / "from"), resolution=90)
    pasted = paste_defects(opened, tmp_path / "out", max_brightness=255).dataset
    sizes = {name: p.read()[0].shape for name, p in photographs_of(opened).items()}
    assert pasted.source["options"]["align"] == "none" and pasted.entries
    for entry in pasted.entries:
        height, width = sizes[entry.destination]
        height_here, width_here = sizes[entry.donor]
        assert entry.box == (0, 0, width, height) and entry.shift is None
        frame, scale = max(height, width), 90 / max(height, width)
        label = pasted.label(entry)[int((frame - height) // 2 * scale) + 1 :, int((frame - width) // 2 * scale) + 1 :]
        top, left = np.argwhere(label).min(0) / scale
        assert top == pytest.approx(20 / (height_here - 10) * (height - 10), abs=3)
        assert left == pytest.approx(20 / (width_here - 8) * (width - 8), abs=3)


def test_a_defect_from_edge_to_edge_is_again_one(tmp_path):
    folder = magnetic_tile(tmp_path / "from")
    for path in [*folder.glob("MT_Blowhole/Imgs/*.png"), *folder.glob("MT_Crack/Imgs/*.png")]:
        mask = np.zeros(np.asarray(Image.open(path)).shape, np.uint8)
        mask[:, 5:10] = 255
        Image.fromarray(mask).save(path)
    opened = import_dataset("magnetic-tile", tmp_path / "set", folder, resolution=100)
    pasted = paste_defects(opened, tmp_path / "out", max_brightness=255, copies=99).dataset
    heights = {name: p.read()[0].shape[0] for name, p in photographs_of(opened).items()}
    assert pasted.entries
    for entry in pasted.entries:
        assert heights[entry.destination] <= heights[entry.donor]
        assert (pasted.label(entry) > 0).any(1).all()


def test_kinds_that_cover_the_whole_part_are_left_out_unless_asked_for(tmp_path):
    folder = mvtec(tmp_path / "from")
    for place in ("test", "ground_truth"):
        (folder / place / "dent").rename(folder / place / "misplaced")
    opened = import_dataset("mvtec", tmp_path / "set", folder, resolution=48)

    def kinds(**options) -> set[str]:
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        made = paste_defects(opened, out, max_brightness=255, align="none", **options)
        return {e.kind for e in made.dataset.entries}

    assert kinds() == {"crack"}
    assert kinds(kinds=["misplaced"]) == {"misplaced"} and kinds(kinds=["misplaced", "crack"]) == {"crack", "misplaced"}
    with pytest.raises(ValueError, match="no 'crak' in train, there are crack, misplaced; did you mean 'crack'"):
        kinds(kinds=["crak"])


def test_pasted_images_join_the_training_of_what_they_were_made_from(tmp_path, parts):
    half = select(parts, tmp_path / "half", with_class="defect", share=0.5)
    pasted = paste_defects(half, tmp_path / "out").dataset
    together = merge([pack(half), pack(pasted)])
    assert len(together) == len(half.split("train")) + len(pasted.entries)
    assert together.targets()[-len(pasted.entries) :].min() == 1
    training, validation = validation_split(together.entries, seed=0)
    held_out = {p for i in validation for p in together.entries[i].photographs}
    assert all(together.entries[i].donor is None for i in validation)
    assert not held_out & {p for i in training for p in together.entries[i].photographs}


def test_the_sheet_shows_donor_destination_and_result(tmp_path, parts):
    made = paste_defects(parts, tmp_path / "out")
    assert 0 < len(made.examples) <= 24 and len({e.donor.name for e in made.examples}) == len(made.examples)
    for example in made.examples:
        assert (example.image != example.destination).any() and example.label.any()
    sheet = example_sheet(parts, made.examples)
    assert sheet.width > 4 * 64 and sheet.height > 64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(copies=0), "copies: must be at least 1, got 0"),
        (dict(align="whole"), "align: must be part or none, got 'whole'"),
        (dict(max_brightness=float("nan")), "max-brightness: must be 0 or more grey levels, got nan"),
        (dict(blending="soft"), "blend: must be feather, poisson, hard, got 'soft'"),
        (dict(photographs="/nowhere"), "/nowhere: no such folder; .* --photographs"),
    ],
)
def test_a_wrong_argument_is_named_and_nothing_is_written(tmp_path, parts, options, message):
    with pytest.raises((ValueError, OSError), match=message):
        paste_defects(parts, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_sets_without_defects_of_parts_are_refused(tmp_path, parts):
    with pytest.raises(ValueError, match="was not cut from photographs"):
        paste_defects(miniature(tmp_path / "noise"), tmp_path / "out")
    faces = import_dataset("synthetic-face", tmp_path / "faces", count=4)
    with pytest.raises(ValueError, match="only defects of parts can be pasted"):
        paste_defects(faces, tmp_path / "out")
    tiles = import_dataset("magnetic-tile", tmp_path / "tiles", magnetic_tile(tmp_path / "from"))
    with pytest.raises(ValueError, match="align: part needs photographs that are registered"):
        paste_defects(tiles, tmp_path / "out", align="part")


def test_a_pasted_set_names_the_one_to_paste_from(tmp_path, parts):
    pasted = paste_defects(parts, tmp_path / "out").dataset
    with pytest.raises(ValueError, match=f"was made by pasting; paste from the set it came from, {parts.path}"):
        paste_defects(pasted, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_all_broken_photographs_are_named_together(tmp_path):
    folder = moved_parts(tmp_path / "from")
    opened = import_dataset("pump", tmp_path / "set", folder, patches=10, crop=64, resolution=64)
    broken = [p for p in sorted(photographs_of(opened)) if p not in DEFECTS][:2]
    for name in broken:
        path = folder / "images" / f"{name}.png"
        content = path.read_bytes()
        path.write_bytes(content[:2000] + bytes(8000) + content[10000:])  # only decoding shows it
    with pytest.raises((ValueError, OSError)) as raised:
        paste_defects(opened, tmp_path / "out")
    assert all(f"{name}.png" in str(raised.value) for name in broken) and not (tmp_path / "out").exists()


def test_every_real_board_s_boxes_on_its_template_are_the_board_inside_the_boxes(test_data):
    pairs = 0
    for tile in sorted((test_data / "deeppcb-mini" / "PCBData").glob("group*/[0-9]*/*_test.jpg")):
        stem = tile.name.removesuffix("_test.jpg")
        if tile.parent.name.endswith("_not"):
            continue
        image, template = (
            np.asarray(Image.open(tile.with_name(f"{stem}_{which}.jpg")).convert("L")) for which in ("test", "temp")
        )
        boxes = np.zeros(image.shape, np.uint8)
        for line in (tile.parent.parent / f"{tile.parent.name}_not" / f"{stem}.txt").read_text().splitlines():
            left, top, right, bottom, _ = map(int, line.split())
            boxes[top:bottom, left:right] = 1
        read = partial(lambda *pair: pair, image, boxes)
        photograph = Photograph(f"{stem}_test", read, "defect", "board", template=f"{stem}_temp")
        (defect,) = cut_defects(photograph, [Entry(photograph.name, "train", (photograph.name,))])
        place = place_of(defect, f"{stem}_temp", defect.area, shifts={})
        result, label = paste(template, defect, place, "hard")
        np.testing.assert_array_equal(label, boxes)
        np.testing.assert_array_equal(result, np.where(boxes > 0, image, template))
        pairs += 1
    assert pairs == 150


def test_real_boards_pasted_are_the_boards_where_their_defects_are(tmp_path, test_data):
    (tmp_path / "PCBData").mkdir()
    for board in ("group00041", "group50600", "group90100"):
        (tmp_path / "PCBData" / board).symlink_to(test_data / "deeppcb-mini" / "PCBData" / board)
    opened = import_dataset("deeppcb", tmp_path / "set", tmp_path, resolution=640)
    pasted = paste_defects(opened, tmp_path / "out", blending="hard").dataset
    by_name = {e.name: e for e in opened.entries}
    assert {e.donor for e in pasted.entries} == {e.name for e in opened.split("train") if e.kind == "defect"}
    for entry in pasted.entries:
        label, donor = pasted.label(entry), by_name[entry.donor]
        np.testing.assert_array_equal(label, opened.label(donor))
        np.testing.assert_array_equal(pasted.image(entry)[label > 0], opened.image(donor)[label > 0])
