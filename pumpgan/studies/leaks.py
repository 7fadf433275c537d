"""No study judges by photographs that something in it was trained on, however far back."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from pumpgan.data.dataset import Dataset
from pumpgan.data.splits import refuse_trained_on
from pumpgan.studies.stages import Stage, in_order
from pumpgan.train.record import RunRecord


def refuse_leaks(dataset: str | Path | Dataset, stages: Sequence[Stage]) -> None:
    """Refuses to test on a dataset's test split what these stages make, and all that they are made of.

    Raises ValueError with the first five photographs that are in its test split and in the train split of a dataset
    that any of them learns from: those of the stages, those that runs from elsewhere say they were trained on, with
    the runs that those began with, and those behind generated sets. FileNotFoundError where such a set or run is gone,
    so that nobody can tell. A run that was converted from another program's says nothing, and is not asked.
    """
    tested = dataset if isinstance(dataset, Dataset) else Dataset.open(dataset)
    refuse_trained_on(tested, sorted(set(learnt_from(stages))))


def refuse_all_leaks(stages: Sequence[Stage]) -> None:
    """The same for every evaluation on a test split among the stages."""
    judged: dict[Path, list[Stage]] = defaultdict(list)  # by the dataset, so that each is read but once
    for stage in in_order(stages):
        if stage.action == "evaluate" and stage.options.get("split", "test") == "test":
            for tested in origins(stage.inputs["data"]):
                judged[tested].append(stage)
    for tested, by in judged.items():
        refuse_leaks(tested, by)


def origins(stages: Sequence[Stage]) -> list[Path]:
    """The datasets from elsewhere that these were selected or pasted from; each test split holds all of theirs."""
    return [stage.path for stage in in_order(stages) if stage.action == "dataset" and stage.path]


def learnt_from(stages: Sequence[Stage]) -> Iterator[Path]:
    """The datasets, of photographs, behind all that these stages take."""
    seen: set[Path] = set()
    for stage in in_order(stages):
        if stage.action == "dataset" and stage.path:
            yield from behind_dataset(stage.path, stage.path, seen)
        elif stage.action == "run" and stage.path:
            yield from behind_run(stage.path, stage.path, seen)


def behind_dataset(path: Path, asked: Path, seen: set[Path]) -> Iterator[Path]:
    if path in seen:
        return
    seen.add(path)
    if not (path / "dataset.json").exists():
        raise FileNotFoundError(gone(path, asked))
    yield path
    for run in runs_behind(Dataset.open(path)):
        yield from behind_run(run, asked, seen)


def runs_behind(dataset: Dataset) -> list[Path]:
    """The GAN that drew a set, and the segmenter that its images were filtered by."""
    source, found = dataset.source, [dataset.generator["run"]] if dataset.generator else []
    while source:
        segmenter = source.get("options", {}).get("agreement", {}).get("segmenter")
        found += [segmenter] if segmenter else []
        source = source.get("of", {})
    return [Path(run) for run in found]


def behind_run(path: Path, asked: Path, seen: set[Path]) -> Iterator[Path]:
    if path in seen:
        return
    seen.add(path)
    if not (path / "config.json").exists():
        raise FileNotFoundError(gone(path, asked))
    record = RunRecord.read(path)
    for data in (*record.data, *record.unlabelled):
        yield from behind_dataset(Path(data), asked, seen)
    for earlier in (record.networks, getattr(record.config, "run", "")):  # the latter: an encoder's SemanticGAN
        if earlier:
            yield from behind_run(Path(earlier), asked, seen)


def gone(path: Path, asked: Path) -> str:
    return (
        f"{path}: is not there, and {asked} was made from it; whether it was trained on test photographs cannot be "
        "told. Put it back, or leave what was made from it out"
    )
