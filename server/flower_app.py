"""What a SuperLink runs: `server.flower_app:app`, a ServerApp that plays one run of a coordinator over its sites.

Run config: `folder`, the run's folder (see `server.run_folder`). Where it holds a checkpoint, the run goes on from
there. No torch: the adapter is written as the renaming of tensors that the bundle states.
"""

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import httpx
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from flwr.supercore.run import RunNotRunningException

from common.adapter_folder import write_adapter
from common.bundle import Bundle, read_bundle
from common.errors import CheckpointError, FedpeftError, ParticipationError, UserError
from common.files import write_json
from common.flower_backoff import shorten_backoff
from common.keys import read_signing_key
from common.log_text import EntryFormatter
from common.quiet import silence
from server import checkpoint
from server.app import job_of
from server.bounded_replies import bounded_replies, reply_bytes
from server.closing import Outcome
from server.coordinator.folder import CoordinatorFolder
from server.coordinator.roster import keys_of, signers_of
from server.coordinator.tracking import tracking_of
from server.exchange import SYSTEM_CLOCK
from server.model_card import render_card
from server.preflight import check_sites
from server.receipt_heads import receipt_heads
from server.receipts import Receipts
from server.registered_grid import RegisteredGrid
from server.report.render import write_report
from server.results import of_real_sites
from server.rounds import run_rounds
from server.run_folder import ENDED, RESUME, RunFolder, RunState, State
from server.state import ServerState, fresh_state
from server.tracking.beside import tracked
from server.tracking.destination import Destination

LOG = logging.getLogger("fedpeft")
_DISK: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Play the run that the run config names, or what is left of it."""
    silence(os.environ)  # this process was not started by the fedpeft command
    run = RunFolder(_path(context, "folder"))
    with logging_to(run.log), run.alone(), noting(run, str(context.run_id)):
        if not shorten_backoff():
            LOG.warning("Flower's back-off has other names than in 1.41: replies take longer")
        with tracked(run.path, destinations(run.coordinator), LOG.warning):
            play(grid, run)


def destinations(coordinator: Path) -> list[Destination]:
    """Return where the coordinator's settings have its runs tracked to; a mistake in them ends no run."""
    try:
        return tracking_of(coordinator)
    except UserError as error:
        LOG.warning("tracking: %s", error)
        return []


def play(grid: Grid, run: RunFolder) -> None:
    """Play the rounds, then write adapter, report and, last, `results.json`."""
    bundle = read_bundle(run.bundle)
    study = bundle.study
    job = job_of(study, bundle.schema, sites=study.federation.sites, seed=study.seed, folder=run.path)
    key = read_signing_key(CoordinatorFolder(run.coordinator).signing_key)
    job = replace(
        job,
        only_registered=True,
        receipts=Receipts(run.receipts, key),
        signers=lambda: signers_of(run.coordinator),
    )
    registered = RegisteredGrid(grid, lambda: keys_of(run.coordinator))
    begin, state = SYSTEM_CLOCK.now(), begin_state(bundle, run)
    try:
        with bounded_replies(reply_bytes(bundle.schema)):
            outcome = run_rounds(
                registered,
                job,
                state,
                preflight=lambda session: check_sites(session, bundle, state),
            )
    finally:
        registered.close()
    write_outcome(run, bundle, outcome, seconds=SYSTEM_CLOCK.now() - begin)


def _path(context: Context, key: str) -> Path:
    value = context.run_config.get(key)
    if not isinstance(value, str) or not value:
        raise UserError(f"the run config lacks {key!r}; runs are started by: fedpeft server run")
    return Path(value)


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Write our log to a file while the block runs: what this process prints, nobody keeps."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(EntryFormatter("%(asctime)s %(levelname)s %(message)s"))
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    try:
        yield
    finally:
        LOG.removeHandler(handler)
        handler.close()


@contextmanager
def noting(run: RunFolder, flower: str) -> Iterator[None]:
    """Write down that the run goes on, under which id of Flower's, and how the block ends.

    Raises:
        CheckpointError: the run was cancelled before its process began.
    """
    run.change(lambda state: _begun(run, state, flower))
    try:
        yield
    except BaseException as error:
        _note_end(run, error)
        raise
    run.change(lambda state: replace(state, state="finished", reason=None))


def _begun(run: RunFolder, state: RunState, flower: str) -> RunState:
    if state.state in ENDED:
        raise CheckpointError(f"run {run.name!r} was {state.state} before it began; {RESUME}")
    return RunState("running", flower)


def _note_end(run: RunFolder, error: BaseException) -> None:
    """Write down why a run ended early; on a full disk, who follows the run learns it from the SuperLink."""
    ended: State = "stopped" if isinstance(error, ParticipationError) else "failed"
    reason = _reason(error)
    LOG.error("the run %s: %s", ended, reason, exc_info=None if isinstance(error, FedpeftError) else error)
    with suppress(OSError):
        run.change(lambda state: _unless_ended(state, ended, reason))


def _unless_ended(state: RunState, ended: State, reason: str) -> RunState:
    """A cancelled run stays so: the signal came from there."""
    return state if state.state in ENDED else replace(state, state=ended, reason=reason)


def _reason(error: BaseException) -> str:
    if isinstance(error, FedpeftError):
        return " ".join(str(error).split())
    if isinstance(error, OSError) and error.errno in _DISK:
        return f"the coordinator's disk does not take what is written ({error.strerror}); make room, then {RESUME}"
    if isinstance(error, httpx.HTTPError | ConnectionError):
        return f"the SuperLink did not answer as it should ({type(error).__name__}); {RESUME}"
    if isinstance(error, RunNotRunningException):
        return f"for the SuperLink this run is over; {RESUME}"
    if isinstance(error, SystemExit | KeyboardInterrupt):
        return f"its server process was ended; {RESUME}"
    return "a defect; see server.log"


def begin_state(bundle: Bundle, run: RunFolder) -> ServerState:
    """Return where the run begins: its checkpoint, else the bundle's first adapter."""
    study = bundle.study
    if checkpoint.exists(run.checkpoint):
        return checkpoint.read(run.checkpoint, study=study.digest, seed=study.seed)
    shared = {name: bundle.initial[name] for name in bundle.schema.shared.names}
    return replace(fresh_state(shared, study=study.digest, seed=study.seed), run=run.name)


def write_outcome(run: RunFolder, bundle: Bundle, outcome: Outcome, *, seconds: float) -> None:
    """Write the adapter and the report, then `results.json`: where it is, the run is complete."""
    content = {**of_real_sites(bundle, outcome, seconds=seconds), "receipts": receipt_heads(run.receipts)}
    write_adapter(run.adapter, bundle, outcome.adapter, card=render_card(content))
    write_report(content, run.path / "report.html")
    write_json(run.results, content)
