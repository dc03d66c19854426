"""The trainer as a process: killed, stopped in good order, hanging; whoever waits for it hears of it."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from time import monotonic

import pytest
from flwr.app import ConfigRecord, RecordDict

from client.site_folder import SiteFolder
from client.trainer_connection import TrainerConnection, TrainerFailure, connect
from client.trainer_process import GRACE_S
from common import wire

pytestmark = pytest.mark.processes


def question(text: str = "q") -> bytes:
    return wire.to_frame(RecordDict({"head": ConfigRecord({"json": text})}))


def text_of(frame: bytes) -> object:
    return wire.from_frame(frame)["head"]["json"]


@pytest.fixture
def folder(tmp_path: Path) -> SiteFolder:
    return SiteFolder(tmp_path / "site")


TRAINER = """
import sys
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from client.site_folder import SiteFolder
from client.stopping import stop_on_signals
from client.trainer_process import run

class Hospital:
    def respond(self, action, content):
        print("asked", flush=True)
        if action == "hang":
            Event().wait()
        return content
    def status(self):
        return {}

stop = stop_on_signals()
print("finished" if run(Hospital(), SiteFolder(Path(sys.argv[1])), stop) else "unfinished", flush=True)
import os
os._exit(0)
"""


@pytest.fixture
def start_trainer(folder: SiteFolder) -> Iterator[Callable[[], "subprocess.Popen[str]"]]:
    """Start a trainer in a process of its own, which ends with the test."""
    with ExitStack() as stack:

        def start() -> "subprocess.Popen[str]":
            command = [sys.executable, "-c", TRAINER, str(folder.path)]
            process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            stack.callback(process.kill)
            return process

        yield start


def wait_for(trainer: TrainerConnection) -> None:
    end = monotonic() + 20
    while monotonic() < end:
        try:
            trainer.status(timeout_s=1)
        except TrainerFailure:
            Event().wait(0.05)
        else:
            return
    pytest.fail("the trainer did not come up")


def test_a_killed_trainer_is_told_at_once_and_a_new_one_found(
    folder: SiteFolder, start_trainer: Callable[[], "subprocess.Popen[str]"]
) -> None:
    process = start_trainer()
    with connect(folder) as trainer, ThreadPoolExecutor() as pool:
        wait_for(trainer)
        asked = pool.submit(trainer.answer, "hang", question(), deadline_s=60)
        assert process.stdout is not None
        assert process.stdout.readline() == "asked\n"
        process.kill()
        killed = monotonic()
        with pytest.raises(TrainerFailure, match="TRAINER_UNAVAILABLE"):
            asked.result(timeout=10)
        assert monotonic() - killed < 1
        process.wait()
        process = start_trainer()  # the socket of the killed one is still there
        wait_for(trainer)
        assert text_of(trainer.answer("train", question("a"), deadline_s=10)) == "a"
        process.terminate()
        assert process.communicate(timeout=10)[0] == "asked\nfinished\n"


def test_a_trainer_that_hangs_is_not_waited_for_until_the_deadline(
    folder: SiteFolder, start_trainer: Callable[[], "subprocess.Popen[str]"]
) -> None:
    process = start_trainer()
    with connect(folder, look_s=0.2) as trainer, ThreadPoolExecutor() as pool:
        wait_for(trainer)
        asked = pool.submit(trainer.answer, "hang", question(), deadline_s=3600)
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(TrainerFailure, match="DEADLINE"):
            asked.result(timeout=10)


def test_a_stopped_trainer_ends_within_its_grace_though_it_is_at_work(
    folder: SiteFolder, start_trainer: Callable[[], "subprocess.Popen[str]"]
) -> None:
    process = start_trainer()
    with connect(folder) as trainer, ThreadPoolExecutor() as pool:
        wait_for(trainer)
        asked = pool.submit(trainer.answer, "hang", question(), deadline_s=60)
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        stopped = monotonic()
        assert process.wait(GRACE_S + 4) == 0
        assert monotonic() - stopped > GRACE_S - 1
        assert process.stdout.read() == "unfinished\n"
        with pytest.raises(TrainerFailure, match=r"TRAINER_UNAVAILABLE|DEADLINE"):
            asked.result(timeout=5)


def test_no_dump_of_its_memory_is_written_and_nothing_forges_its_log(tmp_path: Path) -> None:
    """A dump would hold rows. A trainer that finds no site has come far enough to say so."""
    program = (
        "import logging, resource, sys\n"
        "from client.trainer_process import main\n"
        "code = main([sys.argv[1]])\n"
        "print(code, resource.getrlimit(resource.RLIMIT_CORE))\n"
        "logging.warning('asked\\nforged\\x1b')\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "2 (0, 0)\n"
    assert done.stderr.endswith(" root WARNING asked\n    forged?\n")
