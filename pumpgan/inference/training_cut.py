"""How the images that a run learnt from were cut from photographs, so that others can be cut alike."""

from dataclasses import dataclass

from pumpgan.data.dataset import Dataset
from pumpgan.data.photographs import imported_from
from pumpgan.train.record import RunRecord

TURN_GREY = frozenset(("deeppcb",))  # importers that make grey of what is in colour
USE_CENTRE = frozenset(("pump", "synthetic-pump"))  # importers that leave out what is beyond a square in the middle


@dataclass(frozen=True)
class TrainingCut:
    """tile: side in pixels of the squares that became images; 0: whole photographs did. turned_grey: whether coloured
    photographs were made grey. told: the tile in a line, for a user."""

    tile: int
    turned_grey: bool
    told: str

    @classmethod
    def of(cls, record: RunRecord) -> "TrainingCut":
        """As the run's first dataset tells; where that does not tell (any more), the line says so."""
        try:
            dataset = Dataset.open(record.data[0])
            importer = imported_from(dataset)["importer"]
        except (OSError, ValueError) as error:
            return cls(0, False, f"photographs are taken whole: how the run's were cut is not known ({error})")
        cuts = any(entry.photographs and entry.name != entry.photographs[0] for entry in dataset.entries)
        boxes = [entry.box for entry in dataset.entries if entry.box]
        if boxes and (cuts or importer in USE_CENTRE):
            tile = max(max(right - left, bottom - top) for left, top, right, bottom in boxes)
            told = f"photographs are cut into squares of {tile} pixels, as the run's were; --tile says otherwise"
            return cls(tile, importer in TURN_GREY, told)
        return cls(0, importer in TURN_GREY, "photographs are taken whole, as the run's were; --tile cuts them")
