from pathlib import Path

from common.locking import at_work
from common.study_task import metric_infos
from server.dashboard.folders import Source
from server.dashboard.live import Live, Snapshot
from server.dashboard.page import lead_of, list_rows, run_page
from server.dashboard.state import View


def snapshot(folder: Path) -> Snapshot:
    found = Live(Source(folder, "simulated")).snapshot("long")
    assert found is not None
    return found


def test_a_page_has_every_table_and_says_how_far(run_folder: Path) -> None:
    page = run_page(snapshot(run_folder))
    assert (page.progress.done, page.progress.rounds, page.standing.word) == (8, 8, "finished")
    assert {name for name, table in page.tables.items() if table is None} == {"privacy"}
    assert [table.caption.split(",")[0] for table in page.comparison] == ["AUROC on test rows"]
    assert page.cards[0].value == "8 of 8"


def test_of_a_killed_run_nothing_is_foretold(run_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "long"
    folder.mkdir()
    lines = (run_folder / "events.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "events.jsonl").write_bytes(b"".join(lines[: len(lines) // 2]))
    (folder / "run.json").touch()
    with at_work(folder / "run.json"):
        assert run_page(snapshot(folder)).cards[0].detail.endswith("left")
    page = run_page(snapshot(folder))
    assert (page.standing.word, page.cards[0].detail) == ("stopped", "")
    assert "Answers now" not in [card.name for card in page.cards]


def test_a_run_that_has_said_nothing_has_a_page(tmp_path: Path) -> None:
    (tmp_path / "long").mkdir()
    (tmp_path / "long" / "events.jsonl").touch()
    page = run_page(snapshot(tmp_path / "long"))
    assert (page.standing.word, page.title, page.alerts) == ("preparing", "long", [])


def test_the_first_metric_of_the_scores_leads(run_folder: Path) -> None:
    assert lead_of(snapshot(run_folder).reading.view, metric_infos()).name == "auroc"
    assert lead_of(View(), metric_infos()).name == "auroc"


def test_the_list_has_the_runs(run_folder: Path) -> None:
    rows = list_rows(Live(Source(run_folder, "simulated")).overview())
    assert [(row.name, row.progress, row.standing.word) for row in rows] == [("long", "8 of 8", "finished")]
    assert rows[0].score.startswith("AUROC 0.")
