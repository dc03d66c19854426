"""Facts about the machine, against what other programs say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from common import machine


def test_versions_are_those_that_pip_sees() -> None:
    found = machine.versions()
    assert found["python"] == sys.version.split()[0]
    assert found["torch"] == torch.__version__
    assert set(found) == {"python", *machine.LIBRARIES}


def test_a_container_s_limit_lowers_the_memory(tmp_path: Path) -> None:
    total = machine.memory_bytes(tmp_path / "none")
    assert total is not None
    limit = tmp_path / "memory.max"
    for text, expected in [("max\n", total), ("1048576\n", 2**20), (f"{2**62}\n", total)]:
        limit.write_text(text)
        assert machine.memory_bytes(limit) == expected


@pytest.mark.skipif(not Path("/proc/meminfo").is_file(), reason="needs Linux")
def test_memory_is_the_kernel_s(tmp_path: Path) -> None:
    kib = int(Path("/proc/meminfo").read_text().split("MemTotal:")[1].split()[0])
    assert machine.memory_bytes(tmp_path / "none") == pytest.approx(kib * 1024, rel=1e-3)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_cores_follow_the_affinity() -> None:
    program = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from common.machine import usable_cores; assert usable_cores() == 1"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_disk_leaves_no_trace(tmp_path: Path) -> None:
    found = machine.disk(tmp_path, size_bytes=2**20)
    assert found.write_bytes_per_s is not None
    assert found.write_bytes_per_s > 0
    assert found.free_bytes > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix" or not Path("/proc/self").is_dir(), reason="needs Linux")
def test_a_folder_that_cannot_be_written() -> None:
    assert machine.disk(Path("/proc/self"), size_bytes=2**20).write_bytes_per_s is None


def test_bf16_speed_is_a_ratio() -> None:
    found = machine.bf16(torch)
    assert found.device in {"cpu", "cuda"}
    assert 0.001 < found.speedup < 1000
