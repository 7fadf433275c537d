"""A table says the same in every form, and refuses what is no table."""

import csv
import io
import json

import pytest

from pumpgan.report.table import Table, difference_table, score_table

SCORES = Table(
    ("arm", "F1", "images"),
    [("none", (0.16683, 0.0112), 0), ("a|b", (0.3402, None), 2000), ("unknown", None, None)],
    title="tiles",
    notes=("three repeats",),
)


def compared(*, significant=True, repeats=True) -> dict:
    """As `compare_arms` says it, of two arms and two scores."""
    one = {"mean": 0.25, "std": 0.01 if repeats else None, "n": 2, "values": [0.24, 0.26][: 1 + repeats], "pooled": 0.2}
    t = {"mean": 0.1, "t": 7.79423, "df": 1, "p": 0.0162}
    difference = {
        "pooled": 0.1,
        "interval": [0.05, 0.15],
        "undefined_draws": 0,
        "significant": significant,
        "repeats": t if repeats else None,
    }
    undefined = {"pooled": None, "interval": None, "undefined_draws": 9, "significant": None, "repeats": None}
    lost = {"mean": None, "std": None, "n": 2, "values": [None, None][: 1 + repeats], "pooled": None}
    scores = {"f1": one, "iou.hat": lost}
    return {
        "baseline": "none",
        "images": 20,
        "photographs": 10,
        "units": 10,
        "unit": "photographs",
        "draws": 100,
        "scores": ["f1", "iou.hat"],
        "cautions": [] if significant else ["only 3 are positive"],
        "arms": {
            "none": {"scores": scores, "differences": None},
            "ours": {"scores": scores, "differences": {"f1": difference, "iou.hat": undefined}},
        },
    }


def test_text_is_aligned_under_its_title_and_over_its_notes():
    assert SCORES.text().splitlines() == [
        "tiles",
        "arm                   F1  images",
        "none     0.1668 ± 0.0112       0",
        "a|b               0.3402    2000",
        "unknown                -       -",
        "- three repeats",
    ]


def test_markdown_is_a_table_whatever_the_names():
    lines = SCORES.markdown().splitlines()
    assert lines[0] == "**tiles**" and lines[2] == "| arm | F1 | images |" and lines[3] == "| --- | ---: | ---: |"
    assert lines[5] == r"| a\|b | 0.3402 | 2000 |" and lines[-1] == "- three repeats"


def test_csv_has_deviations_in_columns_of_their_own_and_every_digit():
    heading, *rows = csv.reader(io.StringIO(SCORES.csv()))
    assert heading == ["arm", "F1", "F1 std", "images"]
    assert rows == [["none", "0.16683", "0.0112", "0"], ["a|b", "0.3402", "", "2000"], ["unknown", "", "", ""]]


def test_json_holds_the_whole_table():
    whole = json.loads(SCORES.json())
    assert whole["rows"] == [
        ["none", {"mean": 0.16683, "std": 0.0112}, 0],
        ["a|b", {"mean": 0.3402, "std": None}, 2000],
        ["unknown", None, None],
    ]
    assert (whole["title"], whole["columns"], whole["notes"]) == ("tiles", ["arm", "F1", "images"], ["three repeats"])


def test_decimals_are_of_all_columns_or_of_the_named_ones():
    rows = [("a", 1.23456, 2.34567)]
    assert Table(("x", "y", "z"), rows, places=1).text().split()[3:] == ["a", "1.2", "2.3"]
    assert Table(("x", "y"), [("a", (0.5, 0.0))], places=1).text().endswith("0.5 ± 0.0")
    assert Table(("x", "y", "z"), rows, places={"y": 2}).text().split()[3:] == ["a", "1.23", "2.3457"]


@pytest.mark.parametrize(
    ("columns", "rows", "message"),
    [
        (("a", "b"), [("x",)], r"must have 2 cells, got \['x'\]"),
        (("a", "a"), [], "different headings"),
        ((), [], "different headings"),
        (("a", "b"), [("x", float("nan"))], "must be finite"),
        (("a", "b"), [("x", (0.5, float("inf")))], "must be finite"),
    ],
)
def test_what_is_no_table_is_refused(columns, rows, message):
    with pytest.raises(ValueError, match=message):
        Table(columns, rows)


def test_scores_of_a_study_are_means_with_deviations():
    table = score_table(compared())
    assert table.rows == [[name, (0.25, 0.01), None] for name in ("none", "ours")]
    assert table.columns == ["arm", "f1", "iou.hat"] and "2 repeats" in table.notes[0]
    single = score_table(compared(repeats=False), ["f1"])
    assert single.rows[0] == ["none", (0.25, None)] and "one repeat" in single.notes[0]


def test_differences_of_a_study_are_against_the_baseline_with_interval_and_t():
    first, second = difference_table(compared()).rows
    assert first == ["ours", "f1", 0.1, "[+0.0500, +0.1500]", "yes", 0.1, 7.79423, 1, 0.0162]
    assert second == ["ours", "iou.hat", *[None] * 7]
    assert "7.79 " in difference_table(compared()).text()
    assert difference_table(compared(repeats=False), ["f1"]).rows[0][5:] == [None] * 4


def test_what_is_not_called_significant_says_why():
    table = difference_table(compared(significant=None))
    assert table.rows[0][4] is None and table.notes[-1] == "only 3 are positive"


def test_scores_that_were_not_compared_are_named():
    for make in (score_table, difference_table):
        with pytest.raises(ValueError, match=r"must be of f1, iou\.hat, got iou\.cap"):
            make(compared(), ["f1", "iou.cap"])
