"""What `flwr run .` runs in a clone: a study over the SuperNodes of Flower's own simulation.

Each SuperNode plays one site: the first sites of the study by name, as many as there are SuperNodes; a study with a
partition is divided among all of them. The app bundle holds no code of ours, only these two addresses: what runs is the
installed package.

Run config: `study`, a file or the name of a bundled one; `out`, a new folder (relative to where Flower's local
SuperLink was started; empty: runs/flower-RUN_ID); `overrides`, such as "federation.rounds=2"; `threads`; `comparison`,
to train the rivals too; `resume`.
"""

import logging
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from client.app import SiteEndpoint, make_app
from common.errors import RefusedError, StudyError
from common.quiet import silence
from common.study import Study, replaced
from server.closing import Outcome
from server.events import Event, Progress, RoundFinished
from server.exchange import SYSTEM_CLOCK, Clock
from server.job import ServerJob
from server.rounds import run_rounds
from server.state import ServerState
from simulations.catalogue import load, simulation_of
from simulations.deadlines import WORKERS_START_S, without_deadlines
from simulations.run import run
from simulations.stages import Runtime
from simulations.virtual import VirtualSites, read_sites, resident_sites

LOG = logging.getLogger("flwr.fedpeft")
"""Below Flower's logger: `flwr run --stream` shows what stands here."""


def out_of(context: Context) -> Path:
    """Return the run's folder: the same for the server and, in other processes, the clients."""
    chosen = str(context.run_config.get("out") or Path("runs") / f"flower-{context.run_id}")
    return Path(chosen).expanduser().absolute()


server_app = ServerApp()


@server_app.main()
def main(grid: Grid, context: Context) -> None:
    """Prepare the study, play its rounds over the grid, and write everything that `fedpeft simulate` writes."""
    silence(os.environ)
    LOG.setLevel(logging.INFO)  # its own: a run quietens Flower's logger, from which it would take the level
    config = context.run_config
    nodes = count_nodes(grid)
    study = load(str(config["study"]), overrides=shlex.split(str(config.get("overrides", ""))))
    study = over_nodes(study, nodes)
    LOG.info("study %s over %d SuperNodes; results go to %s", study.name, nodes, out_of(context))
    results = run(
        study,
        out=out_of(context),
        runtime=over(grid),
        threads=int(config.get("threads", 1)),
        group_size=1,  # a SuperNode plays one site
        resume=bool(config.get("resume", False)),
        comparison=bool(config.get("comparison", False)),
        progress=tell,
    )
    LOG.info("adapter %s in %s", results.content["digests"]["adapter"], results.adapter)


def count_nodes(grid: Grid, clock: Clock = SYSTEM_CLOCK) -> int:
    """Return the number of SuperNodes, which Flower registers while the server already runs."""
    before, now = -1, 0
    while now == 0 or now != before:
        clock.wait(0.5)
        before, now = now, len(list(grid.get_node_ids()))
    return now


def over_nodes(study: Study, nodes: int) -> Study:
    """Return the study with a site for each node: a partition into as many, or the first of its sites by name."""
    simulation = simulation_of(study)
    if simulation.partition is not None and not study.federation.sites:
        return replaced(study, {"simulation.partition.sites": nodes})
    with TemporaryDirectory() as scratch:
        names = sorted(study.federation.sites or read_sites(study, Path(scratch)))
    if simulation.partition is not None and nodes < len(names):
        raise StudyError(f"federation.sites names {len(names)} sites, there are {nodes} SuperNodes; give as many")
    return replaced(study, {"federation.sites": names[:nodes]})


def over(grid: Grid) -> Runtime:
    """Return a runtime that plays the rounds over a grid of Flower's simulation."""

    def play(
        sites: VirtualSites,  # noqa: ARG001 # a runtime's signature: the clients open them by themselves
        job: ServerJob,
        state: ServerState,
        deliver: Callable[[Outcome], None],
        progress: Progress,
    ) -> None:
        patient = without_deadlines(job, connect_s=WORKERS_START_S)
        deliver(run_rounds(grid, patient, state, progress=progress))

    return play


def tell(event: Event) -> None:
    """Log each round."""
    if isinstance(event, RoundFinished):
        loss = event.train.get("loss")
        shown = "" if loss is None else f", training loss {loss:.4f}"
        LOG.info("round %d of %d: %d sites%s", event.round, event.rounds, event.accepted, shown)


def site_of(context: Context) -> SiteEndpoint:
    """Return the site of a SuperNode; one beyond the study's sites has none."""
    silence(os.environ)
    sites = resident_sites(str(out_of(context)))
    names, position = sorted(sites.rows), int(context.node_config["partition-id"])
    if position >= len(names):
        raise RefusedError("WRONG_STUDY")
    return sites.endpoint(names[position])


client_app = make_app(site_of)
