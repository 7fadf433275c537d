"""The thesis's tables agree with each other and with arithmetic, but for the misprints that they are marked with."""

import itertools
import json

import pytest

from pumpgan.studies.thesis import CLASSIFIED, OVERLAPS, TABLES

PATCHES, DEFECTS = 10_304, 519  # of the test sets behind tables 3.1 and A.1
HALF = 0.5e-4  # rounding to four decimals
every_table = pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)


def rows_with(*columns: str):
    """(table, row, figures) of each row of each table that has these columns."""
    for table in TABLES.values():
        if set(columns) <= set(table.columns):
            for row in table.rows:
                figures = dict(zip(table.columns, row, strict=True))
                yield table, str(row[0]), [float(figures[column]) for column in columns]


@every_table
def test_a_table_has_a_figure_for_each_of_its_columns_and_no_row_twice(table):
    names = [row[0] for row in table.rows]
    assert len(set(names)) == len(names) and len(set(table.columns)) == len(table.columns)
    for row in table.rows:
        assert len(row) == len(table.columns)
        assert all(isinstance(value, float) or (value is None and row[0] == "real") for value in row[1:])
    assert all(caution.endswith((".", ")")) for caution in table.cautions)


def test_all_eleven_tables_are_there():
    assert list(TABLES) == ["3.1", "3.2", "3.3", "4.1", "4.2", "4.3", "4.4", "A.1", "A.2", "C.1", "C.2"]


def test_shares_are_0_to_1_and_percentages_0_to_100():
    for table in TABLES.values():
        for column, values in zip(table.columns[1:], list(zip(*table.rows, strict=True))[1:], strict=True):
            most = 100 if "%" in column or table.number[0] == "C" or column == "FID" else 1
            assert all(0 <= value <= most for value in values if value is not None), (table.number, column)


def test_f1_is_at_most_that_of_mean_precision_and_mean_recall_but_where_a_misprint_is_marked():
    impossible = set()
    for table, row, (precision, recall, f1) in rows_with("precision", "recall", "F1"):
        highest = 2 / (1 / (precision + HALF) + 1 / (recall + HALF))  # F1 is concave in both
        if f1 - HALF > highest:
            impossible.add((table.number, row))
    assert impossible == {("A.1", "1000"), ("4.4", "ours without L_d")}
    marked = {(table.number, row) for table in TABLES.values() for row, _ in table.misprints}
    assert marked == impossible


def test_accuracy_agrees_with_precision_and_recall_also_where_f1_is_misprinted():
    """Which is why F1 is the misprint of table A.1."""
    for table, row, (accuracy, precision, recall) in rows_with("accuracy", "precision", "recall"):
        if table.number != "4.4":  # where a true positive is something else
            hits = recall * DEFECTS
            wrong = hits / precision - hits + DEFECTS - hits
            assert accuracy == pytest.approx(1 - wrong / PATCHES, abs=0.002), (table.number, row)
    assert all(
        accuracy < 1 - DEFECTS / PATCHES for table, _, (accuracy,) in rows_with("accuracy") if table.number != "4.4"
    )


def test_the_mean_iou_is_the_mean_of_both():
    for _, row, (defects, healthy, mean) in rows_with(*OVERLAPS):
        assert mean == pytest.approx((defects + healthy) / 2, abs=1.1e-4), row


def test_appendix_rows_are_those_of_the_tables_that_they_vary():
    for appendix, size, table, row in (
        ("A.1", "0", "3.1", "none"),
        ("A.1", "2000", "3.1", "ours"),
        ("A.2", "0", "3.3", "none"),
        ("A.2", "500", "3.3", "ours"),
    ):
        columns = CLASSIFIED if appendix == "A.1" else OVERLAPS
        for column in columns:
            assert TABLES[appendix].figure(size, column) == TABLES[table].figure(row, column)
    for method, checkpoint in (("SemanticGAN", "140K"), ("ours without L_d", "144K"), ("ours with L_d", "144K")):
        for appendix, column in (("C.1", "pixels of defects %"), ("C.2", "images with defects %")):
            assert TABLES[appendix].figure(method, checkpoint) == TABLES["4.3"].figure(method, column)


def test_the_earth_movers_distance_is_of_fractions_and_no_smaller_than_the_difference_of_means():
    real = TABLES["3.2"].figure("real", "pixels of defects %")
    for row in ("SemanticGAN", "ours"):
        difference = (real - TABLES["3.2"].figure(row, "pixels of defects %")) / 100
        distance = TABLES["3.2"].figure(row, "earth-mover's distance")
        assert difference <= distance + 5e-4 < difference + 0.0025


def test_what_the_cautions_say_of_checkpoints_and_rare_classes_is_so():
    swings = [abs(a - b) for row in TABLES["C.2"].rows for a, b in itertools.pairwise(row[1:])]
    assert max(swings) == pytest.approx(25.1, abs=0.05)
    assert all(value < 0.02 for row in TABLES["4.2"].rows for value in row[8:])


def test_a_misprint_is_unknown_to_code_and_marked_for_readers():
    table = TABLES["A.1"]
    assert table.figure("1000", "F1") is None and table.figure("1000", "recall") == 0.3192
    assert table.shown_rows()[1] == ["1000", 0.9273, 0.2968, 0.3192, "0.3603 ?"]
    assert TABLES["3.2"].figure("real", "earth-mover's distance") is None
    with pytest.raises(ValueError, match=r"thesis table A\.1: has rows 0, 1000.* got '3000', 'F1'"):
        table.figure("3000", "F1")


@every_table
def test_tables_are_json(table):
    assert json.loads(json.dumps(table.as_dict(), allow_nan=False))["rows"] == [list(row) for row in table.rows]
