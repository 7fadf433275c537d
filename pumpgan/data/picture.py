"""Label maps as colours, and sheets of images beside their labels: what a person looks at while a model trains."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

SEPARATOR, MARGIN = 2, 8  # pixels between cells, and around groups
PAPER, INK = (24, 24, 28), (226, 226, 230)
SMALLEST_CELL = 96  # pixels: smaller images are enlarged by a whole number until they reach it
OVERLAY_ALPHA = 0.45
WIDEST = 1600  # pixels: as much as most screens show of a sheet


class PixelClass(Protocol):
    """What a sheet needs to know of a class; `dataset.LabelClass` is one."""

    @property
    def id(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def colour(self) -> tuple[int, int, int]: ...


Pixels = NDArray[np.uint8]
Group = tuple[str, object, object]  # title, images, labels or None


def colour_labels(labels: object, classes: Sequence[PixelClass]) -> Pixels:
    """RGB uint8 [N, H, W, 3] of label maps [N, H, W], integer tensors or arrays; an id that no class has is refused."""
    ids = as_array(labels)
    if ids.ndim != 3 or ids.dtype.kind not in "ui":
        raise ValueError(f"colour_labels: labels must be integers [N, H, W], got {ids.dtype} {list(ids.shape)}")
    table = np.zeros((256, 3), np.uint8)
    known = np.zeros(256, bool)
    for entry in classes:
        table[entry.id], known[entry.id] = entry.colour, True
    if ids.size and (ids.min() < 0 or ids.max() > 255 or not known[ids].all()):
        strangers = sorted(set(np.unique(ids).tolist()) - {entry.id for entry in classes})
        raise ValueError(f"colour_labels: ids must be of the {len(classes)} classes, got also {strangers[:5]}")
    return table[ids]


def overlay(images: object, labels: object, classes: Sequence[PixelClass], *, alpha: float = OVERLAY_ALPHA) -> Pixels:
    """Images with the class colours laid over them, [N, H, W, 3] uint8; class 0 stays as it is.

    `alpha`: 0 shows the image alone, 1 the colours alone.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"overlay: alpha must be 0 to 1, got {alpha}")
    below, colours, ids = as_rgb(images), colour_labels(labels, classes), as_array(labels)
    if below.shape != colours.shape:
        raise ValueError(f"overlay: images and labels must agree, got {list(below.shape)} and {list(ids.shape)}")
    weight = np.where(ids > 0, np.float32(alpha), np.float32(0))[..., None]
    return np.round(below + weight * (colours.astype(np.float32) - below)).astype(np.uint8)


def outline(images: object, labels: object, classes: Sequence[PixelClass]) -> Pixels:
    """Images with a line in the class colour around every labelled piece, just outside it, [N, H, W, 3] uint8."""
    result, ids = as_rgb(images), as_array(labels)
    if result.shape[:3] != ids.shape:
        raise ValueError(f"outline: images and labels must agree, got {list(result.shape)} and {list(ids.shape)}")
    around = ndimage.grey_dilation(ids, footprint=np.ones((1, 3, 3)))
    edge = (ids == 0) & (around > 0)
    result[edge] = colour_labels(around, classes)[edge]
    return result


def sample_sheet(
    groups: Sequence[Group], classes: Sequence[PixelClass], *, columns: int | None = None, scale: int | None = None
) -> Image.Image:
    """A sheet: per group its title and its samples, each as image, label colours and overlay; below them the classes.

    Args:
        groups: (title, images, labels) each. Images are tensors or arrays, float in [-1, 1] or uint8: [N, C, H, W]
            with C 1 or 3 (uint8 also [N, H, W]; [N, H, W, 3]). Labels are integers [N, H, W], None for images alone.
        classes: in the order of the legend.
        columns: samples a row; None: as many as fit into 1,600 pixels.
        scale: whole number by which pixels are enlarged; None: as much as makes a side at least 96 pixels.

    Raises:
        ValueError: no groups, shapes that do not agree, unknown ids, a column count or scale below 1.
    """
    if not groups or (columns is not None and columns < 1) or (scale is not None and scale < 1):
        raise ValueError(
            f"sample_sheet: needs groups, columns and scale of at least 1, got {len(groups)} groups, {columns}, {scale}"
        )
    blocks = []
    for title, images, labels in groups:
        views = [as_rgb(images)]
        if labels is not None:
            views += [colour_labels(labels, classes), overlay(images, labels, classes)]
        blocks += [caption(title), samples(views, columns, scale)]
    if any(labels is not None for _, _, labels in groups):
        blocks.append(legend(classes, max(2 * SMALLEST_CELL, *(block.width for block in blocks))))
    return stacked(blocks)


def stacked(blocks: Sequence[Image.Image]) -> Image.Image:
    """The blocks one below the other, with margins."""
    width = max(block.width for block in blocks) + 2 * MARGIN
    sheet = Image.new("RGB", (width, sum(block.height + MARGIN for block in blocks) + MARGIN), PAPER)
    top = MARGIN
    for block in blocks:
        sheet.paste(block, (MARGIN, top))
        top += block.height + MARGIN
    return sheet


def samples(
    views: Sequence[Pixels], columns: int | None, scale: int | None, notes: Sequence[str] | None = None
) -> Image.Image:
    """Rows of samples; the views [N, H, W, 3] of one sample stand side by side, a wider gap between samples.

    `notes`: a line of text for each sample, below it, cut to its width.
    """
    count, height, width = views[0].shape[:3]
    times = scale if scale is not None else -(-SMALLEST_CELL // min(height, width))
    cell_width, cell_height = width * times, height * times
    stride = len(views) * (cell_width + SEPARATOR) + 2 * SEPARATOR
    most = min(columns or max(1, WIDEST // stride), max(count, 1))
    rows = -(-count // most)
    across = most if columns else -(-count // max(rows, 1)) or 1  # rows of one length, where that can be
    strips = [caption(note) for note in notes or ()]
    row_height = cell_height + SEPARATOR + max((strip.height + 2 * SEPARATOR for strip in strips), default=0)
    block = Image.new("RGB", (across * stride, rows * row_height), PAPER)
    for index in range(count):
        left, top = index % across * stride, index // across * row_height
        for place, view in enumerate(views):
            cell = Image.fromarray(view[index]).resize((cell_width, cell_height), Image.Resampling.NEAREST)
            block.paste(cell, (left + place * (cell_width + SEPARATOR), top))
        if strips:
            strip = strips[index]
            shown = strip.crop((0, 0, min(strip.width, stride - 3 * SEPARATOR), strip.height))
            block.paste(shown, (left, top + cell_height + SEPARATOR))
    return block


def caption(text: str) -> Image.Image:
    font = ImageFont.load_default(size=14)
    _, _, right, bottom = font.getbbox(text)
    strip = Image.new("RGB", (int(right) + 4, int(bottom) + 2), PAPER)
    ImageDraw.Draw(strip).text((0, 0), text, INK, font)
    return strip


def legend(classes: Sequence[PixelClass], width: int) -> Image.Image:
    """Colour and name of each class, as many to a line as fit."""
    entries = [(entry, caption(entry.name)) for entry in classes]
    side = max(strip.height for _, strip in entries)
    places, left, top = [], 0, 0
    for _, strip in entries:
        needed = side + 4 + strip.width + 2 * MARGIN
        if left and left + needed > width:
            left, top = 0, top + side + SEPARATOR
        places.append((left, top))
        left += needed
    block = Image.new("RGB", (width, top + side), PAPER)
    for (entry, strip), (left, top) in zip(entries, places, strict=True):
        box = (left, top + 2, left + side - 4, top + side - 2)
        ImageDraw.Draw(block).rectangle(box, fill=tuple(entry.colour), outline=INK)
        block.paste(strip, (left + side + 4, top))
    return block


def as_array(values: object) -> NDArray[Any]:
    """An array of a tensor (any device) or of anything numpy takes."""
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)


def as_rgb(images: object) -> Pixels:
    """Images as `sample_sheet` takes them -> uint8 [N, H, W, 3]; floats are clipped to [-1, 1], NaN becomes magenta."""
    if isinstance(images, torch.Tensor) and images.is_floating_point():
        images = images.float()  # numpy knows no bfloat16
    pixels = as_array(images)
    if pixels.dtype == np.uint8 and pixels.ndim == 3:
        pixels = pixels[:, None]
    if pixels.ndim == 4 and pixels.shape[1] not in (1, 3) and pixels.shape[-1] == 3:
        pixels = pixels.transpose(0, 3, 1, 2)
    if pixels.ndim != 4 or pixels.shape[1] not in (1, 3) or pixels.dtype.kind not in "fu":
        raise ValueError(
            f"picture: images must be float in [-1, 1] or uint8, [N, 1 or 3, H, W], "
            f"got {pixels.dtype} {list(pixels.shape)}"
        )
    if pixels.dtype.kind == "f":
        lost = np.isnan(pixels).any(axis=1)
        pixels = np.round((np.clip(np.where(np.isnan(pixels), 0, pixels), -1, 1) + 1) * 127.5).astype(np.uint8)
        rgb = np.repeat(pixels, 3 // pixels.shape[1], axis=1).transpose(0, 2, 3, 1)
        rgb[lost] = (255, 0, 255)
        return np.ascontiguousarray(rgb)
    if pixels.dtype != np.uint8:
        raise ValueError(f"picture: whole-number images must be uint8, got {pixels.dtype}")
    return np.ascontiguousarray(np.repeat(pixels, 3 // pixels.shape[1], axis=1).transpose(0, 2, 3, 1))


def save_png(picture: Image.Image, path: str | Path, **options: int) -> None:
    """Writes a PNG so that a reader sees the old file or the whole new one; makes the folder if need be.

    options: those of Pillow's writer.

    Raises:
        OSError: naming the path; nothing half-written stays.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    except OSError as error:
        raise OSError(f"{path}: cannot write a picture here ({error.strerror}); choose another place") from error
    try:
        with os.fdopen(handle, "wb") as file:
            picture.save(file, format="PNG", **options)
        os.chmod(aside, 0o644)
        os.replace(aside, path)
    except OSError as error:
        Path(aside).unlink(missing_ok=True)
        raise OSError(f"{path}: the picture was not written ({error.strerror}); is the disk full?") from error
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise
