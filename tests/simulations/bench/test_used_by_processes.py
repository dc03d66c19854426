"""A process that this one started is found with what it did; one that it did not start is not."""

import os
import subprocess
import sys

from simulations.bench.used_by_processes import tree

BUSY = (
    "import time\nheld = bytearray([1]) * 50_000_000\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
)


def test_what_a_child_of_a_child_used_is_found() -> None:
    started = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BUSY!r}])"
    with subprocess.Popen([sys.executable, "-c", started], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()
        found = tree()
        child.stdin.write(b"\n")
    assert os.getpid() in found
    assert os.getppid() not in found
    busy = [
        used for used in found.values() if used.own_mb > 47 and 0.25 <= used.cpu_s < 1 and used.name == sys.executable
    ]
    assert len(busy) == 1
    assert child.pid in found
