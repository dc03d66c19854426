"""The stages of one simulated run: prepare the bundle, play the rounds, train the rivals."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from client.execution import Execution, resolve
from client.shielding import suited
from client.store import SiteStore
from common.bundle import Bundle
from common.errors import UserError
from common.files import digest_file
from common.preparation import open_prepared
from common.state import AdapterState
from common.study import Study
from common.study_task import task_of
from server import checkpoint
from server.app import job_of, make_app
from server.closing import Outcome
from server.events import Progress
from server.job import ServerJob
from server.state import ServerState
from simulations.catalogue import base_folder, rows_path
from simulations.comparison import alone_jobs, personalised_jobs
from simulations.continuing.earlier import Beginning, read_inherited, write_beginning
from simulations.crowd.disks import is_crowd
from simulations.deadlines import without_deadlines
from simulations.engine.own_dropout import with_own_dropout
from simulations.engine.plan import AS_SUITS, Wanted
from simulations.folder import RunFacts, RunFolder, new_run_name
from simulations.jobs import Job, JobResult, run_jobs
from simulations.late_libraries import import_libraries
from simulations.resuming import check_same_execution, check_same_files, check_same_study
from simulations.virtual import Begun, VirtualSites, check_sites, read_sites, resident_sites, with_sites

RUNTIMES = ("inprocess", "ray")
WORTH_PROCESSES_S = 30.0


def start(
    study: Study,
    folder: RunFolder,
    *,
    threads: int,
    device: str,
    beginning: Beginning | None = None,
    groups: Wanted = AS_SUITS,
) -> VirtualSites:
    """Prepare a new run in `folder` and return its sites; whatever fails or interrupts it leaves nothing behind.

    beginning: what an earlier phase ended with, where this one goes on from there. groups: of clients that are trained
    together.
    """
    import_libraries()
    execution = suited(resolve(precision=study.training.precision, device=device, threads=threads), study)
    with folder.preparing():
        sites = read_sites(study, folder.scratch)
        check_sites(sites, study)
        shared = None if beginning is None else beginning.shared
        base = base_folder(study, folder.scratch)
        execution = with_own_dropout(execution, base, task_of(study.task).architecture)
        bundle, bench = open_prepared(
            with_sites(study, sites), base, folder.bundle, start=shared, attention=execution.attention
        )
        if beginning is not None:
            write_beginning(folder, beginning)
        rows = digest_file(rows_path(study, folder.scratch))
        run = new_run_name()
        folder.start(RunFacts(run, study.digest, bundle.digest, rows, study.seed, execution, groups, is_crowd(bundle)))
        return resident_sites(str(folder.path), Begun(sites, bench))


def resume(study: Study, folder: RunFolder, *, threads: int, device: str, groups: Wanted = AS_SUITS) -> VirtualSites:
    """Return the sites of the run in `folder`, which must be of this very study, rows, base model and options."""
    check_same_study(study, folder)
    check_same_execution(folder, threads=threads, device=device, groups=groups)
    check_same_files(study, folder)
    return resident_sites(str(folder.path))


def play(sites: VirtualSites, *, runtime: "str | Runtime", progress: Progress, workers: int | None = None) -> Outcome:
    """Play the rounds, from the checkpoint where there is one, and return the outcome. Raises ParticipationError.

    workers: of Ray; None: as many as there is room for. In process it was decided when the run was opened.
    """
    bundle, folder = sites.bundle, sites.folder
    names = tuple(sorted(sites.rows))
    job = job_of(bundle.study, bundle.schema, sites=names, seed=bundle.study.seed, folder=folder.path)
    outcomes: list[Outcome] = []
    find_runtime(runtime, workers=workers)(
        sites, job, _state(bundle, folder, folder.facts()), outcomes.append, progress
    )
    return outcomes[0]


Runtime = Callable[[VirtualSites, ServerJob, ServerState, Callable[[Outcome], None], Progress], None]


def find_runtime(name: str | Runtime, *, workers: int | None = None) -> Runtime:
    """Return what plays the rounds; a name that does not exist, or lacks what it needs, is a UserError."""
    if name == "ray":
        from simulations.ray_runtime import play_ray, require_ray

        require_ray()
        return partial(play_ray, workers=workers)
    if not isinstance(name, str):
        return name
    if name == "inprocess":
        return _play_inprocess
    raise UserError(f"--runtime {name!r} does not exist; there are: {', '.join(RUNTIMES)}")


def _play_inprocess(
    sites: VirtualSites,
    job: ServerJob,
    state: ServerState,
    deliver: Callable[[Outcome], None],
    progress: Progress,
) -> None:
    from simulations.inprocess import run_over
    from simulations.site_grid import site_grid

    server = make_app(without_deadlines(job), state, deliver=deliver, progress=progress)
    try:
        run_over(site_grid(sites, job.sites, engine=sites.engine), server)
    finally:
        if sites.engine is not None:
            sites.engine.close()


def _state(bundle: Bundle, folder: RunFolder, facts: RunFacts) -> ServerState:
    if checkpoint.exists(folder.checkpoint):
        return checkpoint.read(folder.checkpoint, study=bundle.study.digest, seed=facts.seed)
    shared = {name: bundle.initial[name] for name in bundle.schema.shared.names}
    return ServerState(run=facts.run, study=bundle.study.digest, seed=facts.seed, shared=shared)


def train_rivals(
    sites: VirtualSites, outcome: Outcome, *, done: Callable[[str, int, int], None]
) -> Mapping[str, JobResult]:
    """Train every model that the federated one is compared with; `done(name, finished, of)` after each."""
    states = {site: full_state(sites, outcome, site) for site in sorted(sites.rows)}
    study = sites.bundle.study
    jobs = [*rival_jobs(sites, outcome), *personalised_jobs(study, states)]
    jobs.sort(key=lambda job: -_cost(sites, job))
    results: dict[str, JobResult] = {}
    for result in run_jobs(sites, jobs, workers=workers(sites.execution, outcome)):
        results[result.name] = result
        done(result.name, len(results), len(jobs))
    return results


def rival_jobs(sites: VirtualSites, outcome: Outcome) -> list[Job]:
    """Return the jobs that need nothing of the federated adapter: every site alone, and all rows in one place."""
    rows = {site: len(parts.train) for site, parts in sites.rows.items()}
    return alone_jobs(sites.bundle.study, {site: _accepted_rounds(outcome, site) for site in sites.rows}, rows)


def _accepted_rounds(outcome: Outcome, site: str) -> int:
    shares = (record["participation"].get(site) for record in outcome.rounds)
    return sum(share is not None and share["status"] == "accepted" for share in shares)


def _cost(sites: VirtualSites, job: Job) -> int:
    """Rows times passes: the longest job starts first, so that processes end together."""
    return job.passes * sum(len(sites.rows[site].train) for site in job.train_on)


def workers(execution: Execution, outcome: Outcome) -> int:
    """Every core, unless the work is shorter than the start of worker processes; a GPU is not shared.

    The rivals train about three times as long as the federation did.
    """
    trained = sum(record["seconds"]["train"] or 0.0 for record in outcome.rounds)
    if execution.device != "cpu" or 3 * trained < WORTH_PROCESSES_S:
        return 1
    return max(1, len(os.sched_getaffinity(0)) // execution.threads)


def full_state(sites: VirtualSites, outcome: Outcome, site: str) -> AdapterState:
    """Return the kept shared tensors with a site's own private ones as its last trained round left them."""
    bundle = sites.bundle
    inherited = read_inherited(sites.folder, site)
    initial = {name: inherited.get(name, bundle.initial[name]) for name in bundle.schema.private.names}
    if not initial:
        return outcome.adapter
    store = SiteStore(sites.folder.sites / site, measure=task_of(bundle.study.task).measure)
    return {**outcome.adapter, **store.private_after(outcome.state.run, outcome.state.round, initial)}


def private_folder(folder: RunFolder, site: str) -> Path:
    """Return the folder that `fedpeft predict --private` takes for one virtual site."""
    return folder.sites / site
