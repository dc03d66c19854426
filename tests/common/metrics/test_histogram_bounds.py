import numpy as np
import pytest

from common.metrics.bins import BINS, EDGES
from common.metrics.histogram_bounds import auprc_bound, auroc_bound, calibration_bound


def _counts(cells: dict[tuple[int, int], int]) -> np.ndarray:
    counts = np.zeros((2, BINS))
    for place, count in cells.items():
        counts[place] = count
    return counts


def test_all_in_one_bin_says_nothing_of_the_ranking() -> None:
    assert auroc_bound(_counts({(0, 5): 3, (1, 5): 4})) == 0.5


def test_sides_apart_leave_no_error() -> None:
    counts = _counts({(0, 5): 3, (1, 9): 1})
    assert auroc_bound(counts) == 0
    assert auprc_bound(counts) == 0


def test_one_positive_and_negatives_in_its_bin() -> None:
    # Its precision may be 1/1 (first) to 1/4 (last); the histogram says 1/4.
    assert auprc_bound(_counts({(0, 5): 3, (1, 5): 1})) == pytest.approx(0.75)


def test_calibration_is_off_by_half_a_bin_at_most() -> None:
    widths = np.diff(EDGES)
    assert calibration_bound(_counts({(0, 200): 1, (1, 839): 1})) == pytest.approx((widths[200] + widths[839]) / 4)


def test_positives_after_their_bins_negative() -> None:
    # Above: 10 negatives. In the bin 5 positives, 1 negative: 5/16 by the histogram; a positive's own precision is
    # between 1/12 (first, after the negative) and 5/15 (last, before it). With the negative first the truth is 0.206.
    assert auprc_bound(_counts({(0, 9): 10, (0, 5): 1, (1, 5): 5})) == pytest.approx(5 / 16 - 1 / 12)
