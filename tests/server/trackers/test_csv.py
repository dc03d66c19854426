"""The table: the figures of a run, whole rows, none twice, whatever an earlier process left behind."""

import csv
from pathlib import Path

import pytest

from common.errors import UserError
from server.trackers import TrackingError
from server.trackers.csv import FILE, HEADER
from server.tracking.destination import destination
from server.tracking.facts import facts_of
from server.tracking.keeping_up import KeepingUp


def track(run: Path) -> KeepingUp:
    keeping = KeepingUp(run, destination("csv", base=run))
    keeping.advance(is_over=True)
    return keeping


def test_every_row_has_the_columns_and_each_figure_is_there_once(own_run: Path) -> None:
    assert track(own_run).is_complete
    with (own_run / FILE).open(newline="") as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == HEADER
    keys = [tuple(row[:3]) for row in rows]
    assert len(set(keys)) == len(keys) > 100
    assert {row[0] for row in rows} == {"0", "1", "2"}
    assert {row[1] for row in rows} == {"", "east", "north", "west"}
    assert all(float(row[3]) is not None for row in rows)


def test_a_table_cut_anywhere_becomes_the_same_table_again(own_run: Path) -> None:
    track(own_run)
    whole = (own_run / FILE).read_bytes()
    for end in (*range(0, len(whole), len(whole) // 60), len(whole) - 1, len(whole)):
        (own_run / FILE).write_bytes(whole[:end])
        assert track(own_run).is_complete
        assert (own_run / FILE).read_bytes() == whole


def test_a_file_of_somebody_else_is_left_alone(own_run: Path) -> None:
    (own_run / FILE).write_text("day,beds\n1,2\n")
    keeping = track(own_run)
    assert "is not a table of ours" in (keeping.failure or "")
    assert (own_run / FILE).read_text() == "day,beds\n1,2\n"
    facts = facts_of(own_run)
    assert facts is not None
    with pytest.raises(TrackingError):
        destination("csv", base=own_run).place.open(own_run, facts)


def test_a_target_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="csv takes no target"):
        destination("csv=elsewhere.csv", base=tmp_path)
