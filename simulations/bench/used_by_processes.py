"""What this process and all that it started, directly or not, have used, from /proc."""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Used:
    """One process: what it calls itself, its CPU seconds, memory of its own and memory shared with others, in MB."""

    name: str
    cpu_s: float
    own_mb: float
    shared_mb: float


def tree() -> dict[int, Used]:
    """Return the processes by pid, those that are gone left out."""
    parents = dict(_parents())
    found = {}
    for pid in parents:
        if _is_below(pid, os.getpid(), parents):
            with suppress(OSError):
                found[pid] = _used(Path("/proc", str(pid)))
    return found


def _parents() -> Iterator[tuple[int, int]]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            yield int(path.parent.name), int(_fields(path)[1])


def _fields(stat: Path) -> list[str]:
    """Return the fields after the command, which alone may have blanks; see proc(5)."""
    return stat.read_text().rpartition(")")[2].split()


def _is_below(pid: int, ancestor: int, parents: Mapping[int, int]) -> bool:
    while pid != ancestor and pid in parents:
        pid = parents[pid]
    return pid == ancestor


def _used(process: Path) -> Used:
    user, system = (int(ticks) for ticks in _fields(process / "stat")[11:13])
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    name = (process / "cmdline").read_bytes().split(b"\0")[0].decode()
    kb = {key: int(status.get(key, "0 kB").split()[0]) for key in ("RssAnon", "RssShmem")}
    cpu_s = (user + system) / os.sysconf("SC_CLK_TCK")
    return Used(name, cpu_s, kb["RssAnon"] / 1024, kb["RssShmem"] / 1024)
