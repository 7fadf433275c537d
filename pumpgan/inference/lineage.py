"""All that a run's networks have learnt from: its own data, and those of the runs that it is built on."""

from pathlib import Path

from pumpgan.data.dataset import Dataset
from pumpgan.train.record import RunRecord


def learnt_from(run: Path) -> list[Path]:
    """The datasets of a run, of those whose networks or generator it began with, of the GANs that drew its images, and
    so on; of runs and generated sets that are gone, nothing is known behind them.

    Raises ValueError, naming it, where one of them is damaged.
    """
    found: dict[Path, None] = {}
    ahead, seen = [run.resolve()], set()
    while ahead:
        place = ahead.pop()
        if place in seen or not (place / "config.json").exists():
            continue
        seen.add(place)
        record = RunRecord.read(place)
        datasets = [Path(path) for path in (*record.data, *record.unlabelled)]
        found |= dict.fromkeys(datasets)
        drawn_by = [Dataset.open(path).generator for path in datasets if (path / "dataset.json").exists()]
        behind = [record.networks, *(generator["run"] for generator in (record.generator, *drawn_by) if generator)]
        ahead += [Path(path).resolve() for path in behind if path]
    return list(found)
