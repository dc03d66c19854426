"""`fedpeft compare` from outside: what it lists, what it refuses, and how it goes on after Ctrl-C and SIGKILL."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common.command import main

ROOT = Path(__file__).resolve().parents[3]
# Whoever runs the tests in the background has SIGINT ignored, and what they start would inherit that.
_SCRIPT = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from common.command import main; sys.exit(main())"
)
COMMAND = [sys.executable, "-c", _SCRIPT, "compare"]


def test_the_bundled_grids_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["compare", "--list"])
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["quick-compare", "ranks-heart", "strategies-heart", "strategies-skew"]


def test_a_mistake_is_one_line_and_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "g.toml"
    path.write_text('name = "g"\nstudy = "quick"\nseedz = 1\n[[strategy]]\nname = "fedavg"\n')
    assert main(["compare", str(path), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == f"fedpeft: {path}: seedz: unknown key; did you mean 'seeds'?\n"
    assert not (tmp_path / "out").exists()


def started(out: Path, *options: str) -> "subprocess.Popen[str]":
    """Start the small grid in a process group of its own, as a terminal does."""
    command = [*COMMAND, "quick-compare", "--out", str(out), *options]
    return subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def finished(out: Path) -> set[str]:
    return {path.parent.name for path in (out / "runs").glob("*/result.json")}


def wait_for_a_run(process: "subprocess.Popen[str]", out: Path) -> None:
    while not finished(out) and process.poll() is None:
        time.sleep(0.05)


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(tmp_path: Path) -> None:
    out, workers = tmp_path / "out", "2"
    process = started(out, "--workers", workers)
    wait_for_a_run(process, out)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    last = said.strip().splitlines()[-1]
    words = ["fedpeft", "compare", "quick-compare", "--out", str(out), "--workers", workers]
    assert last == f"interrupted; finished runs are kept, go on with: {shlex.join(words)}"
    assert "Traceback" not in said
    kept = finished(out)
    assert kept
    again = started(out, "--json", "--workers", workers)
    printed, _ = again.communicate(timeout=300)
    assert again.returncode == 0
    assert len(json.loads(printed)["runs"]) == 4
    assert kept < finished(out)


@pytest.mark.slow
def test_a_command_that_was_killed_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = started(out, "--workers", "1")
    wait_for_a_run(process, out)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    again = started(out, "--workers", "1")
    again.communicate(timeout=300)
    assert again.returncode == 0
    assert len(finished(out)) == 8
    assert not list((out / "runs").glob(".part-*"))
