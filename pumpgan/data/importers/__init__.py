"""Making a dataset from what others made: one file per source layout, and the way from its photographs to a folder.

A new source is a file with a function that returns a `Plan`, and an entry in IMPORTERS. Its keyword arguments are the
options it understands; those below it need not know of.
"""

import inspect
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from tqdm import tqdm

from pumpgan.data.dataset import Dataset, Entry, raise_faults
from pumpgan.data.importers.celebamask_hq import plan_celebamask_hq
from pumpgan.data.importers.crops import Cut, area_of, cut_crops, cut_whole, draws_beyond, draws_until
from pumpgan.data.importers.deeppcb import plan_deeppcb
from pumpgan.data.importers.full_photographs import full_photographs
from pumpgan.data.importers.label_maps import plan_label_maps
from pumpgan.data.importers.magnetic_tile import plan_magnetic_tile
from pumpgan.data.importers.mvtec import plan_mvtec
from pumpgan.data.importers.nvidia_zip import plan_nvidia_zip
from pumpgan.data.importers.photograph import Photograph, Pixels, Plan
from pumpgan.data.importers.pump import plan_pump
from pumpgan.data.importers.synthetic import plan_synthetic_face, plan_synthetic_pump
from pumpgan.data.names import suggestion
from pumpgan.data.registration import Reference
from pumpgan.data.splits import rarest_kinds, split_groups
from pumpgan.data.writer import DatasetWriter, check_new

IMPORTERS: dict[str, Callable[..., Plan]] = {
    "pump": plan_pump,
    "mvtec": plan_mvtec,
    "magnetic-tile": plan_magnetic_tile,
    "deeppcb": plan_deeppcb,
    "label-maps": plan_label_maps,
    "celebamask-hq": plan_celebamask_hq,
    "nvidia-zip": plan_nvidia_zip,
    "synthetic-face": plan_synthetic_face,
    "synthetic-pump": plan_synthetic_pump,
}
READS_NOTHING = frozenset(("synthetic-face", "synthetic-pump"))
READS_FILES = frozenset(("nvidia-zip",))  # a single file in place of a folder

Drawn = list[tuple[Entry, Pixels, Pixels | None]]
Result = TypeVar("Result")


def option(about: str, default: Any = None, choices: Sequence[str] = ()) -> Any:
    return field(default=default, metadata={"help": about, "choices": choices})


@dataclass(frozen=True)
class ImportOptions:
    """What an import can be told; None leaves it to the source. A source refuses what it has no use for."""

    resolution: int | None = option(
        "Pixels a side of the images written; 0: whole photographs as they are (faces 64, parts 128, nvidia-zip 0)."
    )
    count: int | None = option("Photographs to take, drawn by seed; or to draw: faces (2000), pumps (200).")
    seed: int = option("Seed of the crops, of what is drawn and of --count.", 0)
    patches: int | None = option(
        "Random crops a photograph, none twice; 0 takes the whole of it (0; pump, synthetic-pump: 64)."
    )
    crop: int = option("Side of a crop, in the photograph's pixels.", 256)
    with_defect: int = option(
        "Draw on, keeping only crops with a defect (resizing may lose it), until train has this many.", 0
    )
    mask_threshold: int | None = option("A mask's pixel is a defect if brighter than this (127).")
    no_mask: str | None = option("What an image without mask is; else it is refused.", choices=("good", "unlabelled"))
    classes: str | None = option("One class of defects, or one a kind (merged).", choices=("merged", "kinds"))
    class_names: str | None = option("Names of a label map's ids (CelebAMask-HQ's) or classes from 0 on, as good,dent.")

    def __post_init__(self):
        for name, low, high in (
            ("resolution", 0, 8192),
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


def import_dataset(
    source: str,
    out: str | Path,
    folder: str | Path | None = None,
    photographs: str | Path | None = None,
    **options: Any,
) -> Dataset:
    """Makes a dataset at `out` (absent or empty) from `folder`, which holds the layout of `source`.

    photographs: where a source that reads nothing also writes its photographs in full (absent or empty).
    options: the fields of `ImportOptions`. All faults of the source are found and the first five reported together
    before anything appears at `out`. The same source and options give the same files, however many workers.

    Raises ValueError or OSError: an unknown source or option, a faulty source, a folder in the way, a full disk.
    """
    out, importer, chosen = Path(out), importer_of(source), ImportOptions(**options)
    check_new(out)
    if folder is None and source not in READS_NOTHING:
        raise ValueError(f"from: {source} needs the folder to read")
    kept = None if photographs is None else Path(photographs)
    if kept is not None:
        check_apart(source, out, kept)
    folder = None if folder is None else Path(folder)
    if folder is not None and not is_there(source, folder):
        raise FileNotFoundError(f"{folder}: no such folder")
    plan = importer(folder, **own_options(source, importer, chosen))
    patches = plan.patches if chosen.patches is None else chosen.patches
    if "crop" in chosen.given() and not patches and not chosen.with_defect:
        raise ValueError("crop: without patches photographs are taken whole; give patches or with_defect too")
    splits = split_groups(rarest_kinds((p.group, p.kind) for p in plan.photographs))
    taken, faults = plan.photographs, list(plan.faults)
    if not taken and not faults:
        raise ValueError(f"{folder}: holds no images of the layout {source}")
    if chosen.count is not None and source not in READS_NOTHING and not faults:
        taken = draw_photographs(taken, chosen.count, chosen.seed)
    extra: dict[str, list[int]] = {}
    if chosen.with_defect:
        extra, more = extra_draws([p for p in taken if splits[p.group] == "train"], patches, chosen)
        raise_faults(str(folder or source), faults + more)
    side = plan.resolution if chosen.resolution is None else chosen.resolution
    if not side and (patches or chosen.with_defect):
        raise ValueError("resolution: 0 keeps the size of whole photographs; crops want a number of pixels")
    size = (side, side) if side else whole_size(taken)
    reference = None if plan.reference is None or faults else Reference(plan.reference())
    keeping = full_photographs(kept, plan)
    writing = DatasetWriter(
        out,
        name=source,
        classes=plan.classes,
        size=size,
        channels=plan.channels,
        flips=plan.flips,
        image_labels=plan.image_labels,
        source={
            "importer": source,
            "folder": None if folder is None else str(folder.resolve()),
            "options": chosen.given(),
        },
    )
    with keeping as keep, writing as writer:

        def draw(photograph: Photograph) -> Drawn:
            image, label = photograph.read()
            keep(photograph.name, image, label)
            if patches or chosen.with_defect:
                wanted = {*range(patches), *extra.get(photograph.name, [])}
                cuts = list(cut_crops(photograph, image, label, side, chosen.crop, chosen.seed, wanted))
            else:
                cuts = [cut_whole(photograph, image, label, size, as_it_is=not side)]
            shift = None if reference is None else reference.shift(image)
            return [(entry_of(plan, photograph, splits[photograph.group], c, shift), c.image, c.label) for c in cuts]

        for photograph, future in in_order(draw, taken):
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


def whole_size(photographs: Sequence[Photograph]) -> tuple[int, int]:
    """(height, width) of what may be used of the first photograph; of one that cannot be read, what no one needs."""
    for photograph in photographs[:1]:
        with suppress(OSError, ValueError):  # a fault that is told with those of the others
            left, top, right, bottom = area_of(photograph, photograph.read()[0])
            return bottom - top, right - left
    return 1, 1


def is_there(source: str, folder: Path) -> bool:
    """Whether what `source` reads can be at `folder`."""
    return folder.is_dir() or (source in READS_FILES and folder.is_file())


def check_apart(source: str, out: Path, photographs: Path) -> None:
    """Raises ValueError or OSError unless photographs of `source` can be written there, beside a dataset at `out`."""
    if source not in READS_NOTHING:
        raise ValueError(f"photographs: {source} reads photographs, they need no second copy; leave it out")
    first, second = out.resolve(), photographs.resolve()
    if first.is_relative_to(second) or second.is_relative_to(first):
        raise ValueError(f"photographs: must be another folder than the dataset's, and not in it, got {photographs}")
    check_new(photographs)


def importer_of(source: str) -> Callable[..., Plan]:
    """The importer called `source`. Raises ValueError, with the nearest name, where there is none."""
    if source not in IMPORTERS:
        raise ValueError(f"source: no {source!r}, known are {', '.join(IMPORTERS)}{suggestion(source, IMPORTERS)}")
    return IMPORTERS[source]


def layout_of(source: str) -> str:
    """What the folder of a source holds, as its importer says of itself; of a drawn one, what is drawn."""
    importer = importer_of(source)
    return inspect.getdoc(importer if source in READS_NOTHING else inspect.getmodule(importer)) or ""


def own_options(source: str, importer: Callable[..., Plan], chosen: ImportOptions) -> dict[str, Any]:
    """The given options that the importer understands. Raises ValueError where one is given that nothing would use."""
    understood = inspect.signature(importer).parameters
    given = chosen.given()
    for name in ("mask_threshold", "no_mask", "classes", "class_names"):
        if name in given and name not in understood:
            raise ValueError(f"{name}: {source} has no use for it; leave it out")
    return {name: value for name, value in given.items() if name in understood}


def draw_photographs(photographs: Sequence[Photograph], count: int, seed: int) -> list[Photograph]:
    """`count` of the photographs, drawn by `seed`, in their own order."""
    if count > len(photographs):
        raise ValueError(f"count: must be at most {len(photographs)}, the photographs there are, got {count}")
    order = np.random.Generator(np.random.PCG64([seed, len(photographs)])).permutation(len(photographs))
    return [photographs[i] for i in sorted(order[:count].tolist())]


def extra_draws(
    photographs: Sequence[Photograph], patches: int, chosen: ImportOptions
) -> tuple[dict[str, list[int]], list[str]]:
    """By photograph, the draws to keep beyond the first `patches` for `chosen.with_defect` crops with a defect; and the
    faults met in reading."""
    turns, faults = [], []
    look = partial(draws_beyond, patches=patches, crop=chosen.crop, seed=chosen.seed)
    for _, future in in_order(look, photographs, "find defects"):
        try:
            draws = future.result()
        except (OSError, ValueError) as error:
            faults.append(str(error))
        else:
            turns += [draws] if draws else []
    if not turns and not faults:
        faults = [f"with-defect: no training photograph has a defect, {chosen.with_defect} crops with one wanted"]
    return {} if faults else draws_until(turns, patches=patches, with_defect=chosen.with_defect), faults


def entry_of(plan: Plan, photograph: Photograph, split: str, cut: Cut, shift: tuple[float, float] | None) -> Entry:
    """The line of images.jsonl for one image of a photograph.

    Its image label is what the source says of a photograph taken whole, else what its pixels say before they are
    resized: small defects do not outlive that.
    """
    image_label = photograph.image_label if cut.name == photograph.name else None
    if image_label is None and cut.ids is not None and plan.image_labels:
        image_label = plan.image_labels[1 if cut.ids.any() else 0]
    return Entry(
        cut.name,
        split,
        photographs=(photograph.name,),
        group=photograph.group,
        kind=photograph.kind,
        image_label=image_label,
        box=cut.box,
        shift=shift,
        brightness=round(float(cut.pixels.mean()), 3),
    )


def in_order(
    work: Callable[[Photograph], Result], photographs: Sequence[Photograph], title: str = "import"
) -> Iterator[tuple[Photograph, Future[Result]]]:
    """Does the work in threads, a few photographs ahead, and hands out the finished futures in order, with a bar."""
    workers = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers, title) as threads, tqdm(total=len(photographs), desc=title, disable=None) as bar:
        queue = iter(photographs)
        ahead = [(p, threads.submit(work, p)) for p in itertools.islice(queue, 2 * workers)]
        while ahead:
            photograph, future = ahead.pop(0)
            future.exception()  # waits
            ahead += [(p, threads.submit(work, p)) for p in itertools.islice(queue, 1)]
            bar.update()
            yield photograph, future
