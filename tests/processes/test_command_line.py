"""The command line as a shell sees it over whole runs: exit codes, what is on stdout and stderr, Ctrl-C."""

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.processes

FAST = ("--set=training.local_epochs=1", "--set=evaluation.resamples=10", "--rounds=2")
QUICK = ("simulate", "quick", "--no-comparison", *FAST)


@pytest.fixture(scope="module")
def finished(warm: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A run whose study has a text that a terminal's markup could change."""
    folder = tmp_path_factory.mktemp("finished")
    done = warm(folder, *QUICK, "--out", folder / "run", "--json", "--set", "description=:heart: [bold]5 % of a\\b")
    return folder / "run", done


def test_json_is_results_json_and_nothing_else(finished: tuple[Path, Any]) -> None:
    out, done = finished
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out) == json.loads((out / "results.json").read_text())
    assert json.loads(done.out)["study"]["description"] == ":heart: [bold]5 % of a\\b"


def test_a_piped_run_prints_its_table_no_progress_and_the_new_folder_that_it_made(warm: Any, tmp_path: Path) -> None:
    done = warm(tmp_path, *QUICK)
    assert (done.code, done.err) == (0, "")
    (folder,) = (tmp_path / "runs").iterdir()
    assert "validation AUROC" in done.out
    assert "\x1b" not in done.out
    assert done.out.endswith(f"report   runs/{folder.name}/report.html\nadapter  runs/{folder.name}/adapter\n")
    assert (folder / "report.html").is_file()


def test_report_writes_the_report_again(warm: Any, finished: tuple[Path, Any], tmp_path: Path) -> None:
    out, _ = finished
    before = (out / "report.html").read_bytes()
    (out / "report.html").unlink()
    done = warm(tmp_path, "report", out)
    assert (done.code, done.err) == (0, "")
    assert (out / "report.html").read_bytes() == before


@pytest.mark.parametrize("event", ["reply", "run_finished", None])
def test_ctrl_c_says_how_to_go_on_and_that_works(
    warm: Any, finished: tuple[Path, Any], tmp_path: Path, event: str | None
) -> None:
    """None: while the run is prepared, before there is any event."""
    out = tmp_path / "a run"
    record = out / "events.jsonl"

    def reached() -> bool:
        return out.exists() if event is None else record.exists() and f'"{event}"' in record.read_text()

    done = warm.start(tmp_path, *QUICK, "--out", "a run").signal_when(reached, signal.SIGINT)
    assert (done.code, done.out, done.err.count("\n")) == (130, "", 1)
    assert done.err.startswith("interrupted; go on with: fedpeft simulate quick ")
    command = shlex.split(done.err.partition(": ")[2])
    assert command[:1] == ["fedpeft"]
    again = warm(tmp_path, *command[1:])
    assert (again.code, again.err) == (0, "")
    adapters = [
        json.loads((folder / "results.json").read_text())["digests"]["adapter"] for folder in (out, finished[0])
    ]
    assert adapters[0] == adapters[1]


def test_every_site_diverging_is_exit_3_and_leaves_a_checkpoint(warm: Any, tmp_path: Path) -> None:
    done = warm(tmp_path, *QUICK, "--out", "run", "--set=training.learning_rate=1e30", "--set=training.clip_norm=1e30")
    assert (done.code, done.out, len(done.err.splitlines())) == (3, "", 1)
    assert "round 1: 0 of 3 sites sent an accepted reply, 2 are needed: east failed (TRAINING_DIVERGED)" in done.err
    assert "Round 0 is in the checkpoint" in done.err
    assert (tmp_path / "run" / "checkpoint" / "current.json").exists()
    assert not (tmp_path / "run" / "results.json").exists()
    assert not (tmp_path / "run" / "adapter").exists()


def test_the_installed_script_is_the_same_command(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("fedpeft")
    done = subprocess.run(
        [script, "simulate", "quick", "--runtime", "rey"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "fedpeft: --runtime 'rey' does not exist; there are: inprocess, ray\n"
    assert list(tmp_path.iterdir()) == []
