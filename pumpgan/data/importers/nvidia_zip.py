"""A data set of NVIDIA's stylegan2-ada-pytorch or stylegan3: a zip file, or a folder, of equal images in any folders.

dataset.json at its top may hold {"labels": [[name, class], ...]}, a class being a number from 0 on or a one-hot vector;
it becomes the image label. There are no masks. A zip is read in place, nothing is unpacked.
"""

import json
import lzma
import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image, ImageOps

from pumpgan.data.dataset import LabelClass, size_text, unreadable
from pumpgan.data.importers.parts import named_classes
from pumpgan.data.importers.photograph import Photograph, Pixels, Plan, noted

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".webp"))
FORMATS = ("PNG", "JPEG", "BMP", "WEBP")  # of what is in a file: others of Pillow's readers start programs
CLASSES = (LabelClass(0, "unlabelled", (128, 128, 128)),)
LABELS = "dataset.json"
MOST_BYTES = 2**28  # of one unpacked file: more than 8192 x 8192 pixels in colour take
MOST_CLASSES = 65_536
BROKEN = (OSError, ValueError, SyntaxError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)

Files = dict[str, Callable[[], IO[bytes]]]  # by path within the set, in order: how to open each


def plan_nvidia_zip(folder: Path, *, class_names: str | None = None) -> Plan:
    """The images of a zip file or a folder, called by their path in it: 00000/img00000007.png is 00000_img00000007.

    class_names: names of the classes 0, 1, 2, ..., joined by commas; None: their numbers.
    """
    faults: list[str] = []
    files = files_in_zip(folder, faults) if folder.is_file() else files_in_folder(folder)
    images = [name for name in files if os.path.splitext(name)[1].lower() in SUFFIXES]
    labels, classes = labels_of(folder, files, images, faults)
    if labels is None and class_names is not None:
        raise ValueError(f"class_names: {folder} has no labels whose classes could have names; leave it out")
    named = class_names_of(class_names, classes)
    photographs: dict[str, Photograph] = {}
    form: tuple[str, tuple[int, int]] | None = None
    for path in images:
        name = os.path.splitext(path)[0].replace("/", "_")
        if name in photographs:
            faults.append(f"{folder / path}: is called {name}, as another image is")
            continue
        with noted(faults):
            found = form_of(folder / path, files[path])
            form = form or found
            check_form(folder / path, found, form)
            label = None if labels is None else named[labels[path]] if path in labels else None
            read = partial(read_image, folder / path, files[path], form)
            photographs[name] = Photograph(name, read, label or "image", group=name, image_label=label)
    mode, _ = form or ("RGB", None)
    channels = 1 if mode == "L" else 3
    return Plan(CLASSES, channels, "none", 0, list(photographs.values()), named, faults)


def class_names_of(class_names: str | None, count: int) -> tuple[str, ...]:
    """The names of `count` classes or more, joined by commas in `class_names`; None: their numbers."""
    if class_names is None:
        return tuple(map(str, range(count)))
    named = tuple(c.name for c in named_classes(class_names))
    if len(named) < count:
        raise ValueError(f"class_names: must name {count} classes, got {len(named)}")
    return named


def files_in_folder(folder: Path) -> Files:
    """The files of a folder and those below it; hidden ones are passed over."""
    files: Files = {}
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        if path.is_file() and not hidden(inner.parts):
            files[inner.as_posix()] = partial(open_binary, path)
    return files


def open_binary(path: Path) -> IO[bytes]:
    return open(path, "rb")


def files_in_zip(path: Path, faults: list[str]) -> Files:
    """The files of a zip. Names that would leave its folder if it were unpacked, names given twice, and files that
    unpack to more than `MOST_BYTES`, are faults."""
    try:
        archive = zipfile.ZipFile(path)  # open as long as its files may be asked for
    except BROKEN as error:
        raise unreadable(path, error) from error
    files: Files = {}
    for info in sorted(archive.infolist(), key=lambda info: info.filename):
        parts = info.filename.split("/")
        drive = info.filename[1:2] == ":"
        if drive or parts[0] == "" or ".." in parts or set(info.orig_filename) & set("\\\0"):
            faults.append(f"{path}: holds {info.orig_filename!r}, a name that leads out of it; do not trust this file")
        elif info.is_dir() or hidden(parts):
            continue
        elif info.filename in files:
            faults.append(f"{path / info.filename}: is there twice")
        elif info.file_size > MOST_BYTES:
            faults.append(f"{path / info.filename}: unpacks to {info.file_size} bytes, at most {MOST_BYTES} are read")
        else:
            files[info.filename] = partial(archive.open, info)
    return files


def hidden(parts: Sequence[str]) -> bool:
    return any(part.startswith(".") for part in parts)


# Images ------------------------------------------------------------------------------------------------------


@contextmanager
def opened(path: Path, open_file: Callable[[], IO[bytes]]) -> Iterator[Image.Image]:
    """The image of a file, not decoded yet. What fails in the block is the file's fault: OSError with `path`."""
    try:
        with open_file() as file, Image.open(file, formats=FORMATS) as image:
            yield image
    except (*BROKEN, Image.DecompressionBombError) as error:
        raise unreadable(path, error) from error


def form_of(path: Path, open_file: Callable[[], IO[bytes]]) -> tuple[str, tuple[int, int]]:
    """Mode and (height, width) of an image, from its header."""
    with opened(path, open_file) as image:
        return image.mode, (image.height, image.width)


def check_form(path: Path, found: tuple[str, tuple[int, int]], form: tuple[str, tuple[int, int]]) -> None:
    if found[0] not in ("L", "RGB"):
        raise ValueError(f"{path}: must be an 8-bit image, grey or RGB, got mode {found[0]}")
    if found != form:
        texts = [f"{size_text(size)}, mode {mode}" for mode, size in (form, found)]
        raise ValueError(f"{path}: must be {texts[0]}, as the first image, got {texts[1]}")


def read_image(
    path: Path, open_file: Callable[[], IO[bytes]], form: tuple[str, tuple[int, int]]
) -> tuple[Pixels, Pixels | None]:
    """The pixels; no label. Raises OSError or ValueError, with the path, where the file is not right."""
    with opened(path, open_file) as image:
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
    check_form(path, (image.mode, (image.height, image.width)), form)
    return np.asarray(image), None


# Labels ------------------------------------------------------------------------------------------------------


def labels_of(
    folder: Path, files: Files, images: Sequence[str], faults: list[str]
) -> tuple[dict[str, int] | None, int]:
    """The class of each image, or None where the set has none, and how many classes there are.

    Raises OSError or ValueError where dataset.json cannot be read or is not of its form; what it says wrong of single
    images goes to `faults`.
    """
    if LABELS not in files:
        return None, 0
    path, pairs = folder / LABELS, read_pairs(folder / LABELS, files[LABELS])
    if pairs is None:
        return None, 0
    labels: dict[str, int] = {}
    lengths: Counter[int] = Counter()  # of the vectors; 0 for a number
    for pair in pairs:
        with noted(faults):
            name, value, length = read_pair(path, pair)
            lengths[length] += 1
            if name in labels:
                faults.append(f"{path}: labels {name} twice")
            elif name not in files:
                faults.append(f"{path}: labels {name}, which is not there")
            labels[name] = value
    if len(lengths) > 1:
        faults.append(f"{path}: labels must all be numbers, or vectors of one length, got {len(lengths)} kinds")
    faults += [f"{folder / name}: has no label in {LABELS}, others have" for name in images if name not in labels]
    return labels, max(max(labels.values(), default=-1) + 1, *lengths, 0)


def read_pairs(path: Path, open_file: Callable[[], IO[bytes]]) -> list[Any] | None:
    """What dataset.json says of labels."""
    try:
        with open_file() as file:
            content = json.loads(file.read(MOST_BYTES))
    except BROKEN as error:  # RecursionError is a RuntimeError
        raise ValueError(f"{path}: cannot be read as JSON ({error})") from error
    pairs = content.get("labels") if isinstance(content, dict) else content
    if not isinstance(content, dict) or not isinstance(pairs, (list, type(None))):
        raise ValueError(f'{path}: must hold {{"labels": [[name, class], ...]}} or {{"labels": null}}')
    return pairs


def read_pair(path: Path, pair: Any) -> tuple[str, int, int]:
    """Name, class, and the vector's length (0 for a number) of one entry of `labels`."""
    if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str):
        raise ValueError(f"{path}: a label must be [name, class], got {str(pair)[:60]}")
    name, label = pair
    if type(label) is int and 0 <= label < MOST_CLASSES:
        return name.replace("\\", "/"), label, 0
    if isinstance(label, list) and all(type(v) in (int, float) for v in label) and len(label) <= MOST_CLASSES:
        if sorted(label)[-1:] == [1] and label.count(0) == len(label) - 1:
            return name.replace("\\", "/"), label.index(1), len(label)
        raise ValueError(f"{path}: the label of {name} must be a class; vectors are read only if one-hot")
    raise ValueError(
        f"{path}: the label of {name} must be a number from 0 on or a one-hot vector, got {str(label)[:60]}"
    )
