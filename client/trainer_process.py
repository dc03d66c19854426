"""The trainer: the long-running process that has the hospital's data and base model, and answers on its Unix socket.

    python -m client.trainer_process DIR

SIGTERM ends it within the grace: an answer that is being made may be finished, else it is made anew when it is asked
for again. Training runs in a thread, which nothing can interrupt; so the process ends by `os._exit`.
"""

import logging
import os
import resource
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event
from typing import Final

from client.service import Responder, serve
from client.site_folder import SiteFolder
from client.stopping import stop_on_signals
from common.errors import UserError
from common.log_text import log_to_stderr
from common.quiet import silence

GRACE_S: Final = 8.0
"""Seconds from SIGTERM to the end, below the supervisor's own patience."""


def run(
    hospital: Responder,
    folder: SiteFolder,
    stop: Event,
    *,
    group: str | None = None,
    preload: Callable[[], None] | None = None,
) -> bool:
    """Serve until `stop` is set; say whether nothing was left unfinished.

    preload: done before the first message is answered, while the socket already says how the trainer is.
    """
    service = serve(hospital, folder, group=group)
    if preload is not None:
        service.desk.begin_with(preload)
    stop.wait()
    return service.stop(GRACE_S)


def with_metrics(hospital: Responder, folder: SiteFolder, textfile: Path | None) -> Responder:
    """Return the hospital, its work counted in `textfile` where there is to be one."""
    if textfile is None:
        return hospital
    from client.metrics import registry_of
    from client.textfile import measured

    return measured(hospital, partial(registry_of, folder), textfile)


def main(arguments: list[str]) -> int:
    """Open the hospital of the site's folder and serve it, to SIGTERM."""
    silence(os.environ)
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a dump of memory would be one of rows
    log_to_stderr(logging.INFO)
    stop, folder = stop_on_signals(), SiteFolder(Path(arguments[0]).resolve())
    try:
        from client.hospital import Hospital
        from client.settings import read_settings

        hospital, settings = Hospital(folder), read_settings(folder)
        answering = with_metrics(hospital, folder, settings.metrics.textfile)
        run(answering, folder, stop, group=settings.trainer.socket_group, preload=hospital.preload)
    except UserError as error:
        sys.stderr.write(f"trainer: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)
