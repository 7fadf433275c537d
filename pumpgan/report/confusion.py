"""Confusion of two classes as a small table, for a terminal, a page and a spreadsheet.

actual \\ predicted  good  defect  all
good                  95       5  100
defect                 8      12   20
all                  103      17  120
"""

import csv
import io
from collections.abc import Mapping, Sequence

Rows = list[list[str]]  # the heading first; the first cell of each row names it


def confusion_rows(confusion: Mapping[str, int], names: Sequence[str] = ("good", "defect")) -> Rows:
    """The table's cells, with sums.

    Args:
        confusion: true_positive, false_positive, true_negative, false_negative: whole numbers, not negative.
        names: of the negative and of the positive class.

    Raises:
        ValueError: another set of counts, something that is no count, names that are not two.
    """
    wanted = {"true_positive", "false_positive", "true_negative", "false_negative"}
    if set(confusion) != wanted:
        raise ValueError(f"confusion_rows: counts must be {', '.join(sorted(wanted))}, got {', '.join(confusion)}")
    if any(not isinstance(count, int) or count < 0 for count in confusion.values()):
        raise ValueError(f"confusion_rows: counts must be whole numbers from 0, got {list(confusion.values())}")
    if len(names) != 2:
        raise ValueError(f"confusion_rows: needs the names of two classes, got {list(names)}")
    negatives = [confusion["true_negative"], confusion["false_positive"]]
    positives = [confusion["false_negative"], confusion["true_positive"]]
    sums = [n + p for n, p in zip(negatives, positives, strict=True)]
    lines = zip([*names, "all"], (negatives, positives, sums), strict=True)
    return [
        ["actual \\ predicted", *names, "all"],
        *([name, *map(str, counts), str(sum(counts))] for name, counts in lines),
    ]


def as_text(rows: Rows) -> str:
    """Columns padded to their widest cell: names to the left, counts to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )


def as_markdown(rows: Rows) -> str:
    """A Markdown table, counts to the right; a bar or a backslash in a name is escaped."""
    escaped = [[cell.replace("\\", "\\\\").replace("|", "\\|") for cell in row] for row in rows]
    rule = ["---", *["---:"] * (len(rows[0]) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [escaped[0], rule, *escaped[1:]])


def as_csv(rows: Rows) -> str:
    """Lines that end in a line feed; cells are quoted where they need it."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
