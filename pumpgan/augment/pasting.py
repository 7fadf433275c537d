"""Defect-pasted augmentation: real defects laid onto good places of other training photographs of the same part.

Three passes, each with a few photographs in memory: cut the defects out, see which photographs could take which of
them, paste those that were drawn. In between only the cut-out defects and names are kept.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image

from pumpgan.augment.blending import BLENDS
from pumpgan.augment.defects import Defect, Place, Shifts, cut_defects, paste, place_of, suitable
from pumpgan.data.dataset import Dataset, Entry, raise_faults
from pumpgan.data.importers import in_order
from pumpgan.data.importers.crops import area_of, cut, letterbox, resize
from pumpgan.data.importers.photograph import Photograph, Pixels
from pumpgan.data.names import suggestion
from pumpgan.data.photographs import photographs_in, plan_of
from pumpgan.data.picture import as_rgb, caption, outline, samples, stacked
from pumpgan.data.writer import DatasetWriter, check_new

ALIGNMENTS = ("part", "none")
MAX_BRIGHTNESS = 10.0  # grey levels
MOST_EXAMPLES = 24

Result = TypeVar("Result")


class Example(NamedTuple):
    """A pasted image: whose defect it shows and, as large as the dataset's images, what was there before and is."""

    donor: Entry
    destination: Pixels
    image: Pixels
    label: Pixels


@dataclass(frozen=True)
class Pasted:
    """What `paste_defects` made.

    donors: images whose defect was to be pasted. short: how many of them found fewer destinations than copies wanted.
    examples: some of the pasted images, of every kind in turn.
    """

    dataset: Dataset
    donors: int
    short: int
    examples: list[Example] = field(repr=False)


def paste_defects(
    dataset: Dataset,
    out: str | Path,
    *,
    copies: int = 4,
    align: str | None = None,
    max_brightness: float = MAX_BRIGHTNESS,
    blending: str = "feather",
    kinds: Sequence[str] | None = None,
    photographs: str | Path | None = None,
    seed: int = 0,
) -> Pasted:
    """Pastes every defect of the training images onto `copies` other training photographs; writes them as a dataset.

    A destination has no defect where the image is cut from it, and is as bright there and around the defect as the
    donor, both without the defect, to within `max_brightness` grey levels. Where there are more of them than `copies`,
    `seed` draws.

    align: "part" keeps a defect's place on the part, by the registered shifts, or pastes it onto the template that its
        photograph has; "none" keeps its place between the photograph's edges. None: "part" where the set can.
    blending: one of `blending.BLENDS`. kinds: of the donors; None: all whose masks do not cover the part as a whole.
    photographs: folder of the photographs; None: where they were imported from.

    The new images are all in train, show nothing of a test photograph, and bear the kind of their donor.

    Raises ValueError for a wrong argument, a dataset that was not cut from photographs or has no donors, or where no
    donor has a destination; OSError where the photographs or the disk refuse.
    """
    check_new(Path(out))
    check_arguments(copies, align, max_brightness, blending)
    plan = plan_of(dataset, photographs)
    found = photographs_in(plan, dataset, photographs)
    by_photograph: dict[str, list[Entry]] = defaultdict(list)
    for entry in donors(dataset, kinds, plan.whole_part):
        by_photograph[entry.photographs[0]].append(entry)
    donating = [found[name] for name in by_photograph]
    train: Shifts = {e.photographs[0]: e.shift for e in dataset.split("train") if is_cut(e)}
    shifts = train if aligned_by_part(align, train, donating) else None

    defects: list[Defect] = []
    for _, some in each("cut out", lambda p: cut_defects(p, by_photograph[p.name]), donating):
        defects += some
    takers: list[list[str]] = [[] for _ in defects]
    look = partial(suitable, defects=defects, shifts=shifts, max_brightness=max_brightness)
    for photograph, suits in each("find places", look, [found[name] for name in train]):
        for names, suited in zip(takers, suits, strict=True):
            if suited:
                names.append(photograph.name)
    drawn = draw(defects, takers, copies, seed)
    if not drawn:
        raise ValueError(
            f"{dataset.path}: none of its {len(defects)} defects has a good place on another training photograph that "
            f"differs by at most {max_brightness:g} grey levels; a selection of defects alone has no such places"
        )
    shown, side = examples_of(defects, drawn), dataset.size[0]

    def paste_onto(photograph: Photograph) -> list[tuple[Entry, Example, bool]]:
        image, _ = photograph.read()
        made = []
        for i in drawn[photograph.name]:
            place = place_of(defects[i], photograph.name, area_of(photograph, image), shifts)
            if place is None:
                raise ValueError(f"{photograph.name}: has another size than a moment ago")
            pixels, ids = paste(image, defects[i], place, blending)
            before, after = (
                resize(letterbox(p), (side, side), Image.Resampling.LANCZOS) for p in (cut(image, place.window), pixels)
            )
            label = resize(letterbox(ids), (side, side), Image.Resampling.NEAREST)
            entry = entry_of(dataset, defects[i], photograph, place, shifts, float(pixels.mean()))
            made.append((entry, Example(defects[i].entry, before, after, label), (i, photograph.name) in shown))
        return made

    options = dict(
        copies=copies,
        align="none" if shifts is None else "part",
        max_brightness=max_brightness,
        blend=blending,
        kinds=None if kinds is None else list(kinds),
        seed=seed,
    )
    examples = []
    with DatasetWriter(out, **dataset.derived("paste", options)) as writer:
        for _, made in each("paste", paste_onto, [found[name] for name in train if name in drawn]):
            for entry, example, kept in made:
                writer.add(entry, example.image, example.label)
                examples += [example] if kept else []
    return Pasted(Dataset.open(out), len(defects), sum(len(names) < copies for names in takers), examples)


def example_sheet(dataset: Dataset, examples: Sequence[Example]) -> Image.Image:
    """By kind: donor, destination and result side by side, and the result again; defects outlined in first and last."""
    by_kind: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        by_kind[example.donor.kind or "defect"].append(example)
    blocks = []
    for kind, some in by_kind.items():
        donors = np.stack([dataset.image(example.donor) for example in some])
        donor_labels = [dataset.label(example.donor) for example in some]
        marked = np.stack([np.zeros(dataset.size, np.uint8) if label is None else label for label in donor_labels])
        before, after, labels = (
            np.stack([getattr(e, name) for e in some]) for name in ("destination", "image", "label")
        )
        views = [outline(donors, marked, dataset.classes), as_rgb(before), as_rgb(after)]
        blocks += [caption(kind), samples([*views, outline(after, labels, dataset.classes)], None, None)]
    return stacked(blocks)


def check_arguments(copies: int, align: str | None, max_brightness: float, blending: str) -> None:
    if copies < 1:
        raise ValueError(f"copies: must be at least 1, got {copies}")
    if align not in (None, *ALIGNMENTS):
        raise ValueError(f"align: must be {' or '.join(ALIGNMENTS)}, got {align!r}")
    if not max_brightness >= 0:
        raise ValueError(f"max-brightness: must be 0 or more grey levels, got {max_brightness}")
    if blending not in BLENDS:
        raise ValueError(f"blend: must be {', '.join(BLENDS)}, got {blending!r}")


def is_cut(entry: Entry) -> bool:
    """Whether an image was cut from one photograph as it is."""
    return len(entry.photographs) == 1 and entry.donor is None


def donors(dataset: Dataset, kinds: Sequence[str] | None, whole_part: frozenset[str]) -> list[Entry]:
    """The training images whose defect is to be pasted."""
    if len(dataset.image_labels) < 2:
        raise ValueError(f"{dataset.path}: its images are not good or defective; only defects of parts can be pasted")
    if dataset.source.get("importer") == "paste":
        raise ValueError(
            f"{dataset.path}: was made by pasting; paste from the set it came from, {dataset.source['folder']}"
        )
    defective = [e for e in dataset.split("train") if is_cut(e) and e.image_label == dataset.image_labels[1]]
    known = sorted({entry.kind for entry in defective if entry.kind is not None})
    for kind in kinds or ():
        if known and kind not in known:
            raise ValueError(f"kinds: no {kind!r} in train, there are {', '.join(known)}{suggestion(kind, known)}")
    chosen = [e for e in defective if (e.kind in kinds if kinds else e.kind not in whole_part)]
    if not chosen:
        raise ValueError(f"{dataset.path}: no training image shows a defect that could be pasted")
    return chosen


def aligned_by_part(align: str | None, shifts: Shifts, photographs: Sequence[Photograph]) -> bool:
    """Whether defects keep their place on the part. Raises ValueError where that is asked for and nothing tells it."""
    known = any(shift is not None for shift in shifts.values()) or any(p.template for p in photographs)
    if align == "part" and not known:
        raise ValueError("align: part needs photographs that are registered or have templates; none keeps to the edges")
    return known if align is None else align == "part"


def draw(defects: Sequence[Defect], takers: Sequence[list[str]], copies: int, seed: int) -> dict[str, list[int]]:
    """By photograph, the positions of the defects to paste onto it: each onto at most `copies` of its takers.

    What is drawn for a defect derives from the seed, its image's name and its takers alone.
    """
    drawn: dict[str, list[int]] = defaultdict(list)
    for i, (defect, names) in enumerate(zip(defects, takers, strict=True)):
        key = int.from_bytes(hashlib.sha256(defect.entry.name.encode()).digest()[:8], "little")
        order = np.random.Generator(np.random.PCG64([seed, key])).permutation(len(names))
        for j in order[:copies].tolist():
            drawn[names[j]].append(i)
    return dict(drawn)


def examples_of(defects: Sequence[Defect], drawn: Mapping[str, Sequence[int]]) -> set[tuple[int, str]]:
    """Up to `MOST_EXAMPLES` pairs of a defect and a photograph, the kinds in turn, no defect twice."""
    first = {i: name for name, numbers in reversed(list(drawn.items())) for i in numbers}
    by_kind: dict[str, list[int]] = defaultdict(list)
    for i in sorted(first):
        by_kind[defects[i].entry.kind or ""].append(i)
    turns = sorted((turn, kind, i) for kind, numbers in by_kind.items() for turn, i in enumerate(numbers))
    return {(i, first[i]) for _, _, i in turns[:MOST_EXAMPLES]}


def each(
    title: str, work: Callable[[Photograph], Result], photographs: Sequence[Photograph]
) -> Iterator[tuple[Photograph, Result]]:
    """Does the work on every photograph and gives the results in order; raises the faults together at the end."""
    faults = []
    for photograph, future in in_order(work, photographs, title):
        try:
            result = future.result()
        except (OSError, ValueError) as error:
            faults.append(str(error))
        else:
            yield photograph, result
    raise_faults("photographs", faults)


def entry_of(
    dataset: Dataset, defect: Defect, photograph: Photograph, place: Place, shifts: Shifts | None, brightness: float
) -> Entry:
    """The line of images.jsonl for a pasted image."""
    return Entry(
        f"{defect.entry.name}_on_{photograph.name}",
        "train",
        photographs=(*defect.entry.photographs, photograph.name),
        group=photograph.group,
        kind=defect.entry.kind,
        image_label=dataset.image_labels[1],
        box=place.window,
        shift=None if shifts is None else shifts[photograph.name],
        donor=defect.entry.name,
        destination=photograph.name,
        brightness=round(brightness, 3),
    )
