"""Training outside the federation, for the comparison: some sites' rows together, as long as a federated run.

A job is independent of all others. Where the run's sites are trained in groups, so are jobs; else they go to worker
processes, each of which loads the base model once and keeps it.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import numpy as np
from numpy.typing import NDArray

from client.batches import count_steps
from client.execution import Execution, limited_threads
from client.recipe import Recipe, recipe_of
from client.regulariser import regularisers_of
from client.scoring import score
from client.site_rows import SplitRows
from client.steps import Setting, Step
from client.training import Trained, set_training_mode, train
from common.carried import split_carried
from common.errors import RefusedError
from common.metrics.measure import Measure
from common.rank_slices import as_at_rank
from common.seeds import generator, integer_seed
from common.state import AdapterState
from common.study import Study
from common.tasks import AnyExample
from common.workbench import Workbench
from simulations.engine.engine import Engine
from simulations.engine.group import GroupTrained
from simulations.engine.members import Afterwards, Member
from simulations.engine.plan import plan_groups
from simulations.engine.replica import Replica
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


def run_jobs(sites: VirtualSites, jobs: Sequence[Job], *, workers: int) -> Iterator[JobResult]:
    """Yield results as they come: of groups, where the run's sites train in groups, else from `workers` processes."""
    if sites.engine is not None:
        yield from _in_groups(sites, sites.engine, jobs)
        return
    from joblib import Parallel, delayed

    parallel = Parallel(n_jobs=min(workers, max(len(jobs), 1)), return_as="generator_unordered", batch_size=1)
    with warnings.catch_warnings():
        # loky replaces a worker whose memory grew: no job is lost, and a user could do nothing about it.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs", category=UserWarning)
        yield from parallel(delayed(run_job)(str(sites.folder.path), job) for job in jobs)


def _in_groups(sites: VirtualSites, engine: Engine, jobs: Sequence[Job]) -> Iterator[JobResult]:
    """Train the jobs as clients of the engine, side by side with the tokens and the base model of the run itself."""
    by_name = {job.name: job for job in jobs}
    groups = plan_groups({job.name: _Plan.of(sites, job).work for job in jobs}, engine.shape)
    try:
        running = []
        for group in groups:
            train_them = partial(_train_group, sites, jobs=[by_name[name] for name in group])
            running.append(engine.submit(train_them))
        for each in as_completed(running):
            yield from each.result()
    finally:
        engine.close()


def _train_group(sites: VirtualSites, replica: Replica, jobs: Sequence[Job]) -> list[JobResult]:
    plans = {job.name: _Plan.of(sites, job) for job in jobs}
    engine = cast("Engine", sites.engine)
    together = [plan for plan in plans.values() if not plan.carries]
    outcomes = engine.train(replica, [plan.member() for plan in together]) if together else {}
    return [
        plan.result(replica.bench) if plan.carries else plan.result_of(replica.bench, outcomes[name])
        for name, plan in plans.items()
    ]


def run_job(folder: str, job: Job) -> JobResult:
    """Run one job in this process."""
    sites = resident_sites(folder)
    plan = _Plan.of(sites, job)
    with limited_threads(sites.execution.threads):
        return plan.result(sites.bench)


@dataclass(frozen=True)
class _Plan:
    """A job with all that it is made of."""

    sites: VirtualSites
    job: Job
    rows: SplitRows
    recipe: Recipe
    keeper: "_Keeper"

    @staticmethod
    def of(sites: VirtualSites, job: Job) -> "_Plan":
        """Gather a job's rows and hyper-parameters."""
        rows = _joined([sites.rows[site].train for site in job.train_on])
        validation = _joined([sites.rows[site].validation for site in job.train_on])
        recipe = recipe_for(sites.bundle.study, job)
        steps = count_steps(len(rows), batch_size=recipe.batch_size, epochs=recipe.epochs, steps=recipe.steps)
        keeper = _Keeper(validation, sites.bench.task.measure, every=max(1, steps // job.passes))
        return _Plan(sites, job, rows, recipe, keeper)

    @property
    def work(self) -> int:
        """How much there is to compute, in passes of a token."""
        scored = [self.sites.rows[site].test for site in self.job.score_on]
        tokens = self.rows.tokens // max(len(self.rows), 1)
        return 3 * self.member().steps * self.recipe.batch_size * tokens + sum(part.tokens for part in scored)

    @property
    def start(self) -> AdapterState:
        """The state that training starts from."""
        return self._at_rank(self.job.start if self.job.start is not None else self.sites.bundle.initial)

    def _at_rank(self, state: AdapterState) -> AdapterState:
        return as_at_rank(state, self.sites.bundle.schema, self.job.rank)

    @property
    def carries(self) -> bool:
        """Whether the model carries something beside what is trained, which no group does."""
        return bool(split_carried(self.start)[1])

    def result(self, bench: Workbench) -> JobResult:
        """Train in the workbench."""
        trained = self.train(bench)
        state = self.keeper.best or (None if trained is None else bench.read())
        return JobResult(self.job.name, self.outputs(bench, state), trained)

    def result_of(self, bench: Workbench, outcome: GroupTrained) -> JobResult:
        """Score what came of it in a group."""
        state = self.keeper.best or (None if outcome.trained is None else outcome.state)
        return JobResult(self.job.name, self.outputs(bench, state), outcome.trained)

    def member(self) -> Member:
        """Return the job as a client of a group."""
        study, name = self.sites.bundle.study, self.job.name
        return Member(
            name=name,
            examples=self.rows.examples,
            recipe=self.recipe,
            state=self.start,
            active=self.sites.bundle.schema.names,
            rng=generator(study.seed, site=name, purpose="batches"),
            dropout_seed=integer_seed(study.seed, site=name, purpose="dropout"),
            after_step=self.keeper.look if study.evaluation.keep == "best" else None,
        )

    def train(self, bench: Workbench) -> Trained | None:
        """Train in the workbench; None where it diverged, which is a result and no failure of the comparison."""
        member, study, execution = self.member(), self.sites.bundle.study, self.sites.execution
        bench.write(member.state)
        regularisers = regularisers_of(
            study.training.regulariser,
            bench,
            member.examples,
            initial=self._at_rank(self.sites.bundle.initial),
            active=member.active,
            execution=execution,
            rng=generator(study.seed, site=self.job.name, purpose="regulariser"),
        )
        look, now = member.after_step, _Now(bench, execution)
        after_step = None if look is None else lambda step: look(step, now)
        setting = Setting(after_step=after_step, regularisers=regularisers)
        try:
            return train(
                bench,
                member.examples,
                member.recipe,
                active=member.active,
                execution=execution,
                rng=member.rng,
                dropout_seed=member.dropout_seed,
                setting=setting,
            )
        except RefusedError:
            return None

    def outputs(self, bench: Workbench, state: AdapterState | None) -> Outputs:
        """Return the scores of this state, which nothing came of where it is None."""
        parts = {site: self.sites.rows[site] for site in self.job.score_on}
        chosen = {s: rows.test if self.job.split == "test" else rows.validation for s, rows in parts.items()}
        if state is None:
            return {site: np.full((len(part), bench.task.measure.width), np.nan) for site, part in chosen.items()}
        bench.write(state)
        return {site: score(bench, part.examples, execution=self.sites.execution) for site, part in chosen.items()}


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


@dataclass(frozen=True)
class _Now:
    """What is in a workbench between two steps."""

    bench: Workbench
    execution: Execution

    def state(self) -> AdapterState:
        """Return copies of its tensors."""
        return self.bench.read()

    def score(self, examples: Sequence[AnyExample]) -> NDArray[np.float64]:
        """Return what its model says of examples, (n, width)."""
        found = score(self.bench, examples, execution=self.execution)
        set_training_mode(self.bench)
        return found


@dataclass
class _Keeper:
    """Keeps the best state on the validation rows of the sites that train, looking once per round's worth of steps."""

    validation: SplitRows
    measure: Measure
    every: int
    best: AdapterState | None = None
    _value: float = -np.inf

    def look(self, step: Step, after: Afterwards) -> None:
        """Look at what a step led to, where it is time."""
        if (step.number + 1) % self.every or not len(self.validation):
            return
        value = _quality(after.score(self.validation.examples), self.validation, self.measure)
        if self.best is None or value > self._value:
            self.best, self._value = after.state(), value


def _quality(outputs: NDArray[np.float64], part: SplitRows, measure: Measure) -> float:
    """Return the first choosing metric that has a value, its sign such that more is better: as the server chooses."""
    rng = generator(0, purpose="unused: no resamples")
    metrics = measure.evaluate(outputs, part.labels, part.patients, resamples=0, rng=rng).metrics
    higher = {info.name: info.higher_is_better for info in measure.infos}
    values = [(metrics[name].value, higher[name]) for name in measure.choosing]
    return next((value if better else -value for value, better in values if value is not None), -np.inf)
