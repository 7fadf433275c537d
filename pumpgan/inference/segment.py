"""A user's own photographs and what a trained model says of each of their pixels.

    labels/NAME.png         8-bit palette, pixel = class id, as in a dataset
    overlays/NAME.png       the photograph with the class colours laid over it
    confidence/NAME.png     8-bit grey: probability of the class that was decided on, 0 to 255
    reconstructions/NAME.png    what an encoder's run took the photograph for; not of a segmenter's
    summary.jsonl           a line a photograph, as `summarised` says

Each file appears whole, and a photograph's line after its files.
"""

import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import Tensor

from pumpgan.data.dataset import LabelClass
from pumpgan.data.importers.photograph import Pixels
from pumpgan.data.own_photographs import Levels, OwnPhotograph, own_photographs
from pumpgan.data.picture import overlay, save_png
from pumpgan.data.writer import check_new, label_picture
from pumpgan.inference.patchwork import Band, as_images, brought_back, brought_to, by_tiles
from pumpgan.inference.predictor import Predictor
from pumpgan.inference.redrawing import Redrawing
from pumpgan.inference.training_cut import TrainingCut
from pumpgan.train.record import RunRecord

MOST_PIXELS = 2**25  # of the photographs that are held at once, where one alone does not have more
SUMMARY = "summary.jsonl"
NEIGHBOURS = np.ones((3, 3))  # pieces are 8-connected


class PixelModel(Protocol):
    """What a trained model must be able to say of pixels; `predictor.Predictor` of a segmenter's run is one."""

    record: RunRecord
    step: int

    @property
    def classes(self) -> tuple[LabelClass, ...]: ...

    def answer(self, images: Tensor) -> Tensor:
        """Images uint8 [N, C, H, W] -> float [N, classes or more, H, W] on the CPU: class probabilities, and behind
        them, of a model that redraws what it sees, the channels of that, 0 to 1."""

    def decide(self, probabilities: Tensor) -> Tensor:
        """Class ids, uint8 [N, H, W], of averages of class probabilities [N, classes, H, W]."""


def pixel_model(
    run: Path, *, checkpoint: int | None = None, device: torch.device | None = None, **redrawing
) -> PixelModel:
    """The best network of a run up to a checkpoint (None: the newest).

    redrawing: options of `Redrawing`, for an encoder's run; those of value None are as if left out.

    Raises ValueError or OSError where the run's kind says nothing of pixels, has no use for an option, or where it has
    validated nothing yet.
    """
    kind, stated = RunRecord.read(run).model, {name: value for name, value in redrawing.items() if value is not None}
    if kind == "encoder":
        return Redrawing(run, checkpoint=checkpoint, device=device, **stated)
    if kind != "segmenter":
        raise ValueError(f"{run}: is a run of {kind}; photographs are segmented by that of a segmenter or an encoder")
    if stated:
        raise ValueError(f"{next(iter(stated))}: is of an encoder's run, {run} is a segmenter's; leave it out")
    return Predictor(run, checkpoint=checkpoint, device=device)


def segment(
    model: PixelModel,
    photographs: Sequence[Path],
    out: Path,
    *,
    tile: int | None = None,
    levels: Levels | None = None,
    say: Callable[[str], object] = lambda line: None,
    advance: Callable[[str, int, int], object] = lambda what, images, total: None,
) -> list[dict[str, Any]]:
    """Writes the labels of photographs, files or folders, to `out`, absent or empty; returns the lines of its summary.

    tile: pixels a side of the squares that photographs are cut into; 0: they are taken whole; None: as the images were
        that the run was trained on.
    levels: darkest and brightest value of 16-bit photographs; None: of those given.
    say: told, a line each, what was settled.

    Raises ValueError or OSError, before anything is written, for photographs that cannot be read or do not fit the run.
    """
    check_new(out)
    record = model.record
    if tile is not None and tile < 0:
        raise ValueError(f"tile: must be 0 or a number of pixels, got {tile}")
    as_trained = TrainingCut.of(record)
    if tile is None:
        tile = as_trained.tile
        say(as_trained.told)
    if tile and record.size[0] != record.size[1]:
        height, width = record.size
        raise ValueError(f"tile: the run's images are {width}x{height}, squares do not become such; give 0")
    found = own_photographs(photographs, record.channels, levels=levels, turn_grey=as_trained.turned_grey)
    for darkest, brightest in {photograph.levels for photograph in found if photograph.levels is not None}:
        say(f"16-bit photographs: {darkest} becomes black, {brightest} white; --levels says otherwise")
    out.mkdir(parents=True, exist_ok=True)
    lines = []
    most = 1 if tile else record.config.batch
    with (
        ThreadPoolExecutor(min(8, os.cpu_count() or 1), "segment") as threads,
        open(out / SUMMARY, "w", encoding="utf-8") as summary,
    ):
        for group in together(found, most):
            pixels = list(threads.map(OwnPhotograph.read, group))
            bands = bands_of(model, pixels, tile)
            for line in threads.map(partial(write, model, out), group, pixels, bands):
                lines.append({"name": line.pop("name"), "tile": tile or None, **line})
                summary.write(json.dumps(lines[-1], ensure_ascii=False, allow_nan=False) + "\n")
                summary.flush()
                advance("photographs", 1, len(found))
    return lines


def together(photographs: Iterable[OwnPhotograph], most: int) -> Iterator[list[OwnPhotograph]]:
    """Groups of at most `most` photographs and MOST_PIXELS pixels, or of one."""
    group: list[OwnPhotograph] = []
    for photograph in photographs:
        if group and (len(group) == most or sum(p.size[0] * p.size[1] for p in [*group, photograph]) > MOST_PIXELS):
            yield group
            group = []
        group.append(photograph)
    if group:
        yield group


def bands_of(model: PixelModel, photographs: Sequence[Pixels], tile: int) -> list[Iterator[Band]]:
    """What the model says of each photograph; of tiled ones it is asked as the bands are taken."""
    size = model.record.size
    if tile:
        return [by_tiles(pixels, tile, size, model.answer) for pixels in photographs]
    answers = model.answer(as_images([brought_to(pixels, size) for pixels in photographs]))
    return [brought_back(answer, pixels.shape[:2]) for answer, pixels in zip(answers, photographs, strict=True)]


def write(
    model: PixelModel, out: Path, photograph: OwnPhotograph, pixels: Pixels, bands: Iterable[Band]
) -> dict[str, Any]:
    """The files of one photograph, and its line of the summary."""
    classes, (height, width) = model.classes, photograph.size
    labels, confidence = np.empty((height, width), np.uint8), np.empty((height, width), np.uint8)
    picture = np.empty((height, width, 3), np.uint8)
    redrawn: list[Pixels] = []
    counts, certain = np.zeros(len(classes), np.int64), np.zeros(len(classes))
    for top, answer in bands:
        ids = model.decide(answer[None, : len(classes)])
        sure = answer.gather(0, ids.long())[0]
        rows = slice(top, top + len(sure))
        labels[rows], confidence[rows] = ids[0].numpy(), (255 * sure).round().to(torch.uint8).numpy()
        picture[rows] = overlay(as_images([pixels[rows]]), ids, classes)[0]
        counts += np.bincount(labels[rows].ravel(), minlength=len(classes))
        certain += np.bincount(labels[rows].ravel(), sure.numpy().ravel(), minlength=len(classes))
        if len(answer) > len(classes):
            drawn = (255 * answer[len(classes) :].clamp(0, 1)).round().to(torch.uint8)
            redrawn.append(drawn.permute(1, 2, 0).squeeze(2).numpy())
    palette = [value for c in classes for value in c.colour]
    pictures = {
        "labels": label_picture(labels, palette),
        "overlays": Image.fromarray(picture),
        "confidence": Image.fromarray(confidence),
    }
    if redrawn:
        pictures["reconstructions"] = Image.fromarray(np.concatenate(redrawn))
    for folder, file in pictures.items():
        save_png(file, out / folder / f"{photograph.name}.png", compress_type=zlib.Z_RLE)
    return {"name": photograph.name, "file": str(photograph.path)} | summarised(
        labels, confidence, counts, certain, classes
    )


def summarised(
    labels: Pixels,
    confidence: Pixels,
    counts: NDArray[np.int64],
    certain: NDArray[np.float64],
    classes: Sequence[LabelClass],
) -> dict[str, Any]:
    """What a photograph's line says of its pixels, given how many each class has and the sum of its confidence there.

    size                [height, width]
    classes.NAME        pixels_percent, and mean_confidence of the pixels decided for it (null without any)
    of two classes
        defect          whether any pixel is of the second
        pieces          its 8-connected pieces, the largest first: box [left, top, right, bottom], pixels,
                        mean_confidence
    """
    told: dict[str, Any] = {
        "size": list(labels.shape),
        "classes": {
            c.name: {
                "pixels_percent": round(100 * int(n) / labels.size, 4),
                "mean_confidence": round(float(total / n), 4) if n else None,
            }
            for c, n, total in zip(classes, counts, certain, strict=True)
        },
    }
    if len(classes) == 2:
        told |= {"defect": bool(counts[1]), "pieces": pieces(labels, confidence)}
    return told


def pieces(labels: Pixels, confidence: Pixels) -> list[dict[str, Any]]:
    """The connected pieces of all classes but 0, the largest first."""
    numbers, count = ndimage.label(labels, NEIGHBOURS)
    inside = labels > 0
    areas = np.bincount(numbers[inside], minlength=count + 1)[1:]
    certain = np.bincount(numbers[inside], confidence[inside], minlength=count + 1)[1:]
    found = []
    for (rows, columns), area, total in zip(ndimage.find_objects(numbers), areas, certain, strict=True):
        box = [columns.start, rows.start, columns.stop, rows.stop]
        found.append({"box": box, "pixels": int(area), "mean_confidence": round(float(total / area / 255), 4)})
    return sorted(found, key=lambda piece: -piece["pixels"])


def table(lines: Sequence[dict[str, Any]], most: int = 10) -> str:
    """The summary's lines for a person: how many photographs show each class, and the first of those with a defect."""
    names = list(lines[0]["classes"])
    if len(names) > 2:
        rows = [f"{len(lines)} photographs"]
        for name in names:
            shares = [line["classes"][name]["pixels_percent"] for line in lines]
            shown = sum(share > 0 for share in shares)
            rows.append(f"  {name:<14} {np.mean(shares):8.3f} % of pixels, in {shown} of {len(lines)}")
        return "\n".join(rows)
    found = [line for line in lines if line["defect"]]
    rows = [f"{len(lines)} photographs, {len(found)} with {names[1]}"]
    for line in found[:most]:
        (left, top, right, bottom), count = line["pieces"][0]["box"], len(line["pieces"])
        share = line["classes"][names[1]]["pixels_percent"]
        where = f"{'the larger' if count == 2 else 'the largest'} " if count > 1 else ""
        rows.append(
            f"  {line['name']:<24} {share:8.3f} % in {count} piece{'s' if count > 1 else ''}, "
            f"{where}{right - left}x{bottom - top} at x {left}, y {top}"
        )
    if len(found) > most:
        rows.append(f"  and {len(found) - most} more; {SUMMARY} has all")
    return "\n".join(rows)
