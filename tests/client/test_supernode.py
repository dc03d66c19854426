"""A SuperNode whose loop has ended is a process that has ended."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from threading import Event, Thread
from client.supernode import end_with

def work():
    Thread(target=Event().wait).start()  # as those that Flower leaves
    print("worked")
    {end}

end_with(work)
"""


@pytest.mark.processes
@pytest.mark.parametrize(
    ("end", "code", "said"),
    [("return", 0, ""), ("sys.exit('x')", 1, ""), ("raise ConnectionError('EOF')", 1, "ConnectionError: EOF")],
)
def test_the_process_ends_with_its_work_whatever_threads_are_left(end: str, code: int, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(end=end)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (code, "worked\n")
    assert said in done.stderr
