"""Groups of sites in real processes: killed or interrupted while they train, a run goes on to the same bytes."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.processes

SITES = 7
EPOCHS = 8
OPTIONS = (
    "--no-comparison",
    "--threads=1",
    "--group-size=2",
    f"--set=simulation={{data='builtin:quick', partition={{name='iid', sites={SITES}}}}}",
    "--set=peft.private=['head.*']",
    "--set=federation.rounds=2",
    f"--set=training.local_epochs={EPOCHS}",
    "--set=evaluation.resamples=10",
)


@pytest.fixture(scope="module")
def simulate(warm: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """`simulate("out", ...)` starts a run in the folder of that name."""
    folder = tmp_path_factory.mktemp("engine")

    def start(out: str, *more: str) -> Any:
        return warm.start(folder, "simulate", "quick", *OPTIONS, "--out", folder / out, *more)

    start.folder = folder  # type: ignore[attr-defined]
    return start


def adapter(out: Path) -> dict[str, bytes]:
    files = [out / "adapter" / "adapter.safetensors", *sorted((out / "sites").glob("*/private.safetensors"))]
    assert len(files) == 1 + SITES
    return {str(file.relative_to(out)): file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def whole(simulate: Any) -> dict[str, bytes]:
    done = simulate("whole").wait()
    assert (done.code, done.err) == (0, "")
    return adapter(simulate.folder / "whole")


def events(out: Path) -> list[dict[str, Any]]:
    file = out / "events.jsonl"
    lines = file.read_text().splitlines(keepends=True) if file.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def answered(out: Path, number: int) -> int:
    return len({e["site"] for e in events(out) if e["event"] == "reply" and e["round"] == number})


def asks(out: Path, number: int) -> Callable[[], bool]:
    """Whether the round's sites have been asked: the first groups train, for as long as their steps take."""
    return lambda: any(e["event"] == "round_started" and e["round"] == number for e in events(out))


def check_goes_on(simulate: Any, name: str, whole: dict[str, bytes]) -> None:
    done = simulate(name, "--resume").wait()
    assert (done.code, done.err) == (0, "")
    assert adapter(simulate.folder / name) == whole


def test_a_run_killed_while_groups_train_ends_with_the_same_bytes(simulate: Any, whole: dict[str, bytes]) -> None:
    out = simulate.folder / "killed"
    done = simulate(out.name).signal_when(asks(out, 2), signal.SIGKILL)
    assert done.code == -signal.SIGKILL
    assert answered(out, 2) == 0
    check_goes_on(simulate, out.name, whole)


@pytest.mark.slow
def test_a_run_killed_between_the_answers_of_groups_ends_with_the_same_bytes(
    simulate: Any, whole: dict[str, bytes]
) -> None:
    """A group that has answered in part is trained whole again."""
    out = simulate.folder / "between"
    done = simulate(out.name).signal_when(lambda: answered(out, 2) >= 3, signal.SIGKILL)
    assert done.code == -signal.SIGKILL
    assert 3 <= answered(out, 2) < SITES
    check_goes_on(simulate, out.name, whole)


def test_ctrl_c_ends_groups_within_a_step_and_the_run_goes_on(simulate: Any, whole: dict[str, bytes]) -> None:
    out = simulate.folder / "interrupted"
    done = simulate(out.name).signal_when(asks(out, 2), signal.SIGINT)
    assert done.code == 130
    assert done.err.count("\n") == 1
    assert "--resume" in done.err
    assert answered(out, 2) == 0
    check_goes_on(simulate, out.name, whole)


def test_ctrl_c_does_not_wait_for_a_group_to_be_trained(simulate: Any) -> None:
    """Whose training would take the better part of an hour."""
    out = simulate.folder / "long"
    done = simulate(out.name, "--set=training.local_epochs=500000").signal_when(asks(out, 1), signal.SIGINT)
    assert done.code == 130
    assert answered(out, 1) == 0
