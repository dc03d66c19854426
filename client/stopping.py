"""SIGTERM and SIGINT as an event, in a process with threads of libraries.

The system may give a signal to any thread, and Python then runs a handler only when the main thread next comes to it,
which waits. So the interpreter writes a byte for each signal, whoever got it, and a thread reads them.
"""

import os
import signal
from threading import Event, Thread


def stop_on_signals() -> Event:
    """Return what SIGTERM and SIGINT set; called once, in the main thread."""
    stop = Event()
    read, write = os.pipe()
    os.set_blocking(write, False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(write)
    Thread(target=_set_when_written, args=(read, stop), daemon=True).start()
    return stop


def _set_when_written(descriptor: int, event: Event) -> None:
    os.read(descriptor, 1)
    event.set()
