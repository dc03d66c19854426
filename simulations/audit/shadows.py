"""Further adapters, trained as the run's was but on other rows: shadows, and models that never saw a site's rows.

A shadow trains on all sites' rows in one place, as long as the run's rounds together, by plain training: where the
study adds noise, a shadow has none.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from client.execution import limited_threads
from client.regulariser import regularisers_of
from client.steps import Setting
from client.training import train
from common.errors import RefusedError, UserError
from common.metrics.types import Floats
from common.seeds import generator, integer_seed
from common.state import AdapterState
from common.tasks import AnyExample
from simulations.audit.lira import confidence
from simulations.audit.opened import OpenedRun, Pool
from simulations.jobs import Job, recipe_for


def halves(patients: NDArray[np.str_], shadows: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return which shadow (shadows, n) trains on which row: half of the patients, and the next shadow on the others."""
    codes = np.unique(patients, return_inverse=True)[1]
    distinct = int(codes.max()) + 1
    found = np.empty((shadows, len(codes)), dtype=bool)
    for shadow in range(0, shadows, 2):
        chosen = rng.permutation(distinct) < distinct // 2
        found[shadow], found[shadow + 1] = chosen[codes], ~chosen[codes]
    return found


def shadow_confidences(run: OpenedRun, pool: Pool, inside: NDArray[np.bool_]) -> Iterator[Floats]:
    """Train one shadow after the other, and yield what each says (n,) of all rows."""
    for number, chosen in enumerate(inside):
        examples = [example for example, keep in zip(pool.examples, chosen, strict=True) if keep]
        state = train_again(run, examples, name=f"shadow-{number}")
        if state is None:
            raise UserError(f"the training of shadow {number + 1} diverged; audit without --shadows")
        yield confidence(run.losses(state, pool.examples))


def two_groups(sizes: Mapping[str, int]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Part sites into two groups of about as many rows.

    >>> two_groups({"a": 5, "b": 3, "c": 3})
    (('a',), ('b', 'c'))
    """
    groups: tuple[list[str], list[str]] = ([], [])
    for site in sorted(sizes, key=lambda name: (-sizes[name], name)):
        smaller = min(groups, key=lambda group: sum(sizes[name] for name in group))
        smaller.append(site)
    return tuple(sorted(groups[0])), tuple(sorted(groups[1]))


def unseen_scores(run: OpenedRun, pool: Pool, before: Floats) -> Floats | None:
    """Return each row's score by a model of other sites' training rows; before: losses under the initial adapter.

    None with one site, since there are no others, and where training diverges.
    """
    sizes = {site: len(rows.train) for site, rows in run.sites.rows.items()}
    if len(sizes) < 2:
        return None
    scores = np.empty(len(pool.examples))
    groups = two_groups(sizes)
    for group, others in (groups, groups[::-1]):
        theirs = np.isin(pool.sites, others) & pool.members
        state = train_again(run, pool.of(theirs).examples, name=f"without {'|'.join(group)}")
        if state is None:
            return None
        rows = np.isin(pool.sites, group)
        scores[rows] = before[rows] - run.losses(state, pool.of(rows).examples)
    return scores


def train_again(run: OpenedRun, examples: Sequence[AnyExample], *, name: str) -> AdapterState | None:
    """Return what the initial adapter becomes on these rows; None where training diverges."""
    sites, study, execution = run.sites, run.study, run.sites.execution
    rate = study.evaluation.learning_rates.central or study.training.learning_rate
    recipe = recipe_for(study, Job(name, tuple(sites.rows), (), rate, study.federation.rounds))
    sites.bench.write(sites.bundle.initial)
    active = sites.bundle.schema.names
    regularisers = regularisers_of(
        study.training.regulariser,
        sites.bench,
        examples,
        initial=sites.bundle.initial,
        active=active,
        execution=execution,
        rng=generator(study.seed, site=name, purpose="regulariser"),
    )
    try:
        with limited_threads(execution.threads):
            train(
                sites.bench,
                examples,
                recipe,
                active=active,
                execution=execution,
                rng=generator(study.seed, site=name, purpose="batches"),
                dropout_seed=integer_seed(study.seed, site=name, purpose="dropout"),
                setting=Setting(regularisers=regularisers),
            )
    except RefusedError:
        return None
    return sites.bench.read()
