"""The resident gateway: one process per site that takes the SuperNode's messages and hands them to the trainer.

    python -m client.gateway DIR

It stands in for Flower's executor, which starts a process per message and runs what the coordinator's app bundle says.
Here nothing of a bundle is ever unpacked or imported: its hash is that of the installed thin app, or the message is
refused. The gateway sees no data, knows no torch and says nothing but what the trainer said, or a fixed word.
"""

import logging
import os
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Final

import httpx
from flwr.app import Message

from client.flower_runtime import GivenUpError, Runtime, Task, open_runtime
from client.gateway_app import PATIENCE_S, forward
from client.gateway_health import serving_health
from client.ports import Ports, read_ports
from client.site_folder import SiteFolder
from client.stopping import stop_on_signals
from client.trainer_connection import TrainerConnection, connect
from common.errors import UserError
from common.failures import failure_reply
from common.flower_backoff import shorten_backoff
from common.loopback import LOOPBACK
from common.quiet import silence
from common.thin_app import expected_fab_hash, fab_hash

LOG: Final = logging.getLogger("fedpeft.gateway")
POLL_S: Final = 0.2
RETRY_S: Final = 1.0
HEARTBEAT_S: Final = 10.0
"""A SuperNode gives a task up after a minute without."""


@dataclass(frozen=True)
class Gateway:
    """Messages of one SuperNode, answered one after the other."""

    runtime: Runtime
    trainer: TrainerConnection
    accepted: str
    """Hash of the only app bundle whose messages are forwarded."""
    heartbeat_s: float = HEARTBEAT_S
    patience_s: float = PATIENCE_S

    def run(self, stop: Event) -> None:
        """Work until `stop` is set, through restarts of SuperNode and trainer."""
        pool, lost = ThreadPoolExecutor(1, "message"), False
        while _finished(coming := pool.submit(self.work, stop), stop):
            failure = coming.exception()
            gone = isinstance(failure, httpx.TransportError)
            if failure is not None and not (lost and gone):
                LOG.warning("no message could be taken or answered (%s)", type(failure).__name__)
            lost = gone
            if failure is not None:
                stop.wait(RETRY_S)
        pool.shutdown(wait=False)

    def work(self, stop: Event) -> None:
        """Take and answer one message, or wait a little where there is none."""
        token = self.runtime.acquire()
        if token is None:
            stop.wait(POLL_S)
        while token is not None:
            token = self._answer(token)

    def _answer(self, token: str) -> str | None:
        """Answer one message; return the token of another one that is there instead of it.

        A SuperNode offers a message only when the one before is answered, or was dropped with its run while its parts
        were on their way: then they never come.
        """
        following: list[str] = []

        def is_given_up() -> bool:
            found = self.runtime.acquire()
            following.extend([] if found is None else [found])
            return found is not None

        try:
            with self._beating(token), self.runtime.task(token, is_given_up=is_given_up) as task:
                LOG.info("a message is taken")
                task.answer(self.reply_to(task))
                LOG.info("its answer is given")
        except GivenUpError:
            LOG.info("a message whose run has ended is left")
            return following[0]
        return None

    def reply_to(self, task: Task) -> Message:
        """Return what the trainer answers, or a failure in a fixed word."""
        if fab_hash(task.fab) != self.accepted:
            LOG.warning("a message of an unknown app bundle was refused")
            return failure_reply("APP_REFUSED", task.message)
        with ThreadPoolExecutor(1, "forward") as pool:
            coming = pool.submit(forward, task.message, self.trainer, patience_s=self.patience_s)
        failure = coming.exception()
        if failure is not None:
            LOG.error("a message could not be forwarded (%s)", type(failure).__name__)
            return failure_reply("GATEWAY_ERROR", task.message)
        return coming.result()

    @contextmanager
    def _beating(self, token: str) -> Iterator[None]:
        done = Event()
        thread = Thread(target=self._beat, args=(token, done), daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _beat(self, token: str, done: Event) -> None:
        while not done.wait(self.heartbeat_s):
            try:
                self.runtime.beat(token)
            except httpx.HTTPError as error:
                LOG.warning("a heartbeat was not taken (%s)", type(error).__name__)


def _finished(coming: "Future[None]", stop: Event) -> bool:
    """Wait until something is done, or is no longer to be waited for."""
    while not stop.is_set() and wait([coming], timeout=POLL_S).not_done:
        continue
    return not stop.is_set()


def read_secret(folder: SiteFolder) -> bytes:
    """Return what SuperNode and gateway share."""
    try:
        return folder.runtime_secret.read_bytes()
    except OSError as error:
        raise UserError(f"keys/{folder.runtime_secret.name} of the site cannot be read ({error.strerror})") from None


def run(folder: SiteFolder, ports: Ports, stop: Event) -> None:
    """Forward messages from the SuperNode at these ports to the trainer of `folder` until `stop` is set."""
    if not shorten_backoff():
        LOG.warning("Flower's back-off has other names than in 1.41: messages take longer")
    address = f"{LOOPBACK}:{ports.runtime}"
    with (
        serving_health(ports.gateway),
        open_runtime(address, read_secret(folder)) as runtime,
        connect(folder) as trainer,
    ):
        Gateway(runtime, trainer, expected_fab_hash()).run(stop)


def main(arguments: list[str]) -> int:
    """Run the gateway of the site's folder, to SIGTERM."""
    silence(os.environ)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    LOG.setLevel(logging.INFO)
    stop, folder = stop_on_signals(), SiteFolder(Path(arguments[0]).resolve())
    try:
        run(folder, read_ports(folder), stop)
    except UserError as error:
        sys.stderr.write(f"gateway: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))  # a call to the trainer may be under way: who asks again gets its answer
