"""Photographs that are of no dataset: files and folders that a user names, read as an importer would read them."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pumpgan.data.dataset import open_image, raise_faults, read_image
from pumpgan.data.importers.photograph import (
    IMAGE_SUFFIXES,
    SIXTEEN_BIT,
    Pixels,
    common_levels,
    in_8_bits,
    noted,
    read_grey,
)

Levels = tuple[int, int]


@dataclass(frozen=True)
class OwnPhotograph:
    """A photograph that was decoded once and is sound.

    size: (height, width), upright. mode: L or RGB, what it is read as. levels: what becomes 0 and 255 of a 16-bit one,
    None for 8 bits.
    """

    name: str
    path: Path
    size: tuple[int, int]
    mode: str
    levels: Levels | None = None

    def read(self) -> Pixels:
        """uint8 [H, W] for mode L, [H, W, 3] for RGB. Raises OSError where the file is not what it was any more."""
        if self.levels is not None:
            pixels = in_8_bits(np.asarray(open_image(self.path)), self.levels)
            pixels = np.asarray(Image.fromarray(pixels).convert(self.mode))
        else:
            pixels = read_grey(self.path) if self.mode == "L" else read_image(self.path, self.mode)
        if pixels.shape[:2] != self.size:
            raise OSError(f"{self.path}: has changed its size meanwhile")
        return pixels


def own_photographs(
    places: Sequence[Path], channels: int, *, levels: Levels | None = None, turn_grey: bool = False
) -> list[OwnPhotograph]:
    """The photographs at `places`: image files, and those that lie directly in folders, called by their file's stem.

    channels: 1 or 3, as which they are read. Grey ones serve for three; coloured ones for one where `turn_grey`.
    levels: darkest and brightest value of 16-bit photographs; None: of those given, so that exposures stay comparable.

    Raises ValueError with the first five faults: a file that cannot be read or is in colour, a folder without images,
    two photographs of one name.
    """
    if channels not in (1, 3):
        raise ValueError(f"own_photographs: channels must be 1 or 3, got {channels}")
    if levels is not None and not levels[0] < levels[1]:
        raise ValueError(f"levels: the darkest must be below the brightest, got {levels[0]} and {levels[1]}")
    faults: list[str] = []
    files: dict[str, Path] = {}
    for path in (path for place in places for path in images_at(place, faults)):
        if path.stem in files:
            faults.append(f"{path}: has the same name as {files[path.stem]}, and so would what is written of it")
        files.setdefault(path.stem, path)
    mode = "L" if channels == 1 else "RGB"
    seen: dict[str, tuple[tuple[int, int], Levels | None]] = {}
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1), "look") as threads:
        pending = {name: threads.submit(look, path, mode, turn_grey) for name, path in files.items()}
        for name, future in pending.items():
            with noted(faults):
                seen[name] = future.result()
    raise_faults("photographs", faults)
    scale = levels or common_levels(own for _, own in seen.values())
    return [
        OwnPhotograph(name, files[name], size, mode, None if own is None else scale)
        for name, (size, own) in seen.items()
    ]


def images_at(place: Path, faults: list[str]) -> Iterator[Path]:
    """A file itself, of a folder its image files in order; what is missing or empty is added to `faults`."""
    if place.is_dir():
        found = [path for path in sorted(place.iterdir()) if path.suffix.lower() in IMAGE_SUFFIXES]
        found = [path for path in found if not path.name.startswith(".")]
        if not found:
            faults.append(f"{place}: holds no images ({', '.join(sorted(IMAGE_SUFFIXES))})")
        yield from found
    elif place.exists():
        yield place
    else:
        faults.append(f"{place}: no such file or folder")


def look(path: Path, mode: str, turn_grey: bool) -> tuple[tuple[int, int], Levels | None]:
    """(height, width) of a photograph and, if it has more than 8 bits, its darkest and brightest value.

    Raises OSError or ValueError, with the path, unless it can be read as `mode`.
    """
    image = open_image(path)
    size = image.height, image.width
    if image.mode in SIXTEEN_BIT:
        values = np.asarray(image)
        return size, (int(values.min()), int(values.max()))
    if image.mode not in ("L", "RGB") and (image.mode, mode) != ("P", "RGB"):
        raise ValueError(f"{path}: must be grey or RGB of 8 bits, or grey of 16, got mode {image.mode}; convert it")
    if image.mode != "L" and mode == "L" and not turn_grey:
        raise ValueError(f"{path}: is in colour, and the run learnt from grey images; turn it grey first")
    return size, None
