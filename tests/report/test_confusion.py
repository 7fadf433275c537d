"""A confusion table has each count where its heading says, in every form."""

import csv
import io

import pytest

from pumpgan.report import confusion as module
from pumpgan.report.confusion import confusion_rows
from pumpgan.report.table import as_csv, as_markdown, as_text

COUNTS = {"true_positive": 12, "false_positive": 5, "true_negative": 95, "false_negative": 8}


def test_rows_are_what_is_there_columns_what_was_said_and_sums_close_both():
    heading, *rows = confusion_rows(COUNTS)
    assert heading[1:] == ["good", "defect", "all"]
    assert rows == [["good", "95", "5", "100"], ["defect", "8", "12", "20"], ["all", "103", "17", "120"]]


def test_text_is_aligned_as_the_module_shows_it():
    shown = as_text(confusion_rows(COUNTS))
    assert shown.splitlines() == [line.strip() for line in module.__doc__.splitlines()[2:6]]
    assert len({len(line) for line in shown.splitlines()}) == 1


def test_markdown_has_a_rule_below_its_heading_and_survives_bars_in_names():
    lines = as_markdown(confusion_rows(COUNTS, ("good", "a|b"))).splitlines()
    assert lines[0] == r"| actual \\ predicted | good | a\|b | all |"
    assert lines[1] == "| --- | ---: | ---: | ---: |"
    assert lines[3] == r"| a\|b | 8 | 12 | 20 |"


def test_csv_is_read_back_as_the_rows():
    rows = confusion_rows(COUNTS, ("good", 'a "big", one'))
    assert list(csv.reader(io.StringIO(as_csv(rows)))) == rows


@pytest.mark.parametrize(
    ("counts", "names", "message"),
    [
        ({"true_positive": 1}, ("a", "b"), "got true_positive"),
        (COUNTS | {"true_positive": -1}, ("a", "b"), "whole numbers"),
        (COUNTS | {"true_positive": 0.5}, ("a", "b"), "whole numbers"),
        (COUNTS, ("a", "b", "c"), "two classes"),
    ],
)
def test_what_is_no_confusion_is_refused(counts, names, message):
    with pytest.raises(ValueError, match=message):
        confusion_rows(counts, names)
