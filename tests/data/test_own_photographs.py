"""Photographs that a user names: found in files and folders, read as a run wants them, all faults at once."""

import numpy as np
import pytest
from PIL import Image

from pumpgan.data.own_photographs import own_photographs

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def test_files_and_folders_give_photographs_called_by_their_stem(tmp_path):
    save(tmp_path / "many" / "b.png", GREY)
    save(tmp_path / "many" / "a.TIFF", GREY)
    save(tmp_path / "many" / "deeper" / "c.png", GREY)
    save(tmp_path / "many" / ".hidden.png", GREY)
    (tmp_path / "many" / "notes.txt").write_text("no image")
    alone = save(tmp_path / "z.bmp", GREY)
    found = own_photographs([alone, tmp_path / "many"], 1)
    assert [p.name for p in found] == ["z", "a", "b"] and all((p.read() == GREY).all() for p in found)
    assert found[0].size == (6, 8)


def test_grey_serves_for_three_channels_and_colour_for_one_only_where_the_importer_turns_it_grey(tmp_path):
    grey, colour = save(tmp_path / "g.png", GREY), save(tmp_path / "c.png", np.stack([GREY, GREY // 2, GREY], 2))
    assert own_photographs([grey], 3)[0].read().shape == (6, 8, 3)
    with pytest.raises(ValueError, match=r"c\.png: is in colour, and the run learnt from grey images"):
        own_photographs([grey, colour], 1)
    read = own_photographs([colour], 1, turn_grey=True)[0].read()
    assert (read == np.asarray(Image.open(colour).convert("L"))).all()


def test_16_bits_become_8_by_one_range_of_all_photographs_or_the_one_stated(tmp_path):
    dark, bright = (
        save(tmp_path / "d.png", GREY.astype(np.uint16) * 4),
        save(tmp_path / "b.tif", GREY.astype(np.uint16) * 100),
    )
    found = own_photographs([dark, bright], 1)
    assert {p.levels for p in found} == {(0, 23500)}
    assert found[1].read().max() == 255 and found[0].read().max() == round(4 * 235 / 23500 * 255)
    stated = own_photographs([dark], 3, levels=(100, 300))[0].read()
    expected = np.round((GREY.astype(float) * 4 - 100).clip(0, 200) * 255 / 200)
    assert stated.shape == (6, 8, 3) and (stated == expected[..., None]).all()
    with pytest.raises(ValueError, match="levels: the darkest must be below the brightest, got 5 and 5"):
        own_photographs([dark], 1, levels=(5, 5))


def test_a_photograph_lies_as_its_exif_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    path = save(tmp_path / "t.jpg", GREY, exif=exif)
    photograph = own_photographs([path], 1)[0]
    assert photograph.size == (8, 6) and photograph.read().shape == (8, 6)


def test_all_faults_are_told_together_the_first_five(tmp_path):
    good = save(tmp_path / "good.png", GREY)
    short = tmp_path / "short.png"
    short.write_bytes(good.read_bytes()[:50])
    text = tmp_path / "text.png"
    text.write_text("no image")
    twice = save(tmp_path / "other" / "good.png", GREY)
    clear = save(tmp_path / "clear.png", np.zeros((4, 4, 4), np.uint8))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError) as caught:
        own_photographs([good, twice, tmp_path / "empty", tmp_path / "gone", short, text, clear], 3)
    said = str(caught.value)
    assert said.startswith("photographs: 6 faults:") and said.endswith("and 1 more")
    for fault in (
        f"{twice}: has the same name as {good}",
        f"{tmp_path / 'empty'}: holds no images (",
        f"{tmp_path / 'gone'}: no such file or folder",
        f"{short}: cannot be read (",
        f"{text}: cannot be read (",
    ):
        assert fault in said
    with pytest.raises(ValueError, match=r"clear\.png: must be grey or RGB of 8 bits, or grey of 16, got mode RGBA"):
        own_photographs([clear], 3)


def test_a_file_that_changes_after_it_was_looked_at_is_told(tmp_path):
    path = save(tmp_path / "p.png", GREY)
    photograph = own_photographs([path], 1)[0]
    save(path, GREY[:3])
    with pytest.raises(OSError, match=r"p\.png: has changed its size meanwhile"):
        photograph.read()
