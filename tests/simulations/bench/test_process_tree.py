"""A process that this test started, with a child that computes and holds memory."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from time import process_time

import pytest

from simulations.bench.process_tree import cpu_seconds, memory_mb, peak_of_tree, tree, used

pytestmark = pytest.mark.processes
CHILD = """
import sys, time
held = b"x" * (100 << 20)
while time.process_time() < 0.5: pass
print(flush=True); sys.stdin.read()
"""
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline(); print(child.pid, flush=True); sys.stdin.readline()
child.stdin.close(); child.wait(); print(flush=True); sys.stdin.read()
"""


@contextmanager
def family() -> "Iterator[tuple[subprocess.Popen[bytes], int]]":
    command = [sys.executable, "-c", PARENT, CHILD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        yield parent, int(parent.stdout.readline())
        parent.kill()


def test_what_a_child_does_is_its_parents_also_when_it_is_gone() -> None:
    with family() as (parent, child):
        assert tree(parent.pid) == [parent.pid, child]
        assert parent.pid in tree(os.getpid())
        with peak_of_tree(parent.pid) as peak:
            Event().wait(0.3)
        assert 0.45 <= cpu_seconds([child]) < 5
        assert cpu_seconds([parent.pid]) < cpu_seconds(tree(parent.pid))
        own = used([parent.pid, child])
        assert list(own) == [parent.pid, child]
        assert own[child].name == sys.executable
        assert own[child].cpu_s == cpu_seconds([child])
        assert own[parent.pid].own_mb < 50 < 100 < own[child].own_mb < memory_mb([child]) + 1
        assert 100 < memory_mb([child]) < memory_mb(tree(parent.pid)) < 200
        assert 100 < peak.mb < 200
        assert parent.stdin is not None
        assert parent.stdout is not None
        parent.stdin.write(b"\n")
        parent.stdin.flush()
        parent.stdout.readline()
        assert tree(parent.pid) == [parent.pid]
        assert cpu_seconds([parent.pid]) >= 0.45
    assert tree(parent.pid) == []
    assert memory_mb([parent.pid]) == cpu_seconds([parent.pid]) == 0
    assert used([parent.pid]) == {}


def test_processor_time_is_in_seconds() -> None:
    before, own = cpu_seconds([os.getpid()]), process_time()
    while process_time() - own < 0.3:
        pass
    assert cpu_seconds([os.getpid()]) - before == pytest.approx(0.3, abs=0.1)
