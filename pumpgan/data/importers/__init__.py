"""Making a dataset from what others made: one file per source layout, and the way from its photographs to a folder.

A new source is a file with a function that returns a `Plan`, and an entry in IMPORTERS. Its keyword arguments are the
options it understands; those below it need not know of.
"""

import difflib
import inspect
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from pumpgan.data.dataset import Dataset, Entry, raise_faults
from pumpgan.data.importers.celebamask_hq import plan_celebamask_hq
from pumpgan.data.importers.crops import Box, boxes, cut, draws_until, resize, whole
from pumpgan.data.importers.label_maps import plan_label_maps
from pumpgan.data.importers.magnetic_tile import plan_magnetic_tile
from pumpgan.data.importers.photograph import Photograph, Pixels, Plan, fit_label
from pumpgan.data.importers.synthetic import plan_synthetic_face
from pumpgan.data.splits import rarest_kinds, split_groups
from pumpgan.data.writer import DatasetWriter, check_new

IMPORTERS: dict[str, Callable[..., Plan]] = {
    "label-maps": plan_label_maps,
    "celebamask-hq": plan_celebamask_hq,
    "magnetic-tile": plan_magnetic_tile,
    "synthetic-face": plan_synthetic_face,
}
READS_NOTHING = frozenset(("synthetic-face",))

Drawn = list[tuple[Entry, Pixels, Pixels | None]]


def option(about: str, default: Any = None, choices: Sequence[str] = ()) -> Any:
    return field(default=default, metadata={"help": about, "choices": choices})


@dataclass(frozen=True)
class ImportOptions:
    """What an import can be told; None leaves it to the source. A source refuses what it has no use for."""

    resolution: int | None = option("Pixels a side of the images written (faces 64, parts 128).")
    count: int | None = option("Photographs to take, drawn by seed, or faces to draw (2000).")
    seed: int = option("Seed of the crops, of the drawn faces and of --count.", 0)
    patches: int = option("Random crops a photograph; 0 takes the whole of it.", 0)
    crop: int = option("Side of a crop, in the photograph's pixels.", 256)
    with_defect: int = option("Draw on, keeping only crops with a defect, until train has this many.", 0)
    mask_threshold: int | None = option("A mask's pixel is a defect if brighter than this (127).")
    no_mask: str | None = option("What an image without mask is; else it is refused.", choices=("good", "unlabelled"))
    classes: str | None = option("One class of defects, or one a kind (merged).", choices=("merged", "kinds"))

    def __post_init__(self):
        for name, low, high in (
            ("resolution", 1, 8192),
            ("count", 1, None),
            ("seed", 0, None),
            ("patches", 0, None),
            ("crop", 1, None),
            ("with_defect", 0, None),
            ("mask_threshold", 0, 254),
        ):
            value = getattr(self, name)
            if value is not None and (value < low or (high is not None and value > high)):
                raise ValueError(f"{name}: must be {low} {f'to {high}' if high else 'or more'}, got {value}")
        for f in fields(self):
            choices, value = f.metadata["choices"], getattr(self, f.name)
            if choices and value not in (None, *choices):
                raise ValueError(f"{f.name}: must be {' or '.join(choices)}, got {value!r}")

    def given(self) -> dict[str, Any]:
        """The options that differ from their defaults."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}


def import_dataset(source: str, out: str | Path, folder: str | Path | None = None, **options: Any) -> Dataset:
    """Makes a dataset at `out` (absent or empty) from `folder`, which holds the layout of `source`.

    options: the fields of `ImportOptions`. All faults of the source are found and the first five reported together
    before anything appears at `out`. The same source and options give the same files, however many workers.

    Raises ValueError or OSError: an unknown source or option, a faulty source, a folder in the way, a full disk.
    """
    out, importer, chosen = Path(out), importer_of(source), ImportOptions(**options)
    check_new(out)
    if folder is None and source not in READS_NOTHING:
        raise ValueError(f"from: {source} needs the folder to read")
    folder = None if folder is None else Path(folder)
    if folder is not None and not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    plan = importer(folder, **own_options(source, importer, chosen))
    splits = split_groups(rarest_kinds((p.group, p.kind) for p in plan.photographs))
    photographs, faults = plan.photographs, list(plan.faults)
    if not photographs and not faults:
        raise ValueError(f"{folder}: holds no images of the layout {source}")
    if chosen.count is not None and source not in READS_NOTHING and not faults:
        photographs = draw_photographs(photographs, chosen.count, chosen.seed)
    extra: dict[str, list[int]] = {}
    if chosen.with_defect:
        extra, more = draws_until(
            [p for p in photographs if splits[p.group] == "train"],
            patches=chosen.patches,
            crop=chosen.crop,
            seed=chosen.seed,
            with_defect=chosen.with_defect,
        )
        raise_faults(str(folder), faults + more)
    side = chosen.resolution or plan.resolution
    with DatasetWriter(
        out,
        name=source,
        classes=plan.classes,
        size=(side, side),
        channels=plan.channels,
        flips=plan.flips,
        image_labels=plan.image_labels,
        source={
            "importer": source,
            "folder": None if folder is None else str(folder.resolve()),
            "options": chosen.given(),
        },
    ) as writer:

        def draw(photograph: Photograph) -> Drawn:
            split, kept = splits[photograph.group], extra.get(photograph.name, [])
            return list(images_of(photograph, plan, chosen, side, split, kept))

        for photograph, future in in_order(draw, photographs):
            try:
                drawn = future.result()
            except (OSError, ValueError) as error:
                text = str(error)
                faults.append(text if folder is None or str(folder) in text else f"{photograph.name}: {text}")
                continue
            if not faults:
                for entry, image, label in drawn:
                    writer.add(entry, image, label)
        raise_faults(str(folder or source), faults)
    return Dataset.open(out)


def importer_of(source: str) -> Callable[..., Plan]:
    """The importer called `source`. Raises ValueError, with the nearest name, where there is none."""
    if source not in IMPORTERS:
        nearest = difflib.get_close_matches(source, IMPORTERS, n=1)
        suggestion = f"did you mean {nearest[0]}? " if nearest else ""
        raise ValueError(f"source: no {source!r}; {suggestion}known are {', '.join(IMPORTERS)}")
    return IMPORTERS[source]


def own_options(source: str, importer: Callable[..., Plan], chosen: ImportOptions) -> dict[str, Any]:
    """The given options that the importer understands. Raises ValueError where one is given that nothing would use."""
    understood = inspect.signature(importer).parameters
    given = chosen.given()
    for name in ("mask_threshold", "no_mask", "classes"):
        if name in given and name not in understood:
            raise ValueError(f"{name}: {source} has no use for it; leave it out")
    if "crop" in given and not chosen.patches and not chosen.with_defect:
        raise ValueError("crop: without patches photographs are taken whole; give patches or with_defect too")
    return {name: value for name, value in given.items() if name in understood}


def draw_photographs(photographs: Sequence[Photograph], count: int, seed: int) -> list[Photograph]:
    """`count` of the photographs, drawn by `seed`, in their own order."""
    if count > len(photographs):
        raise ValueError(f"count: must be at most {len(photographs)}, the photographs there are, got {count}")
    order = np.random.Generator(np.random.PCG64([seed, len(photographs)])).permutation(len(photographs))
    return [photographs[i] for i in sorted(order[:count].tolist())]


def images_of(
    photograph: Photograph, plan: Plan, chosen: ImportOptions, side: int, split: str, kept: Sequence[int]
) -> Iterator[tuple[Entry, Pixels, Pixels | None]]:
    """The dataset images that one photograph gives: itself, or crops of it."""
    image, label = photograph.read()
    height, width = image.shape[:2]

    def entry(name: str, box: Box, image_label: str | None, pixels: Pixels) -> Entry:
        return Entry(
            name,
            split,
            (photograph.name,),
            photograph.group,
            photograph.kind,
            image_label,
            box,
            brightness=round(float(pixels.mean()), 3),
        )

    if not chosen.patches and not chosen.with_defect:
        image_label = photograph.image_label or image_label_of(plan, label)
        whole_image, whole_label = whole(image, label, side)
        yield entry(photograph.name, (0, 0, width, height), image_label, image), whole_image, whole_label
        return
    label = None if label is None else fit_label(label, (height, width))
    wanted = {*range(chosen.patches), *kept}
    drawn = boxes(photograph.name, chosen.seed, (height, width), chosen.crop)
    for number, box in enumerate(itertools.islice(drawn, max(wanted, default=-1) + 1)):
        if number not in wanted:
            continue
        crop, ids = cut(image, box), None if label is None else cut(label, box)
        yield (
            entry(f"{photograph.name}_{number:03d}", box, image_label_of(plan, ids), crop),
            resize(crop, side, Image.Resampling.LANCZOS),
            None if ids is None else resize(ids, side, Image.Resampling.NEAREST),
        )


def image_label_of(plan: Plan, label: Pixels | None) -> str | None:
    """What the pixels say before they are resized: small defects do not outlive it."""
    if label is None or not plan.image_labels:
        return None
    return plan.image_labels[1 if label.any() else 0]


def in_order(
    work: Callable[[Photograph], Drawn], photographs: Sequence[Photograph]
) -> Iterator[tuple[Photograph, Future[Drawn]]]:
    """Does the work in threads, a few photographs ahead, and hands out the finished futures in order, with a bar."""
    workers = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers, "import") as threads, tqdm(total=len(photographs), disable=None) as bar:
        queue = iter(photographs)
        ahead = [(p, threads.submit(work, p)) for p in itertools.islice(queue, 2 * workers)]
        while ahead:
            photograph, future = ahead.pop(0)
            future.exception()  # waits
            ahead += [(p, threads.submit(work, p)) for p in itertools.islice(queue, 1)]
            bar.update()
            yield photograph, future
