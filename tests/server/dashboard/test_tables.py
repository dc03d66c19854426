from pathlib import Path

from common.study_task import metric_infos
from server.dashboard.budget import Budget
from server.dashboard.reading import Reading, read_on
from server.dashboard.state import View
from server.dashboard.tables import (
    bytes_table,
    metrics_table,
    moved,
    newest_rounds,
    participation_table,
    privacy_table,
    updates_table,
)
from server.report.formats import plain, size
from server.report.lead import AUROC

LABELS = {name: info.label for name, info in metric_infos().items()}


def view_of(folder: Path) -> View:
    return read_on(folder / "events.jsonl", Reading()).view


def test_metrics_are_the_last_scored_adapters(run_folder: Path) -> None:
    view = view_of(run_folder)
    found = metrics_table(view, LABELS)
    assert found is not None
    assert "round 8" in found.caption
    texts = {row[0].text: [cell.text for cell in row[2:]] for row in found.rows}
    for site in view.sites:
        assert texts[site] == [plain(view.latest["sites"][site][name]["value"]) for name in view.metrics]


def test_participation_counts_every_round(run_folder: Path) -> None:
    view = view_of(run_folder)
    found = participation_table(view)
    assert found is not None
    for row in found.rows:
        statuses = [record["participation"][row[0].text]["status"] for record in view.records.values()]
        assert [int(cell.text) for cell in row[1:6]] == [
            statuses.count(word) for word in ("accepted", "refused", "late", "failed", "absent")
        ]
        assert len(row) == len(found.header)


def test_bytes_add_up(run_folder: Path) -> None:
    view = view_of(run_folder)
    found = bytes_table(view)
    assert found is not None
    every = moved(view.records.values())
    assert found.rows[0][1].text == size(sum(each.up for each in every.values()))
    assert [row[1].text for row in found.rows[1:]] == [size(every[site].up) for site in view.sites]


def test_rounds_come_newest_first_and_all_when_asked(run_folder: Path) -> None:
    view = view_of(run_folder)
    every = newest_rounds(view, AUROC, everything=True)
    assert every is not None
    assert [row[0].text for row in every.rows] == [str(k) for k in range(8, 0, -1)]
    value = view.scores[8].value("", "auroc")
    assert every.rows[0][3].text == plain(value)


def test_updates_have_every_site(run_folder: Path) -> None:
    view = view_of(run_folder)
    found = updates_table(view)
    assert found is not None
    assert [row[0].text for row in found.rows[1:]] == list(view.sites)


def test_a_run_that_has_said_nothing_has_no_tables() -> None:
    empty = View()
    tables = (metrics_table(empty, LABELS), participation_table(empty), bytes_table(empty), updates_table(empty))
    assert tables == (None,) * 4
    assert newest_rounds(empty, AUROC, everything=False) is None
    assert privacy_table(Budget("patient-dp", "patient", 1e-5, 8.0, None, {})) is None
