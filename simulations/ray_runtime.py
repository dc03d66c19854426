"""Virtual sites over many cores, GPUs or machines: workers of Ray, each of which has the base model and the rows once.

The rounds run in the caller's thread, over a grid of our own, so that Ctrl-C and every exception reach the caller as
they do in process. Nothing of Flower runs but its messages: its simulation engine gives a worker one message at a time,
waits a tenth of a second between two looks, and replaces no worker that died.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import closing, contextmanager
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from client.execution import Execution
from common.errors import UserError
from common.quiet import QUIET
from server.closing import Outcome
from server.events import Progress
from server.job import ServerJob
from server.rounds import run_rounds
from server.state import ServerState
from simulations.deadlines import without_deadlines
from simulations.engine.plan import Shape
from simulations.engine.room import MOST_CLIENTS
from simulations.inprocess import task_identity
from simulations.on_ray.begun import begin, begun_with
from simulations.on_ray.room import Machine, Plan, plan
from simulations.run import say
from simulations.virtual import VirtualSites

if TYPE_CHECKING:
    from simulations.on_ray.crew import Crew


def play_ray(
    sites: VirtualSites,
    job: ServerJob,
    state: ServerState,
    deliver: Callable[[Outcome], None],
    progress: Progress,
    *,
    workers: int | None = None,
) -> None:
    """Play the rounds after `state.round` over Ray's workers and deliver the outcome.

    workers: how many; None: as many as there is room for.

    Raises:
        UserError: the device is not one that a worker can have, there is no room, or a run goes on with other workers.
        ParticipationError: too few sites answered, or workers died; the checkpoint holds the last complete round.
    """
    from simulations.on_ray.grid import RayGrid

    work = {site: sites.rows[site].train.tokens for site in job.sites}
    with crew_of(sites, asked=workers) as (crew, begun), task_identity():
        shape = sites.decision.shape if sites.engine is not None else Shape(begun, MOST_CLIENTS)
        grid = RayGrid(crew, work, shape, are_groups=sites.engine is not None)
        deliver(run_rounds(grid, without_deadlines(job), state, progress=progress))


def require_ray() -> None:
    """Raise UserError where Ray is not installed."""
    if find_spec("ray") is None:
        raise UserError('--runtime ray needs Ray, which is not installed here: pip install "fedpeft[ray]"')


@contextmanager
def crew_of(sites: VirtualSites, *, asked: int | None) -> Iterator[tuple[Crew, int]]:
    """Yield the workers of a run, which end with the block, and with how many the run began."""
    check_device(sites.execution)
    begun = begun_with(sites.folder, asked=asked)
    lock(os.environ)
    from simulations.on_ray.crew import Crew, worker_of

    with _machines(sites, asked=asked, begun=begun) as planned:
        begin(sites.folder, planned.workers)
        _tell_share(planned)
        environ = {name: os.environ[name] for name in QUIET if name in os.environ}
        start = worker_of(str(sites.folder.path.resolve()), environ, planned.need)
        with closing(Crew(start, planned.started, say)) as crew:
            yield crew, planned.workers


def lock(environ: MutableMapping[str, str], modules: Mapping[str, object] = sys.modules) -> None:
    """Have a Ray of our own take commands only from who knows a secret of this process: it listens on the network.

    Ray reads this when it is imported; where it was, or where RAY_ADDRESS names one, nothing is changed.
    """
    if "ray" not in modules and not environ.get("RAY_ADDRESS"):
        environ.setdefault("RAY_AUTH_MODE", "token")
        environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


@contextmanager
def _machines(sites: VirtualSites, *, asked: int | None, begun: int | None) -> Iterator[Plan]:
    """Have Ray run while the block does; yield what it has room for."""
    from simulations.on_ray import cluster

    on_gpu, threads = sites.execution.device.startswith("cuda"), sites.execution.threads
    planned = partial(plan, threads=threads, on_gpu=on_gpu, sites=len(sites.rows), asked=asked, begun=begun)
    if cluster.is_there():
        with cluster.joined() as machines:
            yield planned(machines)
        return
    here = this_machine(threads=threads * (asked or 1), on_gpu=on_gpu)
    found = planned([here])
    with cluster.started(cores=found.started * threads, gpus=here.gpus):
        yield found


def this_machine(*, threads: int, on_gpu: bool) -> Machine:
    """Return what this machine has for workers; `threads` at least, for a user may want more than it has cores."""
    import torch

    cores = max(threads, len(os.sched_getaffinity(0)))
    return Machine(cores, torch.cuda.device_count() if on_gpu else 0)


def _tell_share(planned: Plan) -> None:
    """Say of how much of a GPU's memory each worker can make use."""
    need = planned.need
    if need.gpu_parts:
        import torch

        whole_gb = torch.cuda.get_device_properties(0).total_memory / 1e9
        say(f"{planned.started} workers of Ray, each with {need.gpu:g} of a GPU: {need.gpu * whole_gb:.1f} GB")


def check_device(execution: Execution) -> None:
    """Raise UserError for a GPU that a worker cannot have."""
    if execution.device.startswith("cuda") and execution.device not in ("cuda", "cuda:0"):
        raise UserError(
            f"device {execution.device!r}: with --runtime ray each worker has a GPU, or a part of one, which it knows "
            "as cuda:0; give --device cuda:0 (CUDA_VISIBLE_DEVICES chooses among the GPUs)"
        )
