import shutil
from pathlib import Path

from server.dashboard.folders import Source
from server.dashboard.live import Live


def test_a_run_is_read_once_and_known_again(run_folder: Path) -> None:
    live = Live(Source(run_folder, "simulated"))
    live.read_ahead()
    first, again = live.snapshot("long"), live.snapshot("long")
    assert first is not None
    assert again is not None
    assert again.reading is first.reading or again.reading.view is first.reading.view
    assert (first.reading.view.done, first.standing.word, first.version) == (8, "finished", again.version)


def test_a_name_that_never_was_is_none(run_folder: Path) -> None:
    live = Live(Source(run_folder, "simulated"))
    assert [live.snapshot(name) for name in ("other", "..", "long/..", "")] == [None] * 4


def test_a_run_whose_folder_goes_is_still_shown(run_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(run_folder, tmp_path / "runs" / "long")
    live = Live(Source(tmp_path / "runs", "simulated"))
    before = live.snapshot("long")
    (tmp_path / "runs" / "long").rename(tmp_path / "away")
    gone = live.snapshot("long")
    assert before is not None
    assert gone is not None
    assert not gone.reading.is_there
    assert gone.reading.view == before.reading.view
    assert gone.version != before.version


def test_the_overview_needs_no_whole_reading(run_folder: Path) -> None:
    where, last = Live(Source(run_folder, "simulated")).overview()["long"]
    assert (where.word, last.round) == ("finished", 8)
