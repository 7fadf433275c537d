"""The photographs that a dataset was cut from, found again through what its dataset.json says of its source."""

from pathlib import Path
from typing import Any

from pumpgan.data.dataset import Dataset, raise_faults
from pumpgan.data.importers import IMPORTERS, READS_NOTHING, ImportOptions, is_there, own_options
from pumpgan.data.importers.photograph import Photograph, Plan


def photographs_of(dataset: Dataset, folder: str | Path | None = None) -> dict[str, Photograph]:
    """Every photograph of the dataset's entries by name, as its importer reads it; drawn ones are drawn again.

    folder: where the photographs are now; None: where they were imported from. Other photographs that lie there are
    handed out too. Raises as `plan_of` does, and ValueError where a photograph of the dataset is not there any more.
    """
    return photographs_in(plan_of(dataset, folder), dataset, folder)


def photographs_in(plan: Plan, dataset: Dataset, folder: str | Path | None = None) -> dict[str, Photograph]:
    """`photographs_of` where the plan is at hand."""
    found = {photograph.name: photograph for photograph in plan.photographs}
    wanted = dict.fromkeys(name for entry in dataset.entries for name in entry.photographs)
    place = folder or imported_from(dataset)["folder"] or "its source"
    raise_faults(
        str(dataset.path), [f"photograph {name} is not in {place} any more" for name in wanted if name not in found]
    )
    return found


def plan_of(dataset: Dataset, folder: str | Path | None = None) -> Plan:
    """What the dataset's importer finds in its folder today, with the options of the import.

    Raises ValueError for a dataset that was not cut from photographs and for a source that has become faulty, OSError
    where the folder is gone.
    """
    source = imported_from(dataset)
    name, importer = source["importer"], IMPORTERS[source["importer"]]
    if name in READS_NOTHING:
        if folder is not None:
            raise ValueError(f"photographs: {name} draws its own, got {folder}")
    else:
        folder = Path(folder or source["folder"])
        if not is_there(name, folder):
            raise FileNotFoundError(
                f"{folder}: no such folder; {dataset.path} was cut from photographs in it; say where they are now by "
                "--photographs"
            )
    try:
        options = own_options(name, importer, ImportOptions(**source["options"]))
    except TypeError as error:
        raise ValueError(f"{dataset.path / 'dataset.json'}: the options of its source are unknown: {error}") from error
    plan = importer(folder, **options)
    raise_faults(str(folder or name), plan.faults)
    return plan


def imported_from(dataset: Dataset) -> dict[str, Any]:
    """The importer, folder and options that first made the images, behind any selection and pasting since."""
    source = dataset.source
    while "of" in source:
        source = source["of"]
    if source.get("importer") not in IMPORTERS:
        made_by = source.get("importer") or "something unknown"
        raise ValueError(f"{dataset.path}: was not cut from photographs (made by {made_by})")
    if not {"folder", "options"} <= source.keys():
        raise ValueError(f"{dataset.path / 'dataset.json'}: source must hold folder and options, got {source}")
    return source
