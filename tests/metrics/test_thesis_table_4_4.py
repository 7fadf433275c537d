"""Which counts of patches the source thesis's image-level scores (table 4.4) can have come from.

Each row gives accuracy, precision, recall and F1, means of three repeats on 1,021 test patches, 519 with defects.
A reading says which of the counts are tied to 519 and 502. What can be shown, and what cannot:

- By the reading of `thesis_image_level` nothing is tied but true positives + false negatives <= 519. Its counts have
  three degrees of freedom, so that some fit accuracy, precision and recall says little; that they stay below 519 and
  leave no count negative says a little more.
- By the thesis's wording (patches whose target has defects are true or false positives) true + false positives = 519,
  and by the standard reading true positives + false negatives = 519. Two degrees of freedom for three figures: for one
  confusion, or repeats that resemble each other, both miss by far more than rounding. Repeats that differ wildly (none
  missed in one, 140 in another) come closer: numerically, from 60 starts, to 0.003 at best in the rows whose four
  figures agree, and to nothing by the wording in the third row, of which only three are left. That is no proof.
- No reading gives the rows exactly. No accuracy in the table is a whole number over 3 x 1,021 to four decimals, nor a
  mean of three rounded ones; so the figures were made in some way that is not told (all four are, over 5 x 1,021).
- The third row's F1 is a misprint, or its precision or recall is: a mean of F1 exceeds the F1 of the means never.
"""

from functools import reduce

import numpy as np
import pytest

from pumpgan.studies.thesis import TABLES

PATCHES, DEFECTS, REPEATS = 1021, 519, 3
ALL, POSITIVE = PATCHES * REPEATS, DEFECTS * REPEATS
TABLE = TABLES["4.4"]
ROWS = {row[0]: row[2:] for row in TABLE.rows}  # accuracy, precision, recall, F1
((MISPRINTED, _),) = TABLE.misprints
ROUNDING = 0.5e-4
every_row = pytest.mark.parametrize("row", ROWS)


def deviation(row: str, true_positive, false_positive, true_negative, false_negative):
    """The worst of the four figures (three, where F1 is a misprint) for counts over all repeats; broadcast."""
    counted = (
        (true_positive + true_negative) / ALL,
        true_positive / (true_positive + false_positive),
        true_positive / (true_positive + false_negative),
        2 * true_positive / (2 * true_positive + false_positive + false_negative),
    )
    figures = list(zip(counted, ROWS[row], strict=True))[: 3 if row == MISPRINTED else 4]
    return reduce(np.maximum, (np.abs(found - stated) for found, stated in figures))


def tied_counts():
    """A grid of true positives and of the second free count, which is of patches without defects."""
    return np.arange(1, POSITIVE + 1)[:, None], np.arange(ALL - POSITIVE + 1)[None]


@every_row
def test_a_positive_that_is_a_predicted_one_fits_every_row_nearly(row):
    accuracy, precision, recall, _ = ROWS[row]
    # accuracy = (T + N - T/precision - T/recall + T) / N, solved for the true positives T
    hits = (1 - accuracy) * ALL / (1 / precision + 1 / recall - 2)
    near = np.arange(-4, 5)
    true_positive = round(hits) + near[:, None, None]
    false_positive = round(hits * (1 / precision - 1)) + near[:, None]
    false_negative = round(hits * (1 / recall - 1)) + near
    true_negative = ALL - true_positive - false_positive - false_negative
    worst = deviation(row, true_positive, false_positive, true_negative, false_negative)
    possible = (true_positive + false_negative <= POSITIVE) & (true_negative <= ALL - POSITIVE)
    assert worst[possible].min() < 2e-4


@every_row
def test_the_wording_fits_no_row(row):
    true_positive, false_negative = tied_counts()
    true_negative = ALL - POSITIVE - false_negative
    worst = deviation(row, true_positive, POSITIVE - true_positive, true_negative, false_negative)
    assert worst.min() > 0.006
    # Precision would be a whole number over 1,557, in any three repeats: to four decimals it is in no row.
    assert np.abs(np.arange(POSITIVE + 1) / POSITIVE - ROWS[row][1]).min() > 2 * ROUNDING


@every_row
def test_the_standard_reading_fits_no_row(row):
    true_positive, false_positive = tied_counts()
    true_negative = ALL - POSITIVE - false_positive
    worst = deviation(row, true_positive, false_positive, true_negative, POSITIVE - true_positive)
    assert worst.min() > 0.004


@every_row
def test_no_accuracy_is_a_mean_of_three_over_these_patches(row):
    assert np.abs(np.arange(ALL + 1) / ALL - ROWS[row][0]).min() > 2 * ROUNDING


@every_row
def test_f1_is_at_most_that_of_mean_precision_and_mean_recall_but_in_one_row(row):
    _, precision, recall, f1 = ROWS[row]
    highest = 2 / (1 / (precision + ROUNDING) + 1 / (recall + ROUNDING))  # F1 is concave in both
    assert (f1 - ROUNDING <= highest) == (row != MISPRINTED)
