"""Virtual sites over many cores, GPUs or machines: Flower's simulation engine, which runs on Ray.

The engine runs in a thread of its own and lends its `Grid`; the rounds run in the caller's thread, so that Ctrl-C and
every exception reach the caller as they do in process.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event
from typing import Any  # Flower's backend configuration and node records

from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from client.app import SiteEndpoint
from client.app import make_app as make_client
from client.execution import Execution
from common.errors import ParticipationError, UserError
from common.quiet import silence
from server.closing import Outcome
from server.events import Progress
from server.job import ServerJob
from server.rounds import run_rounds
from server.state import ServerState
from simulations.deadlines import WORKERS_START_S, without_deadlines
from simulations.inprocess import task_identity
from simulations.virtual import VirtualSites, resident_sites


@dataclass(frozen=True)
class SitesOf:
    """Finds a virtual site from Flower's context, in whatever process: it travels there, so it holds a path only."""

    folder: str
    names: tuple[str, ...]

    def __call__(self, context: Context) -> SiteEndpoint:
        """Return the site; a process opens the base model and the rows once, whichever sites it plays."""
        return resident_sites(self.folder).endpoint(self.names[int(context.node_config["partition-id"])])


def play_ray(
    sites: VirtualSites,
    job: ServerJob,
    state: ServerState,
    deliver: Callable[[Outcome], None],
    progress: Progress,
) -> None:
    """Play the rounds after `state.round` over Ray's workers and deliver the outcome.

    Raises:
        UserError: the device is not one that a worker can have.
        ParticipationError: too few sites answered, or a worker died; the checkpoint holds the last complete round.
    """
    backend = backend_config(sites.execution, sites=len(job.sites), cores=len(os.sched_getaffinity(0)))
    client = make_client(SitesOf(str(sites.folder.path.resolve()), job.sites))
    with engine(client, nodes=len(job.sites), backend=backend) as grid:
        patient = without_deadlines(job, connect_s=WORKERS_START_S)
        deliver(run_rounds(grid, patient, state, progress=progress))


def require_ray() -> None:
    """Raise UserError where Ray is not installed; Flower itself would end the process."""
    try:
        import ray  # noqa: F401 # only whether it is there
    except ModuleNotFoundError:
        raise UserError('--runtime ray needs Ray, which is not installed here: pip install "fedpeft[ray]"') from None


def backend_config(execution: Execution, *, sites: int, cores: int, cluster: bool | None = None) -> dict[str, Any]:
    """Return what Flower's engine is told: one worker for every `threads` cores (or GPU), no more than sites.

    cluster: whether Ray runs already (None: as RAY_ADDRESS says); then it knows its own cores.

    >>> backend_config(Execution(threads=2), sites=3, cores=16, cluster=False)["init_args"]["num_cpus"]
    6
    """
    if execution.device.startswith("cuda") and execution.device not in ("cuda", "cuda:0"):
        raise UserError(
            f"device {execution.device!r}: with --runtime ray each worker has a GPU of its own, which it knows as "
            "cuda:0; give --device cuda:0 (CUDA_VISIBLE_DEVICES chooses among the GPUs)"
        )
    init: dict[str, Any] = {"logging_level": logging.CRITICAL, "log_to_driver": False, "include_dashboard": False}
    if not (bool(os.environ.get("RAY_ADDRESS")) if cluster is None else cluster):
        init["num_cpus"] = max(execution.threads, min(cores, sites * execution.threads))
    gpus = 1.0 if execution.device.startswith("cuda") else 0.0
    return {"init_args": init, "client_resources": {"num_cpus": execution.threads, "num_gpus": gpus}}


@contextmanager
def engine(client: ClientApp, *, nodes: int, backend: Mapping[str, Any]) -> Iterator["WatchedGrid"]:
    """Run Flower's engine beside the body, and lend its grid to it; leaving waits for handlers that still run."""
    lent: Future[Grid] = Future()
    finished = Event()
    server = ServerApp()

    @server.main()
    def lend(grid: Grid, context: Context) -> None:  # noqa: ARG001 # Flower's signature
        lent.set_result(grid)
        finished.wait()

    with _calm(), task_identity(), ThreadPoolExecutor(1) as pool:
        running = pool.submit(_run_engine, server, client, nodes, backend)
        try:
            either: list[Future[Any]] = [running, lent]
            wait(either, return_when=FIRST_COMPLETED)
            _require_running(running)
            yield WatchedGrid(lent.result(), running)
        finally:
            finished.set()


def _run_engine(server: ServerApp, client: ClientApp, nodes: int, backend: Mapping[str, Any]) -> None:
    # Deprecated in Flower, in favour of `flwr run`, which needs a daemon, two ports and an app bundle. The one place
    # that knows it.
    from flwr.simulation import run_simulation

    run_simulation(server, client, nodes, backend_config=dict(backend))


class WatchedGrid:
    """Flower's grid of a simulation, in which an error in place of an answer is the engine's and ends the run.

    Our ClientApp turns every failure of a site into a refusal. A worker that died stays in Flower's pool, fails at once
    and so takes most later messages: to go on would count its sites as failed, round after round.
    """

    def __init__(self, grid: Grid, running: "Future[None]") -> None:
        self._grid = grid
        self._running = running

    def get_nodes(self) -> Iterable[Any]:
        """Return the nodes; they have no names here."""
        _require_running(self._running)
        return self._grid.get_nodes()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages."""
        return self._grid.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies that are there. Raises ParticipationError."""
        _require_running(self._running)
        replies = list(self._grid.pull_messages(message_ids))
        if any(reply.has_error() for reply in replies):
            raise ParticipationError(_DEATH)
        return replies


_DEATH = (
    "a worker process of Ray died or could not start (is the memory enough for one base model per worker? more "
    "--threads means fewer workers). The last complete round is in the checkpoint; run again with --resume"
)


def _require_running(running: "Future[None]") -> None:
    if not running.done():
        return
    error: BaseException | None = running.exception()
    while error is not None and error.__cause__ is not None:
        error = error.__cause__
    found = "without a word" if error is None else f"with {type(error).__name__}: {error}"
    raise ParticipationError(
        f"Flower's simulation engine stopped {found}. The last complete round is in the checkpoint; "
        "run again with --resume, or with --runtime inprocess"
    )


@contextmanager
def _calm() -> Iterator[None]:
    """No line of Flower or Ray between ours, and afterwards PYTHONPATH as it was: Flower lengthens it."""
    silence(os.environ)
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"  # what Ray's warning asks for; we hide no GPU
    loggers = [logging.getLogger(name) for name in ("flwr", "ray")]
    levels, path = [logger.level for logger in loggers], os.environ.get("PYTHONPATH")
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if path is None:
            os.environ.pop("PYTHONPATH", None)
        else:
            os.environ["PYTHONPATH"] = path
