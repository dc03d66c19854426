"""What this machine has, as plain values: versions, cores, memory, GPUs, bf16 speed, disk."""

import importlib
import math
import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shutil import disk_usage
from typing import Any  # torch is imported by name, where it is installed

LIBRARIES = ("fedpeft", "flwr", "numpy", "torch", "transformers", "peft", "scikit-learn", "ray")
CGROUP_MEMORY = Path("/sys/fs/cgroup/memory.max")
ENOUGH_S = 0.5
"""A product that takes this long is measured well enough, and needs no repetition."""


@dataclass(frozen=True)
class Gpu:
    """One GPU; `bf16` says whether it computes in bfloat16 without emulation."""

    name: str
    memory_bytes: int
    bf16: bool


@dataclass(frozen=True)
class Bf16:
    """Speed of a bfloat16 matrix product on `device`, as a multiple of float32's (1 is equal, above 1 is faster)."""

    device: str
    speedup: float


@dataclass(frozen=True)
class Disk:
    """Space and speed in the current folder; `write_bytes_per_s` is None where nothing can be written."""

    free_bytes: int
    write_bytes_per_s: float | None


def versions() -> dict[str, str | None]:
    """Return the versions of Python and of the libraries that matter; None where one is not installed."""
    return {"python": platform.python_version(), **{name: _version(name) for name in LIBRARIES}}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def usable_cores() -> int:
    """Return the number of cores that this process may use, which in a container can be fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_bytes(limit: Path = CGROUP_MEMORY) -> int | None:
    """Return the machine's memory, or its container's limit (a cgroup file) where that is lower; None if unknown."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError):  # not a POSIX system
        return None
    text = limit.read_text().strip() if limit.is_file() else "max"
    return min(total, int(text)) if text.isdigit() else total


def available_memory(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Return the memory, in bytes, that programs can take now without any being swapped out; half of all if unknown."""
    total = memory_bytes() or 2**32
    lines = meminfo.read_text().splitlines() if meminfo.is_file() else []
    found = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), None)
    return total // 2 if found is None else min(total, 1024 * int(found))


def disk(folder: Path, *, size_bytes: int = 32 * 2**20) -> Disk:
    """Measure `folder` by writing a file of `size_bytes` that leaves no trace."""
    block = os.urandom(2**20)  # not zeros: some file systems store those for nothing
    free = disk_usage(folder).free
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            start = time.perf_counter()
            for _ in range(size_bytes // len(block)):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
            return Disk(free, size_bytes / (time.perf_counter() - start))
    except OSError:
        return Disk(free, None)


def load_torch() -> Any | None:
    """Return torch, or None where it is not installed or its libraries do not load."""
    try:
        return importlib.import_module("torch")
    except (ImportError, OSError):
        return None


def gpus(torch: Any) -> list[Gpu]:
    """Return the GPUs that this torch can use."""
    found = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    # Compute capability 8.0 (Ampere) is the first with bfloat16 units; ROCm's numbers start at 9.
    return [Gpu(each.name, each.total_memory, (each.major, each.minor) >= (8, 0)) for each in found]


def bf16(torch: Any) -> Bf16:
    """Measure a matrix product in bfloat16 against float32, on the GPU if there is one.

    It takes about 0.1 s, or two products in bfloat16 where these are emulated: 2 s on a slow core.
    """
    device = "cuda" if torch.cuda.device_count() else "cpu"
    size = 4096 if device == "cuda" else 768
    wait = torch.cuda.synchronize if device == "cuda" else _nothing
    seconds = {dtype: _product_seconds(torch, size, dtype, device, wait) for dtype in (torch.float32, torch.bfloat16)}
    return Bf16(device, seconds[torch.float32] / seconds[torch.bfloat16])


def _product_seconds(torch: Any, size: int, dtype: Any, device: str, wait: Callable[[], None]) -> float:
    matrix = torch.ones(size, size, dtype=dtype, device=device)
    matrix @ matrix
    wait()
    best, spent = math.inf, 0.0
    for _ in range(5):
        seconds = _seconds(lambda: matrix @ matrix, wait)
        best, spent = min(best, seconds), spent + seconds
        if spent > ENOUGH_S:
            break
    return best


def _seconds(call: Callable[[], object], wait: Callable[[], None]) -> float:
    start = time.perf_counter()
    call()
    wait()
    return time.perf_counter() - start


def _nothing() -> None:
    """Stand for the wait that a CPU does not need."""
