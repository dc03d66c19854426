"""Looking for a newer adapter: when asked, and now and then where the name that was given may mean another by now."""

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from client.serving.resident import Resident, Version, mark_of, next_version
from common.errors import SchemaError, UserError

log = logging.getLogger("fedpeft.serve")
LOOK_EVERY_S = 5.0


class Reloader:
    """Reads adapters in a thread of its own, and hands each to `replace`."""

    def __init__(
        self,
        resident: Resident,
        named: Path,
        sites: Mapping[str, Path],
        *,
        replace: Callable[[Version], None],
        count: Callable[[str], None],
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._resident, self._named, self._sites = resident, named, sites
        self._replace, self._count, self._every = replace, count, look_every_s
        self._asked, self._ended, self._wake = threading.Event(), threading.Event(), threading.Event()
        self._mark = mark_of(named)
        self._thread = threading.Thread(target=self._run, name="reload", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def ask(self) -> None:
        """Have the adapter read again; safe in a signal's handler."""
        self._asked.set()
        self._wake.set()

    def close(self) -> None:
        """End."""
        self._ended.set()
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.is_set():
            self._wake.wait(self._every)
            self._wake.clear()
            mark = mark_of(self._named)
            moved = mark is not None and mark != self._mark
            if not self._ended.is_set() and (self._asked.is_set() or moved):
                self._asked.clear()
                self._mark = mark
                self._reload()

    def _reload(self) -> None:
        try:
            version = next_version(self._resident, self._named, self._sites)
        except (UserError, SchemaError) as error:
            self._count("refused")
            log.warning("the adapter was not loaded anew, and the one before answers: %s", error)
            return
        self._count("done")
        self._replace(version)
