"""Both models on the same test rows."""

import numpy as np

from client.distilling.outcome import compared
from client.site_rows import SplitRows
from common.metrics.classes import ClassMeasure

LABELS = np.array([0, 1] * 10)
RIGHT = np.stack([1 - LABELS, LABELS], axis=1) * 0.8 + 0.1


def test_a_difference_is_the_student_s_minus_the_teacher_s() -> None:
    part = SplitRows([], LABELS, [str(row) for row in range(20)])
    part = SplitRows([None] * 20, LABELS, part.patients)  # type: ignore[list-item] # only counted
    theirs, ours, difference = compared(ClassMeasure(2), part, RIGHT[:, ::-1], RIGHT, resamples=50, seed=0)
    assert (theirs["auroc"].value, ours["auroc"].value) == (0.0, 1.0)
    assert difference is not None
    assert difference.value == 1.0


def test_without_test_rows_nothing_is_known() -> None:
    part = SplitRows([], LABELS[:0], [])
    assert compared(ClassMeasure(2), part, RIGHT[:0], RIGHT[:0], resamples=50, seed=0) == ({}, {}, None)
