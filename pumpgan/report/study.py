"""A study's tables as pages, spreadsheets and plots, from the table-NUMBER.json that it wrote.

table-NUMBER.md, .csv, and -SCORE.png for each score, beside them; README.md holds all tables.
"""

import json
from pathlib import Path
from typing import Any

from pumpgan.report.study_plots import draw_scores, draw_sensitivity
from pumpgan.report.table import Table, difference_table, score_table


def write_pages(folder: Path, name: str) -> list[str]:
    """Makes pages and plots of all tables in a study's folder; returns each table as text. name: of the study.

    Raises ValueError, naming the file, where one is not a study's.
    """
    texts, pages = [], []
    for path in sorted(folder.glob("table-*.json")):
        try:
            found = json.loads(path.read_text())
            tables = tables_of(found)
        except (ValueError, KeyError) as error:
            raise ValueError(f"{path}: is cut short or no table of a study ({error}); run the study again") from error
        pages.append("\n\n".join(table.markdown() for table in tables) + "\n")
        texts.append("\n\n".join(table.text() for table in tables))
        path.with_suffix(".md").write_text(pages[-1])
        path.with_suffix(".csv").write_text(tables[0].csv())
        draw(found, path.with_suffix(""))
    (folder / "README.md").write_text("\n".join([f"# Study: {name}\n", *pages]))
    return texts


def tables_of(found: dict[str, Any]) -> list[Table]:
    """Scores, differences, and the thesis's own table."""
    compared, thesis = found["study"], found["thesis"]
    return [
        score_table(compared, found["scores"], title=f"Table {found['number']}: {found['title']}"),
        difference_table(compared, found["scores"], title="Differences from the baseline"),
        Table(
            thesis["columns"],
            thesis["shown_rows"],
            f"Source thesis, table {thesis['number']}: {thesis['title']}",
            thesis["cautions"],
        ),
    ]


def draw(found: dict[str, Any], beside: Path) -> None:
    """A plot of each score: by arm, or over what the arms' names are numbers of."""
    compared = found["study"]
    for score in found["scores"]:
        values = {name: arm["scores"][score]["values"] for name, arm in compared["arms"].items()}
        if any(value is None for repeats in values.values() for value in repeats):
            continue  # a score of nothing: the table has a dash
        path = beside.with_name(f"{beside.name}-{score}.png")
        if found["varied"] is None:
            draw_scores(values, path, score=score, baseline=compared["baseline"], title=found["title"])
        else:
            curve = {float(name): repeats for name, repeats in values.items()}
            draw_sensitivity({found["title"]: curve}, path, varied=found["varied"], score=score)
