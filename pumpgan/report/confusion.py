"""Confusion of two classes as a small table, for a terminal, a page and a spreadsheet.

actual \\ predicted  good  defect  all
good                  95       5  100
defect                 8      12   20
all                  103      17  120
"""

from collections.abc import Mapping, Sequence

from pumpgan.report.table import Rows


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
