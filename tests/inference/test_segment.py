"""Photographs as a trained model labels them, by a model whose answer is known: what is dark is a defect."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from miniatures import magnetic_tile
from PIL import Image

from pumpgan.data.dataset import PART_CLASSES, Dataset, LabelClass, read_label
from pumpgan.data.importers import import_dataset
from pumpgan.data.select import select
from pumpgan.inference.segment import segment, table
from pumpgan.inference.training_cut import TrainingCut


class Dark:
    """Certain of a defect where black, of none where white; draws what it sees, if told to."""

    def __init__(self, *, size=(16, 16), channels=1, batch=4, data: Sequence[Path] = ("gone",), redraws=False):
        config = SimpleNamespace(batch=batch)
        self.record = SimpleNamespace(size=size, channels=channels, config=config, data=tuple(map(str, data)))
        self.step, self.classes, self.redraws, self.asked = 1, PART_CLASSES, redraws, []

    def answer(self, images):
        assert images.dtype == torch.uint8 and images.shape[1:] == (self.record.channels, *self.record.size)
        self.asked.append(len(images))
        bright = images.float() / 255
        grey = bright.mean(dim=1, keepdim=True)
        return torch.cat([grey, 1 - grey, *([bright] if self.redraws else [])], dim=1)

    def decide(self, probabilities):
        return (probabilities[:, 1] > 0.5).to(torch.uint8)


def spotted(height: int, width: int, *spots: tuple[int, int, int]) -> np.ndarray:
    """Light grey with dark discs of (row, column, radius)."""
    y, x = np.mgrid[:height, :width]
    pixels = np.full((height, width), 230, np.uint8)
    for row, column, radius in spots:
        pixels[np.hypot(y - row, x - column) < radius] = 20
    return pixels


def save(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def test_each_photograph_gets_its_files_at_its_own_size_and_a_line(tmp_path):
    pixels = spotted(41, 67, (10, 12, 6), (30, 50, 4))
    place = save(tmp_path / "part.png", pixels)
    lines = segment(Dark(redraws=True), [place], tmp_path / "out", tile=16)
    out, truth = tmp_path / "out", (pixels < 128)
    assert (read_label(out / "labels" / "part.png", 2) == truth).all()
    palette = Image.open(out / "labels" / "part.png").getpalette()
    assert palette[:6] == [*PART_CLASSES[0].colour, *PART_CLASSES[1].colour]
    confidence = np.asarray(Image.open(out / "confidence" / "part.png"))
    assert (confidence == np.where(truth, 235, 230)).all()
    picture = np.asarray(Image.open(out / "overlays" / "part.png"))
    assert (picture[~truth] == 230).all() and (picture[truth] == picture[10, 12]).all() and picture[10, 12, 0] > 100
    assert (np.asarray(Image.open(out / "reconstructions" / "part.png")) == pixels).all()
    assert [json.loads(line) for line in (out / "summary.jsonl").read_text().splitlines()] == lines
    (line,) = lines
    assert (line["name"], line["file"], line["size"], line["tile"]) == ("part", str(place), [41, 67], 16)
    assert line["classes"]["defect"] == {
        "pixels_percent": round(100 * truth.mean(), 4),
        "mean_confidence": round(235 / 255, 4),
    }
    first, second = line["pieces"]
    assert line["defect"] and first["box"] == [7, 5, 18, 16] and second["box"] == [47, 27, 54, 34]
    assert first["pixels"] + second["pixels"] == truth.sum() and first["mean_confidence"] == round(235 / 255, 4)


@pytest.mark.parametrize("size", [(150, 90), (40, 300), (96, 96), (20, 33)])
@pytest.mark.parametrize("tile", [0, 64])
def test_whole_and_tiled_answers_are_the_photographs_own_spots(tmp_path, size, tile):
    radius = min(size) // 4
    pixels = spotted(*size, (size[0] // 2, size[1] // 2, radius))
    place = save(tmp_path / "part.png", pixels)
    (line,) = segment(Dark(size=(32, 32)), [place], tmp_path / "out", tile=tile)
    found, truth = read_label(tmp_path / "out" / "labels" / "part.png", 2) > 0, pixels < 128
    assert found.shape == size and len(line["pieces"]) == 1
    assert (found & truth).sum() / (found | truth).sum() > (0.9 if tile else 0.75)


def test_whole_photographs_are_asked_about_in_batches_and_in_company_as_alone(tmp_path):
    for i in range(5):
        save(tmp_path / f"part_{i}.png", spotted(30 + i, 50, (15, 10 * i, 8)))
    model = Dark()
    together = segment(model, [tmp_path], tmp_path / "out", tile=0)
    assert model.asked == [4, 1] and [line["name"] for line in together] == [f"part_{i}" for i in range(5)]
    alone = segment(Dark(), [tmp_path / "part_3.png"], tmp_path / "alone", tile=0)
    assert together[3] == alone[0]


def test_coloured_photographs_of_16_bits_are_segmented_and_sizes_need_not_be_square(tmp_path):
    place = save(tmp_path / "deep.png", spotted(40, 60, (20, 30, 9)).astype(np.uint16) * 100)
    said = []
    model = Dark(size=(16, 32), channels=3, redraws=True)
    (line,) = segment(model, [place], tmp_path / "out", tile=0, say=said.append)
    assert line["defect"] and said == ["16-bit photographs: 2000 becomes black, 23000 white; --levels says otherwise"]
    assert Image.open(tmp_path / "out" / "reconstructions" / "deep.png").mode == "RGB"
    (line,) = segment(model, [place], tmp_path / "other", tile=0, levels=(0, 2000))
    assert not line["defect"] and line["pieces"] == [] and line["classes"]["defect"]["mean_confidence"] is None
    with pytest.raises(ValueError, match="tile: the run's images are 32x16, squares do not become such"):
        segment(model, [place], tmp_path / "third", tile=8)


def test_nothing_is_written_where_a_photograph_is_faulty_or_the_folder_is_not_empty(tmp_path):
    good = save(tmp_path / "good.png", spotted(20, 20))
    (tmp_path / "bad.png").write_bytes(b"not an image")
    with pytest.raises(ValueError, match=r"bad\.png: cannot be read"):
        segment(Dark(), [good, tmp_path / "bad.png"], tmp_path / "out", tile=0)
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("")
    with pytest.raises(FileExistsError, match="is not empty"):
        segment(Dark(), [good], tmp_path / "out", tile=0)
    with pytest.raises(ValueError, match="tile: must be 0 or a number of pixels, got -1"):
        segment(Dark(), [good], tmp_path / "new", tile=-1)


def test_what_was_finished_before_an_end_in_the_middle_is_whole(tmp_path):
    class Ending(Dark):
        def answer(self, images):
            if len(self.asked) == 2:
                raise KeyboardInterrupt
            return super().answer(images)

    for i in range(4):
        save(tmp_path / f"part_{i}.png", spotted(20, 20, (10, 10, 5)))
    with pytest.raises(KeyboardInterrupt):
        segment(Ending(batch=1), [tmp_path], tmp_path / "out", tile=0)
    lines = [json.loads(line) for line in (tmp_path / "out" / "summary.jsonl").read_text().splitlines()]
    assert [line["name"] for line in lines] == ["part_0", "part_1"]
    for kind in ("labels", "overlays", "confidence"):
        files = sorted((tmp_path / "out" / kind).iterdir())
        assert [path.name for path in files] == ["part_0.png", "part_1.png"]
        assert all(Image.open(path).size == (20, 20) for path in files)


def test_tiles_are_as_large_as_the_crops_that_the_run_learnt_from(tmp_path):
    source = magnetic_tile(tmp_path / "from")
    whole = import_dataset("magnetic-tile", tmp_path / "whole", source, resolution=16)
    cut = import_dataset("magnetic-tile", tmp_path / "cut", source, resolution=16, patches=2, crop=24)
    select(cut, tmp_path / "half", with_class="defect")
    place = save(tmp_path / "part.png", spotted(30, 40))
    for data, tile, told in (
        (whole.path, None, "photographs are taken whole, as the run's were; --tile cuts them"),
        (cut.path, 24, "photographs are cut into squares of 24 pixels, as the run's were; --tile says otherwise"),
        (tmp_path / "half", 24, "photographs are cut into squares of 24 pixels"),
        (tmp_path / "gone", None, "photographs are taken whole: how the run's were cut is not known ("),
    ):
        said = []
        model = Dark(data=[data])
        (line,) = segment(model, [place], tmp_path / f"out-{data.name}", say=said.append)
        assert line["tile"] == tile and len(said) == 1 and said[0].startswith(told), said
    assert segment(Dark(data=[cut.path]), [place], tmp_path / "stated", tile=0)[0]["tile"] is None


def import_as(importer: str, folder: Path) -> Path:
    """Whole magnetic tiles whose dataset says that another importer made it."""
    path = import_dataset("magnetic-tile", folder / "set", magnetic_tile(folder / "from"), resolution=16).path
    about = json.loads((path / "dataset.json").read_text())
    about["source"]["importer"] = importer
    (path / "dataset.json").write_text(json.dumps(about))
    return path


def test_pumps_taken_whole_are_a_square_in_their_middle_and_so_are_tiles(tmp_path):
    path = import_as("pump", tmp_path)
    largest = max(max(entry.box) for entry in Dataset.open(path).entries)
    assert TrainingCut.of(SimpleNamespace(data=(str(path),))).tile == largest


def test_colour_is_turned_grey_where_the_runs_importer_did_that(tmp_path):
    path = import_as("deeppcb", tmp_path)
    place = save(tmp_path / "part.png", np.stack([spotted(20, 20, (10, 10, 5))] * 3, axis=2))
    assert segment(Dark(data=[path]), [place], tmp_path / "out")[0]["defect"]
    with pytest.raises(ValueError, match="is in colour, and the run learnt from grey images"):
        segment(Dark(), [place], tmp_path / "other")


def test_the_table_tells_how_many_have_a_defect_and_shows_the_first(tmp_path):
    for i in range(12):
        save(tmp_path / f"part_{i:02d}.png", spotted(20, 20, *([(10, 10, 4)] if i else [])))
    lines = segment(Dark(), [tmp_path], tmp_path / "out", tile=20)
    said = table(lines).splitlines()
    assert said[0] == "12 photographs, 11 with defect" and said[-1] == "  and 1 more; summary.jsonl has all"
    assert said[1].split() == ["part_01", "11.250", "%", "in", "1", "piece,", "7x7", "at", "x", "7,", "y", "7"]


def test_of_many_classes_the_table_tells_the_pixels(tmp_path):
    class Three(Dark):
        def answer(self, images):
            return torch.cat([super().answer(images), torch.zeros_like(images).float()], dim=1)

        def decide(self, probabilities):
            return probabilities.argmax(dim=1).to(torch.uint8)

    model = Three()
    model.classes = (*PART_CLASSES, LabelClass(2, "dirt", (1, 2, 3)))
    save(tmp_path / "part.png", spotted(20, 20, (10, 10, 4)))
    (line,) = lines = segment(model, [tmp_path], tmp_path / "out", tile=16)
    assert "defect" not in line and line["classes"]["dirt"] == {"pixels_percent": 0.0, "mean_confidence": None}
    assert "defect           11.250 % of pixels, in 1 of 1" in table(lines)
