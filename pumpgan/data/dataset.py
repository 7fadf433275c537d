"""The dataset folder: what stands in it, and how it is read.

    dataset.json        what the set is: classes, size, channels, flips, where it came from
    images.jsonl        one line an image: its name, split, photographs, group, kind, image label, box, ...
    images/NAME.png     8-bit, mode RGB or L
    labels/NAME.png     8-bit palette, pixel = class id; absent for an unlabelled image
    samples.jsonl       of a generated set alone: how each sample was judged, kept or not

`writer.DatasetWriter` makes one, `check.check` names its faults, `packed.pack` turns it into arrays to train on.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pumpgan.data.names import suggestion

FORMAT = 1
SPLITS = ("train", "test")
FLIPS = ("none", "h", "hv")
METADATA = ("name", "classes", "size", "channels", "flips", "image_labels", "statistics", "source", "generator")


@dataclass(frozen=True)
class LabelClass:
    """A class of pixels: the id that its pixels hold (0 to 255), its name, and the colour it is shown in."""

    id: int
    name: str
    colour: tuple[int, int, int]


FACE_CLASSES = (
    LabelClass(0, "background", (0, 0, 0)),
    LabelClass(1, "skin", (236, 176, 138)),
    LabelClass(2, "nose", (204, 84, 62)),
    LabelClass(3, "eyes", (58, 134, 255)),
    LabelClass(4, "eyebrows", (121, 85, 30)),
    LabelClass(5, "ears", (255, 112, 166)),
    LabelClass(6, "mouth", (214, 20, 60)),
    LabelClass(7, "hair", (72, 61, 139)),
    LabelClass(8, "hat", (34, 160, 90)),
    LabelClass(9, "eyeglass", (0, 214, 224)),
    LabelClass(10, "earring", (255, 214, 10)),
)
PART_CLASSES = (LabelClass(0, "good", (38, 50, 66)), LabelClass(1, "defect", (255, 77, 46)))
PART_IMAGE_LABELS = ("good", "defect")


@dataclass(frozen=True)
class Entry:
    """An image of a dataset: one line of images.jsonl.

    photographs: what it was cut from; empty where it was drawn by a model. They decide the split, so no photograph
        serves both.
    group: photographs of one object share it and stay in one split; None where it was drawn.
    kind: the source's own class of the image (a defect's kind), or None.
    image_label: one of the dataset's image labels, or None: then pixels decide.
    box: (left, top, right, bottom) of the image in its photograph, in the photograph's pixels.
    shift: (down, right) of the photograph against its reference, in its pixels, where it was registered.
    donor, destination: for a pasted image, the image whose defect and the photograph whose ground it shows.
    brightness: mean of its pixels before resizing, 0 to 255.
    """

    name: str
    split: str
    photographs: tuple[str, ...] = ()
    group: str | None = None
    kind: str | None = None
    image_label: str | None = None
    box: tuple[int, int, int, int] | None = None
    shift: tuple[float, float] | None = None
    donor: str | None = None
    destination: str | None = None
    brightness: float | None = None

    def __post_init__(self):
        if (
            not isinstance(self.name, str)
            or not self.name
            or self.name.startswith(".")
            or set(self.name) & set("/\\\0")
        ):
            raise ValueError(f"name: must be a file's name without folder and leading dot, got {self.name!r}")
        if self.split not in SPLITS:
            raise ValueError(f"split: must be train or test, got {self.split!r}")
        for name, items, of in (("photographs", None, str), ("box", 4, int), ("shift", 2, (int, float))):
            value = getattr(self, name)
            if value is None and items is not None:
                continue
            right = isinstance(value, (list, tuple)) and all(isinstance(v, of) for v in value)
            if not right or items not in (None, len(value)):
                raise ValueError(f"{name}: must be a list of {items or 'names'}, got {value!r}")
            object.__setattr__(self, name, tuple(value))
        for name in ("group", "kind", "image_label", "donor", "destination"):
            if not isinstance(getattr(self, name), (str, type(None))):
                raise ValueError(f"{name}: must be a text or null, got {getattr(self, name)!r}")
        if self.brightness is not None and not isinstance(self.brightness, (int, float)):
            raise ValueError(f"brightness: must be a number or null, got {self.brightness!r}")

    def to_json(self) -> str:
        return json.dumps(vars(self), ensure_ascii=False, allow_nan=False)

    @staticmethod
    def from_json(line: str) -> "Entry":
        values = json.loads(line)
        if not isinstance(values, dict):
            raise ValueError(f"must be an object, got {line[:40]!r}")
        unknown = values.keys() - {f.name for f in fields(Entry)}
        if unknown or not {"name", "split"} <= values.keys():
            raise ValueError(f"must have name and split and no {', '.join(sorted(unknown)) or 'other keys'}")
        return Entry(**values)


@dataclass(frozen=True)
class Dataset:
    """An opened dataset folder: its metadata and the entries of its images. Pixels are read when asked for.

    size: (height, width) of every image.
    flips: which mirrorings leave an image plausible: none, h (left-right) or hv (both axes).
    image_labels: the names that an entry's image_label may take, the unremarkable one first; empty without any.
    statistics: per split, how many images there are, how many are labelled, and in how many each class is present.
    source: importer, folder and options that made it. generator: run, checkpoint and seed, for a generated set.
    """

    path: Path
    name: str
    classes: tuple[LabelClass, ...]
    size: tuple[int, int]
    channels: int
    flips: str
    image_labels: tuple[str, ...] = ()
    statistics: dict[str, Any] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)
    generator: dict[str, Any] | None = None
    entries: tuple[Entry, ...] = ()

    def __post_init__(self):
        check_metadata(self.classes, self.size, self.channels, self.flips)

    @staticmethod
    def open(path: str | Path) -> "Dataset":
        """Reads a dataset's two JSON files.

        Raises OSError where they are not there or cannot be read, ValueError where they do not hold a dataset.
        """
        path = Path(path)
        try:
            metadata = json.loads((path / "dataset.json").read_text("utf-8"))
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{path}: not a dataset (no dataset.json in it); `pumpgan data import` makes one"
            ) from None
        except ValueError as error:
            raise ValueError(f"{path / 'dataset.json'}: not JSON: {error}") from error
        if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
            found = metadata.get("format") if isinstance(metadata, dict) else metadata
            raise ValueError(f"{path / 'dataset.json'}: format must be {FORMAT}, got {found!r}")
        try:
            values = {key: metadata[key] for key in METADATA}
            values["classes"] = tuple(LabelClass(c["id"], c["name"], tuple(c["colour"])) for c in values["classes"])
            values["size"], values["image_labels"] = tuple(values["size"]), tuple(values["image_labels"])
            return Dataset(path, **values, entries=read_entries(path / "images.jsonl"))
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path / 'dataset.json'}: lacks or misuses {error}") from error

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.classes)

    def class_id(self, name: str) -> int:
        """The id of the class called `name`. Raises ValueError, with the nearest name, where there is none."""
        return class_id(self.classes, name)

    def split(self, name: str) -> list[Entry]:
        """The entries of a split, in the order of images.jsonl."""
        if name not in SPLITS:
            raise ValueError(f"split: must be train or test, got {name!r}")
        return [entry for entry in self.entries if entry.split == name]

    def derived(self, maker: str, options: dict[str, Any]) -> dict[str, Any]:
        """What a dataset that `maker` makes of this one says of itself: all as here, and how it was made."""
        return dict(
            name=self.name,
            classes=self.classes,
            size=self.size,
            channels=self.channels,
            flips=self.flips,
            image_labels=self.image_labels,
            source={
                "importer": maker,
                "folder": str(self.path.resolve()),
                "options": {name: value for name, value in options.items() if value is not None},
                "of": self.source,
            },
        )

    def image_path(self, entry: Entry) -> Path:
        return self.path / "images" / f"{entry.name}.png"

    def label_path(self, entry: Entry) -> Path:
        return self.path / "labels" / f"{entry.name}.png"

    def image(self, entry: Entry) -> NDArray[np.uint8]:
        """The image, uint8 [H, W] or [H, W, 3]. Raises OSError or ValueError, with its path, where it is not right."""
        path = self.image_path(entry)
        image = read_image(path, "L" if self.channels == 1 else "RGB")
        if image.shape[:2] != tuple(self.size):
            raise ValueError(f"{path}: must be {size_text(self.size)}, got {size_text(image.shape)}")
        return image

    def label(self, entry: Entry) -> NDArray[np.uint8] | None:
        """The class ids, uint8 [H, W], or None where the image is unlabelled. Raises as `image` does."""
        path = self.label_path(entry)
        if not path.exists():
            return None
        label = read_label(path, len(self.classes))
        if label.shape != tuple(self.size):
            raise ValueError(f"{path}: must be {size_text(self.size)}, got {size_text(label.shape)}")
        return label


def read_entries(path: Path) -> tuple[Entry, ...]:
    """The entries of an images.jsonl. Raises ValueError with the first five faulty lines together."""
    entries: list[Entry] = []
    faults = []
    with path.open(encoding="utf-8") as lines:  # str.splitlines would also split at what a name may hold, as U+2028
        for number, line in enumerate(lines, 1):
            try:
                entries.append(Entry.from_json(line))
            except ValueError as error:
                faults.append(f"line {number}: {error}")
    raise_faults(str(path), faults)
    return tuple(entries)


def class_id(classes: Sequence[LabelClass], name: str) -> int:
    for c in classes:
        if c.name == name:
            return c.id
    names = [c.name for c in classes]
    raise ValueError(f"no class {name!r}; the classes are {', '.join(names)}{suggestion(name, names)}")


def check_metadata(classes: Sequence[LabelClass], size: Sequence[int], channels: int, flips: str) -> None:
    """Raises ValueError unless these can describe a dataset."""
    if [c.id for c in classes] != list(range(len(classes))) or not 1 <= len(classes) <= 256:
        raise ValueError(f"classes: ids must be 0, 1, 2, ... in order, at most 256, got {[c.id for c in classes]}")
    if len({c.name for c in classes}) != len(classes):
        raise ValueError(f"classes: names must differ, got {', '.join(c.name for c in classes)}")
    for c in classes:
        if len(c.colour) != 3 or not all(isinstance(v, int) and 0 <= v <= 255 for v in c.colour):
            raise ValueError(f"classes: a colour must be three numbers of 0 to 255, got {c.colour} for {c.name}")
    if len(size) != 2 or not all(isinstance(side, int) and side > 0 for side in size):
        raise ValueError(f"size: must be height and width in pixels, got {size!r}")
    if channels not in (1, 3):
        raise ValueError(f"channels: must be 1 or 3, got {channels!r}")
    if flips not in FLIPS:
        raise ValueError(f"flips: must be none, h or hv, got {flips!r}")


# Reading one file --------------------------------------------------------------------------------------------


def open_image(path: Path) -> Image.Image:
    """The decoded file, upright. Raises OSError, with the path, where it is missing, broken, cut short or huge."""
    try:
        with Image.open(path) as image:
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> OSError:
    """What to say of an image file that Pillow gave this error for."""
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(f"{path}: no such file")
    if isinstance(error, Image.DecompressionBombError):
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6  # Pillow refuses twice its limit
        return OSError(f"{path}: has more than {most} million pixels; make it smaller, or cut it up, first")
    reason = str(error).replace(f" {str(path)!r}", "")
    return OSError(f"{path}: cannot be read ({reason}); copy it again from where it came")


def read_image(path: Path, mode: str) -> NDArray[np.uint8]:
    """An image file's pixels: uint8 [H, W] for mode L, [H, W, 3] for mode RGB. Grey files become RGB when asked."""
    image = open_image(path)
    if image.mode == "P":
        image = image.convert("RGB")
    if image.mode not in ("RGB", "L") or (image.mode, mode) == ("RGB", "L"):
        raise ValueError(f"{path}: must be an 8-bit image of mode {mode}, got mode {image.mode}")
    return np.asarray(image if image.mode == mode else image.convert(mode))


def read_label(path: Path, class_count: int) -> NDArray[np.uint8]:
    """A mask file's class ids, uint8 [H, W]. Raises ValueError where its pixels are colours, or ids not below
    `class_count`."""
    image = open_image(path)
    if image.mode not in ("P", "L"):
        raise ValueError(
            f"{path}: a mask must hold class ids (mode P or L), got mode {image.mode}; save it as an index PNG"
        )
    label = np.asarray(image)
    if label.max(initial=0) >= class_count:
        unknown = np.unique(label[label >= class_count])
        listed = ", ".join(map(str, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
        raise ValueError(f"{path}: class id {listed} is unknown; ids are 0 to {class_count - 1}")
    return label


def size_text(shape: Sequence[int]) -> str:
    """A shape [H, W, ...] as people write it: width x height."""
    return f"{shape[1]}x{shape[0]} (width x height)"


def raise_faults(where: str, faults: Sequence[str]) -> None:
    """Raises one ValueError that lists the first five faults and says how many there are; nothing without any."""
    if len(faults) == 1:
        raise ValueError(faults[0] if faults[0].startswith(where) else f"{where}: {faults[0]}")
    if faults:
        listed = "".join(f"\n  {fault}" for fault in faults[:5])
        more = f"\n  and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise ValueError(f"{where}: {len(faults)} faults:{listed}{more}")
