"""Killed (`kill -9`) at any step of an addition, a promotion or pruning, all is as before, or as after.

The writer is a process of its own that kills itself just before its n-th rename, removal of a folder, or line of the
history.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from common.adapter_folder import read_adapter
from common.registry.store import Registry

pytestmark = pytest.mark.processes
ROOT = Path(__file__).resolve().parents[3]
WRITER = """
import os, signal, sys
from pathlib import Path
import common.adapter_folder, common.registry.facts
from common.registry.store import Registry
folder, run, *points = map(str, sys.argv[1:])
registry, left = Registry(Path(folder)), 0

def watch(event, arguments):
    global left
    is_write = event in ("os.rename", "os.rmdir") or (event == "open" and "history.jsonl" in str(arguments[0]))
    if is_write and left:
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(watch)
for point in map(int, points):
    if os.fork() == 0:
        left = point
        registry.add(Path(run))
        registry.promote("quick", 2)
        registry.prune("quick", 1)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
    os.rename(folder, folder + "-" + str(point))
    os.system("cp -r '" + folder + "-0' '" + folder + "'")
"""


def test_killed_anywhere_a_version_is_whole_or_not_there(make_run: Callable[..., Path], tmp_path: Path) -> None:
    folder, run = tmp_path / "registry", make_run(tmp_path / "run", 2)
    Registry(folder).add(make_run(tmp_path / "first", 1))
    before = read_adapter(Registry(folder).adapter("quick", 1)).digests
    shutil.copytree(folder, f"{folder}-0")
    points = range(1, 13)
    command = [sys.executable, "-c", WRITER, str(folder), str(run), *map(str, points)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    codes = done.stdout.split()
    assert codes[0] == "-9"
    assert codes[-1] == "0", "there are more steps than points: count them again"
    seen = [check_after(Path(f"{folder}-{point}"), run, before) for point in points]
    assert seen == sorted(seen)  # nothing comes and goes again
    assert {((1,), 0), ((1, 2), 0), ((1, 2), 2)} == set(seen)


def check_after(folder: Path, run: Path, before: object) -> tuple[tuple[int, ...], int]:
    """What is there is sound; and the next writer finishes the work, whatever was left."""
    registry = Registry(folder)
    numbers = tuple(each.number for each in registry.versions("quick"))
    promoted = registry.current("quick").version
    assert registry.problems("quick") == []
    for number in numbers:
        if not registry.is_pruned("quick", number):
            digests = read_adapter(registry.adapter("quick", number)).digests
            assert number == 2 or digests == before
    if numbers == (1,):
        assert registry.add(run).number == 2
    if promoted is None:
        registry.promote("quick", 2)
    registry.prune("quick", 1)
    assert registry.model("quick").leftovers() == []
    assert sorted(path.name for path in (folder / "quick/versions/0001").iterdir()) == ["pruned.json", "version.json"]
    return numbers, promoted or 0
