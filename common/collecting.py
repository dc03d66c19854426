"""When Python looks for cycles of objects that nothing else refers to: not while libraries are imported.

Imports make a million objects that all stay; going through them again and again is a sixth of a start's time.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collecting_later() -> Iterator[None]:
    """Collect no garbage in the block, and go on as before after it."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
