"""The trainer's figures in a file for node_exporter, by a thread of its own: no failure of it reaches an answer."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Final  # a status is JSON

from client.service import Responder
from common import wire
from common.errors import RefusedError, UserError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from client.metrics import Worked

LOG: Final = logging.getLogger("fedpeft.site")
EVERY_S: Final = 15.0
"""So often the file is written anew where no message comes: its age says that the trainer lives."""
_MODE: Final = 0o644
"""Another user's node_exporter reads it; who reaches the folder is for the folder to say."""


@dataclass(frozen=True)
class Measured:
    """A hospital whose work is timed."""

    hospital: Responder
    worked: "Worked"
    written: Event

    def respond(self, action: str, content: wire.Content) -> wire.Content:
        """Return the hospital's answer."""
        begin = time.perf_counter()
        try:
            return self.hospital.respond(action, content)
        finally:
            self.worked.note(action, time.perf_counter() - begin, time.time())
            self.written.set()

    def status(self) -> Mapping[str, Any]:
        """Return the hospital's status."""
        return self.hospital.status()


@dataclass
class Textfile:
    """Writes a registry to a file again and again; `news` wakes it. What fails is said once, until it goes well."""

    path: Path
    registry: "CollectorRegistry"
    news: Event = field(default_factory=Event)
    _said: bool = False

    def start(self) -> None:
        """Begin to write, until the process ends."""
        Thread(target=self._run, daemon=True, name="metrics").start()

    def _run(self) -> None:
        while True:
            self.write()
            self.news.wait(EVERY_S)
            self.news.clear()

    def write(self) -> bool:
        """Write the file as a whole, and say whether that went well."""
        try:
            write_textfile(self.path, self.registry)
        except (OSError, UserError, RefusedError) as error:
            if not self._said:
                why = error.strerror if isinstance(error, OSError) else type(error).__name__
                LOG.warning("the metrics file cannot be written (%s); it is tried again, answers go on", why)
            self._said = True
            return False
        self._said = False
        return True


def write_textfile(path: Path, registry: "CollectorRegistry") -> None:
    """Write a registry's figures to `path`: a reader sees the old file or the new one, never a part."""
    from prometheus_client import write_to_textfile

    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    try:
        write_to_textfile(str(beside), registry)
        beside.chmod(_MODE)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def measured(hospital: Responder, registry_of: Callable[["Worked"], "CollectorRegistry"], path: Path) -> Measured:
    """Return the hospital with its work timed, and begin to write what is counted to `path`."""
    from client.metrics import fresh

    worked = fresh()
    textfile = Textfile(path, registry_of(worked))
    textfile.start()
    return Measured(hospital, worked, textfile.news)
