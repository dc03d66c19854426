"""The wire between a site and the front door, which a test may cut."""

import select
import socket
from contextlib import suppress
from threading import Event, Thread

POLL_S = 0.1


class Wire:
    """A TCP relay on a port of its own, which can be cut and mended."""

    def __init__(self, target: int, port: int = 0) -> None:
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", port))
        self.port = int(self._listening.getsockname()[1])
        self._cut, self._closed = Event(), Event()
        self._thread = Thread(target=self._accept, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Drop what is connected, and whoever comes."""
        self._cut.set()

    def mend(self) -> None:
        """Relay again."""
        self._cut.clear()

    def close(self) -> None:
        """End it."""
        self._closed.set()
        self._thread.join()
        self._listening.close()

    def _accept(self) -> None:
        relays = []
        while not self._closed.is_set():
            if select.select([self._listening], [], [], POLL_S)[0]:
                near, _ = self._listening.accept()
                relays.append(Thread(target=self._relay, args=(near,), daemon=True))
                relays[-1].start()
        for relay in relays:
            relay.join()

    def _relay(self, near: socket.socket) -> None:
        with near, suppress(OSError), socket.create_connection(("127.0.0.1", self._target)) as far:
            other = {near: far, far: near}
            while not (self._cut.is_set() or self._closed.is_set()):
                for source in select.select([near, far], [], [], POLL_S)[0]:
                    piece = source.recv(2**16)
                    if not piece:
                        return
                    other[source].sendall(piece)
