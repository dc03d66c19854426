"""`fedpeft track`: afterwards, over several seeds, and what is said where it cannot."""

import fcntl
import shutil
from pathlib import Path

import pytest

from common.command import main
from server.trackers.csv import FILE
from server.tracking.process import lock_of


def run_command(*words: object) -> int:
    try:
        return main([str(word) for word in words])
    except SystemExit as ended:
        return int(ended.code or 0)


def test_a_run_is_tracked_afterwards_and_again_changes_nothing(
    own_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command("track", own_run, "--to", "csv", "--to", "tensorboard") == 0
    assert capsys.readouterr().out == f"csv has all of {own_run}\ntensorboard has all of {own_run}\n"
    before = (own_run / FILE).read_bytes()
    assert run_command("track", own_run, "--to", "csv") == 0
    assert (own_run / FILE).read_bytes() == before


def test_runs_over_several_seeds_are_tracked_each(own_run: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        shutil.copytree(own_run, tmp_path / "seeds" / f"seed-{seed}")
    assert run_command("track", tmp_path / "seeds", "--to", "csv") == 0
    assert len(list((tmp_path / "seeds").glob(f"seed-*/{FILE}"))) == 2


def test_a_run_under_way_is_tracked_as_far_as_it_is(own_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (own_run / "results.json").unlink()
    lines = (own_run / "events.jsonl").read_bytes().splitlines(keepends=True)
    done = next(i for i, line in enumerate(lines) if b'"round_finished"' in line)
    (own_run / "events.jsonl").write_bytes(b"".join(lines[: done + 1]))
    assert run_command("track", own_run, "--to", "csv") == 0
    assert capsys.readouterr().out == f"csv has {own_run} up to round 1; the run is not complete\n"


def test_what_cannot_be_is_one_line(own_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("track", tmp_path, "--to", "csv") == 2
    assert "holds no run that has begun" in capsys.readouterr().err
    with lock_of(own_run, "csv").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert run_command("track", own_run, "--to", "csv") == 2
    assert "another process tracks" in capsys.readouterr().err
    (own_run / FILE).write_text("day,beds\n")
    assert run_command("track", own_run, "--to", "csv") == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert f"fedpeft track {own_run} --to csv" in err
