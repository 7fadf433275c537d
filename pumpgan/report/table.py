"""A table of figures as text, Markdown, CSV and JSON; and tables of what a study found.

A cell is text, a number, None for what is not known, or a mean with its standard deviation over repeats.
"""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Cell = str | float | None | tuple[float, float | None]  # (mean, std), std None for one repeat
Rows = list[list[str]]  # the heading first; the first cell of each row names it
UNKNOWN = "-"


@dataclass(frozen=True)
class Table:
    """columns: headings, the first of the rows' names. rows: a cell for each column. notes: lines that stand below.

    places: decimals of numbers in text and Markdown, of all columns or by heading (4 where it names none); whole
    numbers (int) have none. CSV and JSON hold numbers in full.

    Raises ValueError at a row of another length than the columns', two columns of one heading, a number not finite.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    title: str = ""
    notes: Sequence[str] = ()
    places: int | Mapping[str, int] = 4

    def __post_init__(self) -> None:
        if len(set(self.columns)) != len(self.columns) or not self.columns:
            raise ValueError(f"Table: columns must be different headings, got {list(self.columns)}")
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"Table: a row must have {len(self.columns)} cells, got {list(row)}")
            numbers = [value for cell in row for value in (cell if isinstance(cell, tuple) else (cell,))]
            if not all(math.isfinite(value) for value in numbers if isinstance(value, int | float)):
                raise ValueError(f"Table: numbers must be finite (None is for what is not known), got {list(row)}")

    def text(self) -> str:
        """Title, columns padded to their widest cell, notes behind a dash."""
        lines = [self.title] if self.title else []
        return "\n".join([*lines, as_text(self._shown()), *(f"- {note}" for note in self.notes)])

    def markdown(self) -> str:
        """Title in bold, the table, notes as a list."""
        parts = [f"**{escaped(self.title)}**"] if self.title else []
        parts.append(as_markdown(self._shown()))
        parts += ["\n".join(f"- {escaped(note)}" for note in self.notes)] if self.notes else []
        return "\n\n".join(parts)

    def csv(self) -> str:
        """Heading and rows, for a spreadsheet: a column `NAME std` beside each that has deviations; None is empty."""
        deviating = [any(isinstance(row[at], tuple) for row in self.rows) for at in range(len(self.columns))]
        heading = [
            name
            for column, twice in zip(self.columns, deviating, strict=True)
            for name in ([column, f"{column} std"] if twice else [column])
        ]
        lines = [
            [
                "" if value is None else str(value)
                for cell, twice in zip(row, deviating, strict=True)
                for value in (cell if isinstance(cell, tuple) else (cell, None) if twice else (cell,))
            ]
            for row in self.rows
        ]
        return as_csv([heading, *lines])

    def json(self) -> str:
        """title, columns, rows (a mean with deviation as {mean, std}), notes."""
        rows = [
            [dict(zip(("mean", "std"), cell, strict=True)) if isinstance(cell, tuple) else cell for cell in row]
            for row in self.rows
        ]
        whole = {"title": self.title, "columns": list(self.columns), "rows": rows, "notes": list(self.notes)}
        return json.dumps(whole, indent=1, allow_nan=False)

    def _shown(self) -> Rows:
        lines = [
            [shown(cell, self._decimals(column)) for column, cell in zip(self.columns, row, strict=True)]
            for row in self.rows
        ]
        return [list(self.columns), *lines]

    def _decimals(self, column: str) -> int:
        return self.places if isinstance(self.places, int) else self.places.get(column, 4)


def shown(cell: Cell, places: int) -> str:
    if cell is None:
        return UNKNOWN
    if isinstance(cell, tuple):
        mean, std = cell
        return f"{mean:.{places}f}" + (f" ± {std:.{places}f}" if std is not None else "")
    return f"{cell:.{places}f}" if isinstance(cell, float) else str(cell)


# What a study found (the JSON of `pumpgan.studies.statistics.compare_arms`) -----------------------------------------


def score_table(compared: Mapping[str, Any], scores: Sequence[str] = (), *, title: str = "") -> Table:
    """An arm a row, a score a column (all, or those named): mean and deviation over the repeats."""
    chosen = named_scores(compared, scores)
    rows: list[list[Cell]] = []
    for name, arm in compared["arms"].items():
        found = [arm["scores"][score] for score in chosen]
        rows.append([name, *(None if one["mean"] is None else (one["mean"], one["std"]) for one in found)])
    repeats = len(found[0]["values"])
    note = f"{repeats} repeats, mean ± standard deviation" if repeats > 1 else "one repeat"
    images = f"{compared['images']} test images of {compared['photographs']} photographs"
    return Table(["arm", *chosen], rows, title, [f"{images}; {note}"])


def difference_table(compared: Mapping[str, Any], scores: Sequence[str] = (), *, title: str = "") -> Table:
    """A row for each arm and score: difference from the baseline, its interval, the t-test over repeats."""
    rows: list[list[Cell]] = []
    for name, arm in compared["arms"].items():
        for score in named_scores(compared, scores) if arm["differences"] else ():
            one = arm["differences"][score]
            interval = "[{:+.4f}, {:+.4f}]".format(*one["interval"]) if one["interval"] else None
            verdict = {True: "yes", False: "no", None: None}[one["significant"]]
            t = one["repeats"] or {"mean": None, "t": None, "df": None, "p": None}
            rows.append([name, score, one["pooled"], interval, verdict, t["mean"], t["t"], t["df"], t["p"]])
    columns = ["arm", "score", "difference", "95 % interval", "beyond 0", "mean over repeats", "t", "df", "p"]
    notes = [
        f"against {compared['baseline']}; interval: {compared['draws']} draws of the {compared['units']} test "
        f"{compared['unit']}, counts pooled over repeats; t: paired over repeats; neither is corrected for the number "
        "of rows",
        *compared["cautions"],
    ]
    return Table(columns, rows, title, notes, places={"t": 2})


def named_scores(compared: Mapping[str, Any], scores: Sequence[str]) -> list[str]:
    strange = [score for score in scores if score not in compared["scores"]]
    if strange:
        raise ValueError(f"scores: must be of {', '.join(compared['scores'])}, got {strange[0]}")
    return list(scores or compared["scores"])


# Rows of text --------------------------------------------------------------------------------------------------------


def as_text(rows: Rows) -> str:
    """Columns padded to their widest cell: names to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )


def as_markdown(rows: Rows) -> str:
    """A Markdown table, figures to the right; a bar or a backslash in a cell is escaped."""
    cells = [[escaped(cell) for cell in row] for row in rows]
    rule = ["---", *["---:"] * (len(rows[0]) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [cells[0], rule, *cells[1:]])


def as_csv(rows: Rows) -> str:
    """Lines that end in a line feed; cells are quoted where they need it."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|")
