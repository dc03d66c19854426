"""Training outside the federation, for the comparison: some sites' rows together, as long as a federated run.

A job is independent of all others and of where it runs, so jobs go to worker processes; a worker loads the base model
once and keeps it.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from client.batches import count_steps
from client.execution import limited_threads
from client.recipe import Recipe, recipe_of
from client.regulariser import regularisers_of
from client.scoring import score
from client.site_rows import SplitRows
from client.steps import Setting, Step
from client.training import Trained, set_training_mode, train
from common.errors import RefusedError
from common.metrics.measure import Measure
from common.rank_slices import as_at_rank
from common.seeds import generator, integer_seed
from common.state import AdapterState, Array
from common.study import Study
from simulations.folder import RunFolder
from simulations.virtual import VirtualSites, resident_sites

Outputs = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Job:
    """Train on the rows of `train_on` from `start` (None: the bundle's initial adapter), then score test rows.

    passes: how many rounds' worth of epochs. split: which rows `score_on` are scored on. rank: LoRA's, where it is
    that of one site and not the study's.
    """

    name: str
    train_on: tuple[str, ...]
    score_on: tuple[str, ...]
    learning_rate: float
    passes: int
    start: AdapterState | None = None
    split: str = "test"
    rank: int | None = None


@dataclass(frozen=True)
class JobResult:
    """Scores (n, width) of each scored site's rows, NaN where training diverged and `trained` is None."""

    name: str
    outputs: Outputs
    trained: Trained | None


def run_jobs(folder: RunFolder, jobs: Sequence[Job], *, workers: int) -> Iterator[JobResult]:
    """Yield results as they come, from `workers` processes (1: from this one)."""
    from joblib import Parallel, delayed

    parallel = Parallel(n_jobs=min(workers, max(len(jobs), 1)), return_as="generator_unordered", batch_size=1)
    with warnings.catch_warnings():
        # loky replaces a worker whose memory grew: no job is lost, and a user could do nothing about it.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs", category=UserWarning)
        yield from parallel(delayed(run_job)(str(folder.path), job) for job in jobs)


def run_job(folder: str, job: Job) -> JobResult:
    """Run one job in this process."""
    sites = resident_sites(folder)
    execution = sites.execution
    sites.bench.write(_at_rank(sites, job, job.start if job.start is not None else sites.bundle.initial))
    rows = _joined([sites.rows[site].train for site in job.train_on])
    recipe = recipe_for(sites.bundle.study, job)
    keeper = _Keeper(sites, job, _joined([sites.rows[site].validation for site in job.train_on]), len(rows), recipe)
    with limited_threads(execution.threads):
        trained = _train(sites, job, rows, recipe, keeper)
        usable = keeper.restore_best() or trained is not None
        outputs = {site: _score(sites, site, job.split, usable=usable) for site in job.score_on}
    return JobResult(job.name, outputs, trained)


def _at_rank(sites: VirtualSites, job: Job, state: AdapterState) -> AdapterState:
    return as_at_rank(state, sites.bundle.schema, job.rank)


def _train(sites: VirtualSites, job: Job, rows: SplitRows, recipe: Recipe, keeper: "_Keeper") -> Trained | None:
    """Train what is in the workbench; None where it diverged, which is a result and no failure of the comparison."""
    study = sites.bundle.study
    regularisers = regularisers_of(
        study.training.regulariser,
        sites.bench,
        rows.examples,
        initial=_at_rank(sites, job, sites.bundle.initial),
        active=sites.bundle.schema.names,
        execution=sites.execution,
        rng=generator(study.seed, site=job.name, purpose="regulariser"),
    )
    after_step = keeper.after_step if study.evaluation.keep == "best" else None
    try:
        return train(
            sites.bench,
            rows.examples,
            recipe,
            active=sites.bundle.schema.names,
            execution=sites.execution,
            rng=generator(study.seed, site=job.name, purpose="batches"),
            dropout_seed=integer_seed(study.seed, site=job.name, purpose="dropout"),
            setting=Setting(after_step=after_step, regularisers=regularisers),
        )
    except RefusedError:
        return None


def _score(sites: VirtualSites, site: str, split: str, *, usable: bool) -> NDArray[np.float64]:
    part = sites.rows[site].test if split == "test" else sites.rows[site].validation
    if not usable:
        return np.full((len(part), sites.bench.task.measure.width), np.nan)
    return score(sites.bench, part.examples, execution=sites.execution)


def _joined(parts: Sequence[SplitRows]) -> SplitRows:
    return SplitRows(
        examples=[example for part in parts for example in part.examples],
        labels=np.concatenate([part.labels for part in parts]),
        patients=[f"{index}|{patient}" for index, part in enumerate(parts) for patient in part.patients],
    )


def recipe_for(study: Study, job: Job) -> Recipe:
    """Return as many epochs per row as the federated run has, or as many steps in all where rounds count steps."""
    per_round = recipe_of(study, round_number=1)
    steps = None if per_round.steps is None else per_round.steps * job.passes * len(job.train_on)
    epochs = per_round.epochs * job.passes
    return replace(per_round, learning_rate=job.learning_rate, epochs=epochs, steps=steps, round_number=1, rounds=1)


class _Keeper:
    """Keeps the best state on the validation rows of the sites that train, once per round's worth of steps."""

    def __init__(self, sites: VirtualSites, job: Job, validation: SplitRows, rows: int, recipe: Recipe) -> None:
        steps = count_steps(rows, batch_size=recipe.batch_size, epochs=recipe.epochs, steps=recipe.steps)
        self._sites, self._validation = sites, validation
        self._every = max(1, steps // job.passes)
        self._best: tuple[float, dict[str, Array]] | None = None

    def after_step(self, step: Step) -> None:
        if (step.number + 1) % self._every or not len(self._validation):
            return
        found = score(self._sites.bench, self._validation.examples, execution=self._sites.execution)
        set_training_mode(self._sites.bench)
        value = _quality(found, self._validation, self._sites.bench.task.measure)
        if self._best is None or value > self._best[0]:
            self._best = (value, self._sites.bench.read())

    def restore_best(self) -> bool:
        if self._best is not None:
            self._sites.bench.write(self._best[1])
        return self._best is not None


def _quality(outputs: NDArray[np.float64], part: SplitRows, measure: Measure) -> float:
    """Return the first choosing metric that has a value, its sign such that more is better: as the server chooses."""
    rng = generator(0, purpose="unused: no resamples")
    metrics = measure.evaluate(outputs, part.labels, part.patients, resamples=0, rng=rng).metrics
    higher = {info.name: info.higher_is_better for info in measure.infos}
    values = [(metrics[name].value, higher[name]) for name in measure.choosing]
    return next((value if better else -value for value, better in values if value is not None), -np.inf)
