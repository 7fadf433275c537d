"""DeepPCB (Tang et al., arXiv:1902.06197): pairs of a scanned tile and its flawless template, a box around each defect.

PCBData/groupG/G/ID_test.jpg and ID_temp.jpg, and G_not/ID.txt with a line `x1 y1 x2 y2 type` a box. There are no masks:
a defect is where the two differ, inside the boxes only (outside them conductor edges differ too).
"""

from functools import partial
from pathlib import Path

import numpy as np

from pumpgan.data.dataset import PART_IMAGE_LABELS, size_text
from pumpgan.data.importers.parts import PART_RESOLUTION, part_classes
from pumpgan.data.importers.photograph import Photograph, Pixels, Plan, image_size, noted, read_grey

KINDS = ("open", "short", "mousebite", "spur", "copper", "pin-hole")  # types 1 to 6
BLACK_OR_WHITE = 127

Boxes = list[tuple[int, int, int, int, int]]  # x1, y1, x2, y2, type


def plan_deeppcb(folder: Path, *, classes: str = "merged") -> Plan:
    """The tiles with their defects, and the templates as good ones; always grey. A board's folder is a group."""
    if not (folder / "PCBData").is_dir():
        raise FileNotFoundError(f"{folder / 'PCBData'}: no such folder; --from must hold it")
    label_classes, ids = part_classes(KINDS, classes)
    ids_by_type = [0, *(ids[kind] for kind in KINDS)]
    faults: list[str] = []
    photographs = []
    for board in sorted((folder / "PCBData").glob("group*")):
        number = board.name.removeprefix("group")
        tiles, templates = (
            {path.stem.removesuffix(ending): path for path in sorted((board / number).glob(f"*{ending}.jpg"))}
            for ending in ("_test", "_temp")
        )
        for these, those, ending in ((tiles, templates, "_temp"), (templates, tiles, "_test")):
            faults += [
                f"{path}: has no {stem}{ending}.jpg beside it" for stem, path in these.items() if stem not in those
            ]
        for stem in [stem for stem in tiles if stem in templates]:
            test, template, listed = tiles[stem], templates[stem], board / f"{number}_not" / f"{stem}.txt"
            with noted(faults):
                size = image_size(test)
                if image_size(template) != size:
                    raise ValueError(f"{template}: must be as large as {test.name}")
                read = partial(read_tile, test, template, read_boxes(listed, size), ids_by_type)
                photographs.append(
                    Photograph(
                        f"{stem}_test", read, "defect", board.name, image_label="defect", template=f"{stem}_temp"
                    )
                )
                read = partial(read_tile, template, template, [], ids_by_type)
                photographs.append(Photograph(f"{stem}_temp", read, "good", board.name, image_label="good"))
    return Plan(label_classes, 1, "hv", PART_RESOLUTION, photographs, PART_IMAGE_LABELS, faults)


def read_boxes(path: Path, size: tuple[int, int]) -> Boxes:
    """The boxes of a tile of that size (height, width). Raises OSError or ValueError, with path and line, where one is
    not right."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; it lists the defects of a tile")
    boxes = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        fields = line.split()
        if len(fields) != 5 or not all(f.isdecimal() for f in fields) or not 1 <= int(fields[4]) <= len(KINDS):
            raise ValueError(f"{path}: line {number} must be x1 y1 x2 y2 type with a type of 1 to 6, got {line!r}")
        left, top, right, bottom, kind = map(int, fields)
        if not (left < right <= size[1] and top < bottom <= size[0]):
            raise ValueError(f"{path}: line {number}: the box must lie in the tile, {size_text(size)}, got {line!r}")
        boxes.append((left, top, right, bottom, kind))
    if not boxes:
        raise ValueError(f"{path}: lists no defect")
    return boxes


def read_tile(path: Path, template: Path, boxes: Boxes, ids_by_type: list[int]) -> tuple[Pixels, Pixels]:
    """The tile in grey (a few files are RGB), and the ids of what differs from the template inside each box."""
    image, flawless = (read_grey(p) for p in (path, template))
    differs = (image > BLACK_OR_WHITE) != (flawless > BLACK_OR_WHITE)
    label = np.zeros(image.shape, np.uint8)
    for left, top, right, bottom, kind in boxes:
        inside = np.s_[top:bottom, left:right]
        label[inside][differs[inside]] = ids_by_type[kind]
    return image, label
