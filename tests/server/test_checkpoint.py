import json
import signal
import subprocess
import sys
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import CheckpointError
from common.privacy._accounting import Spending
from common.state import digest_state
from server import checkpoint
from server.packed_record import PackedRecord
from server.state import Best, ServerState, fresh_state

ROOT = Path(__file__).resolve().parents[2]


def state(round_number: int = 3) -> ServerState:
    shared = {"a.weight": np.full((2, 3), round_number, np.float32), "b": np.float32([-0.0])}
    return ServerState(
        run="r",
        study="sha256:s",
        seed=5,
        shared=shared,
        round=round_number,
        memory={"momentum/a.weight": np.arange(6.0).reshape(2, 3).T, "steps": np.int64([7])},
        examples={"north": 10},
        initial={"pooled": {"auroc": {"value": 0.5, "low": None, "high": None, "n": 3}}},
        history=({"round": 1, "validation": None}, {"round": 2, "validation": {"sites": {}}}),
        best=Best(2, "auroc", 0.75, ("a", "b"), {"a.weight": np.ones((2, 3), np.float32), "b": np.float32([1])}),
        spent=(Spending(1.1, 1.0, 2), Spending(0.1 + 0.2, 1.0, 1)),
    )


def same(left: ServerState, right: ServerState) -> bool:
    def bare(s: ServerState) -> ServerState:
        return replace(s, shared={}, memory={}, best=s.best and replace(s.best, shared={}))

    def arrays(s: ServerState) -> list[str]:
        return [digest_state(s.shared), digest_state(s.memory), digest_state(s.best.shared if s.best else {})]

    return bare(left) == bare(right) and arrays(left) == arrays(right)


def read(folder: Path) -> ServerState:
    return checkpoint.read(folder, study="sha256:s", seed=5)


def is_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except ValueError:
        return False
    return True


def test_a_state_comes_back_whole(tmp_path: Path) -> None:
    for written in (state(), replace(state(), best=None, initial=None, history=(), memory={})):
        checkpoint.write(tmp_path, written)
        assert same(read(tmp_path), written)


def test_a_fresh_run_has_an_id_of_its_own(tmp_path: Path) -> None:
    made = [fresh_state({"a": np.float32([1])}, study="sha256:s", seed=5) for _ in range(2)]
    assert made[0].run != made[1].run
    checkpoint.write(tmp_path, made[0])
    assert same(read(tmp_path), made[0])


def test_only_the_newest_stays_on_disk(tmp_path: Path) -> None:
    for number in range(1, 4):
        checkpoint.write(tmp_path, state(number))
    checkpoint.write(tmp_path, state(3))
    assert len(list(tmp_path.iterdir())) == 2
    assert read(tmp_path).round == 3


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(which=st.integers(0, 2), cut=st.floats(0, 1), change=st.integers(0, 255))
def test_any_truncated_or_changed_file_is_one_clear_error(tmp_path: Path, which: int, cut: float, change: int) -> None:
    checkpoint.write(tmp_path, state())
    path = sorted(p for p in tmp_path.rglob("*") if p.is_file())[which]
    content = path.read_bytes()
    at = int(cut * (len(content) - 1))
    broken = content[:at] if change == 0 else content[:at] + bytes([content[at] ^ change]) + content[at + 1 :]
    path.write_bytes(broken)
    if path.name == "current.json" and is_json(broken) and json.loads(broken) == json.loads(content):
        assert same(read(tmp_path), state())
        return
    with pytest.raises(CheckpointError, match=r"^[^\n]+$"):
        read(tmp_path)


def test_a_checkpoint_is_written_without_a_copy_of_the_state(tmp_path: Path) -> None:
    large = replace(state(), shared={"a.weight": np.zeros(1_000_000, np.float32)})
    tracemalloc.start()
    checkpoint.write(tmp_path, large)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000
    assert same(read(tmp_path), large)


def test_nothing_there_and_a_foreign_run_say_so(tmp_path: Path) -> None:
    assert not checkpoint.exists(tmp_path)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        read(tmp_path)
    checkpoint.write(tmp_path, state())
    assert checkpoint.exists(tmp_path)
    with pytest.raises(CheckpointError, match="of study sha256:s, this is sha256:other"):
        checkpoint.read(tmp_path, study="sha256:other", seed=5)
    with pytest.raises(CheckpointError, match="seed 5, this is 6"):
        checkpoint.read(tmp_path, study="sha256:s", seed=6)


def test_a_newer_format_says_so(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, state())
    current = json.loads((tmp_path / "current.json").read_text())
    (tmp_path / "current.json").write_text(json.dumps({**current, "format": 3}))
    with pytest.raises(CheckpointError, match="format 3, this version reads 2"):
        read(tmp_path)


WRITER = """
import sys
from pathlib import Path
import numpy as np
from server import checkpoint
from server.state import ServerState
for number in range(1, 100000):
    shared = {"x": np.full(50_000, number, np.float32)}
    checkpoint.write(Path(sys.argv[1]), ServerState(run="r", study="sha256:s", seed=5, shared=shared, round=number))
"""


@pytest.mark.processes
@pytest.mark.parametrize("attempt", range(5))
def test_kill_9_leaves_a_whole_checkpoint(tmp_path: Path, attempt: int) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], cwd=ROOT) as writer:
        end = time.monotonic() + 30
        while not checkpoint.exists(tmp_path) and time.monotonic() < end:
            assert writer.poll() is None
        until = time.monotonic() + 0.03 + 0.017 * attempt
        while time.monotonic() < until:
            pass
        writer.send_signal(signal.SIGKILL)
    found = read(tmp_path)
    assert found.round >= 1
    np.testing.assert_array_equal(found.shared["x"], np.float32(found.round))
    checkpoint.write(tmp_path, state(9))
    assert len(list(tmp_path.glob("round-*"))) == 1


RECORDS = [{"round": n, "participation": {"east": {"status": "accepted"}}, "validation": {"x": n}} for n in (1, 2, 3)]


def with_records(count: int) -> ServerState:
    """A run whose records before the last are complete."""
    packed = [PackedRecord.of(record) for record in RECORDS[: count - 1]]
    return replace(state(count), history=(*packed, {**RECORDS[count - 1], "validation": None}))


def test_complete_records_are_written_once_and_come_back(tmp_path: Path) -> None:
    times: dict[str, int] = {}
    for count in (1, 2, 3):
        checkpoint.write(tmp_path, with_records(count))
        files = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "records").glob("*")}
        assert times.items() <= files.items()
        times = files
    assert len(times) == 2
    history = read(tmp_path).history
    assert [dict(record) for record in history] == [*RECORDS[:2], {**RECORDS[2], "validation": None}]
    assert "participation" not in next(tmp_path.glob("round-*/state.json")).read_text().replace(
        json.dumps({**RECORDS[2], "validation": None}, sort_keys=True, separators=(",", ":")), ""
    )


def test_a_record_that_is_damaged_or_gone_is_one_clear_error(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, with_records(3))
    first = min((tmp_path / "records").iterdir())
    whole = first.read_bytes()
    for content in (whole[:-1], whole.replace(b"east", b"west")):
        first.write_bytes(content)
        with pytest.raises(CheckpointError, match=first.name):
            read(tmp_path)
    first.unlink()
    with pytest.raises(CheckpointError, match="damaged"):
        read(tmp_path)


def test_a_record_of_a_state_that_never_counted_does_not_stay(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, with_records(2))
    stray = tmp_path / "records" / "000002-0000000000000000.json"
    stray.write_text("{}")
    assert same(read(tmp_path), with_records(2))
    checkpoint.write(tmp_path, with_records(3))
    assert not stray.exists()


def test_a_checkpoint_of_the_first_format_is_read(tmp_path: Path) -> None:
    written = state()
    checkpoint.write(tmp_path, written)
    current = json.loads((tmp_path / "current.json").read_text())
    (tmp_path / "current.json").write_text(json.dumps({**current, "format": 1}))
    assert same(read(tmp_path), written)
