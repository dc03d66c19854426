"""`flower-supernode` with shorter waits and an end that is one: `python -m client.supernode`, with all its options.

A message is often announced before its tensors are uploaded; Flower then looks again after 1, 2, 4 and more seconds.

A SuperNode gives up for good where a TLS handshake breaks off, as when a link is cut just then; its process stays, held
by threads, and does nothing any more. Here the process ends, and its supervisor starts another.
"""

import os
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from client.flower_runtime import flower_supernode
from common.flower_backoff import shorten_backoff
from common.quiet import silence


def end_with(work: Callable[[], None]) -> NoReturn:
    """End the process when `work` has ended, in whatever way, and whatever threads it leaves."""
    try:
        work()
    finally:
        failure = sys.exc_info()[1]
        if failure is not None and not isinstance(failure, SystemExit):
            traceback.print_exception(failure)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0 if failure is None else 1)


if __name__ == "__main__":
    silence(os.environ)
    shorten_backoff()
    sys.argv[0] = "flower-supernode"
    end_with(flower_supernode)
