"""Who is trained on and who is tested: always whole groups of photographs, so no photograph serves both."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from pumpgan.data.dataset import Dataset, Entry, raise_faults

TEST_SHARE = 0.25
VALIDATION_SHARE = 0.2


def split_groups(kinds: Mapping[str, str]) -> dict[str, str]:
    """Gives each group "train" or "test".

    kinds: the kind of each group. Within a kind, groups are ranked by the SHA-256 of their name and the first quarter
    (rounded, at least one of two or more) is test, so the split depends on the names alone and every kind is in both.
    """
    members: dict[str, list[str]] = defaultdict(list)
    for group, kind in kinds.items():
        members[kind].append(group)
    splits: dict[str, str] = {}
    for groups in members.values():
        ranked = sorted(groups, key=lambda group: hashlib.sha256(group.encode()).digest())
        tests = max(round(TEST_SHARE * len(ranked)), 1 if len(ranked) > 1 else 0)
        splits |= {group: "test" if rank < tests else "train" for rank, group in enumerate(ranked)}
    return splits


def rarest_kinds(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The kind that each group is split by: of the kinds among its photographs, the rarest in the whole set.

    pairs: group and kind of each photograph.
    """
    pairs = list(pairs)
    images = Counter(kind for _, kind in pairs)
    kinds: dict[str, str] = {}
    for group, kind in pairs:
        if group not in kinds or (images[kind], kind) < (images[kinds[group]], kinds[group]):
            kinds[group] = kind
    return kinds


def validation_split(
    entries: Sequence[Entry], seed: int, share: float = VALIDATION_SHARE
) -> tuple[list[int], list[int]]:
    """Positions in `entries` for training and for validation.

    `share` of the groups (photographs where there are none) is drawn by `seed`, kind by kind, for validation. Pasted
    images and images drawn by a model are never validated on; one that shows anything of a validation photograph is
    left out of both lists. Raises ValueError where no group would be left on either side.
    """
    if not 0 < share < 1:
        raise ValueError(f"share: must be between 0 and 1, got {share}")
    photographed = [entry for entry in entries if entry.photographs and entry.donor is None]
    kinds = rarest_kinds((group_of(entry), entry.kind or "") for entry in photographed)
    members: dict[str, list[str]] = defaultdict(list)
    for group in sorted(kinds):
        members[kinds[group]].append(group)
    held_out: set[str] = set()
    for number, kind in enumerate(sorted(members)):
        groups = members[kind]
        order = np.random.Generator(np.random.PCG64([seed, number])).permutation(len(groups))
        held_out |= {groups[i] for i in order[: max(round(share * len(groups)), 1 if len(groups) > 1 else 0)]}
    photographs = {name for entry in photographed if group_of(entry) in held_out for name in entry.photographs}
    training, validation = [], []
    for i, entry in enumerate(entries):
        if not photographs.intersection(entry.photographs):
            training.append(i)
        elif entry.donor is None and photographs.issuperset(entry.photographs):
            validation.append(i)
    if not training or not validation:
        raise ValueError(f"validation: needs at least two photographs or groups of them, got {len(kinds)}")
    return training, validation


def group_of(entry: Entry) -> str:
    """What keeps an image's photographs together: its group, else its first photograph."""
    return entry.group if entry.group is not None else entry.photographs[0]


Shown = tuple[str, str, str]  # origin, "photograph" or "group", and its name


def refuse_shared(datasets: Sequence[Dataset]) -> None:
    """Refuses to train on the train splits of these sets together and to test on the test split of the first.

    Raises ValueError where a photograph or group is in both splits of a set, or in the first's test and another's
    train; the first five are listed. Sets share photographs where one was selected or pasted from the other, or both
    were imported from the same folder; equal names alone say nothing.
    """
    tested, faults = shown(datasets[0], "test"), []
    for number, dataset in enumerate(datasets):
        trained = shown(dataset, "train")
        for _, what, name in sorted(trained & shown(dataset, "test")):
            faults.append(f"{dataset.path}: {what} {name} is in train and in test")
        for _, what, name in sorted(trained & tested if number else ()):
            faults.append(f"{dataset.path}: {what} {name} is in its train and in {datasets[0].path}'s test")
    raise_faults("data", faults)


def refuse_trained_on(tested: Dataset, trained: Sequence[Path]) -> None:
    """Refuses a test on photographs that a train split shows of any of these datasets, as far as they are still there.

    Raises ValueError with the first five photographs or groups.
    """
    faults = []
    for path in trained:
        if (path / "dataset.json").exists():
            both = shown(tested, "test") & shown(Dataset.open(path), "train")
            faults += [f"{what} {name} was trained on, in {path}" for _, what, name in sorted(both)]
    raise_faults(str(tested.path), faults)


def shown(dataset: Dataset, split: str) -> set[Shown]:
    """The photographs and groups that a split shows."""
    origin = origin_of(dataset)
    return {what for entry in dataset.split(split) for what in shown_by(entry, origin)}


def shown_by(entry: Entry, origin: str) -> set[Shown]:
    """The photographs and the group that an image of a set of this origin shows."""
    photographs = {(origin, "photograph", name) for name in entry.photographs}
    return photographs | ({(origin, "group", entry.group)} if entry.group is not None else set())


def origin_of(dataset: Dataset) -> str:
    """Where the photographs come from, behind any selection and pasting: importer, folder and seed of drawing, or the
    folder of the first dataset where nothing is said."""
    source, place = dataset.source, str(dataset.path.resolve())
    while "of" in source:
        source, place = source["of"], source.get("folder", place)
    if str(source.get("importer")).startswith("synthetic-"):
        place = f"seed {source.get('options', {}).get('seed', 0)}"
    return json.dumps([source.get("importer"), source.get("folder") or place])
