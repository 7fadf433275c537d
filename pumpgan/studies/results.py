"""What a finished study found, as data: the same bytes whenever, and wherever, it is written.

table-NUMBER.json: title, scores in the order of columns, varied (what the arms' names are numbers of, or null), study
(scores over repeats, differences from the baseline with intervals), thesis (its table and what is to be minded in it).
`report.study` makes pages and plots of it.
"""

import json
from pathlib import Path

from pumpgan.studies.counts import read_images
from pumpgan.studies.design import Study
from pumpgan.studies.statistics import compare_arms
from pumpgan.studies.store import Store
from pumpgan.studies.thesis import TABLES


def write_results(study: Study, store: Store, out: Path, *, seed: int = 0) -> None:
    """Writes all tables of a study whose stages are done. seed: of the bootstrap."""
    out.mkdir(parents=True, exist_ok=True)
    for table in study.tables:
        images = {name: [read_images(store.product(stage)) for stage in arm] for name, arm in table.arms.items()}
        printed = TABLES[table.number]
        found = {
            "number": table.number,
            "title": table.title,
            "scores": list(table.scores),
            "varied": table.varied,
            "study": compare_arms(images, baseline=table.baseline, seed=seed),
            "thesis": printed.as_dict() | {"shown_rows": printed.shown_rows()},
        }
        path = out / f"table-{table.number}.json"
        path.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")
