"""Each virtual site's calibration before and after a map of its own, also where the study does not ask for it.

A simulation has every site's scores; a real site tells this only where its study asks, by the same function.
"""

from collections.abc import Iterator, Sequence
from typing import Any  # JSON values

import numpy as np

from client.evidence import Reporter
from client.execution import limited_threads
from client.scoring import score
from common.metrics.classes import ClassMeasure
from common.metrics.types import Floats
from common.rank_slices import as_at_rank
from common.study_task import task_of
from common.tasks import AnyExample
from server.closing import Outcome
from simulations import stages
from simulations.virtual import SIMULATED_POLICY, VirtualSites


def recalibrated(sites: VirtualSites, outcome: Outcome) -> dict[str, Any] | None:
    """Return `{"sites": {site: R}}` of the kept adapter at the sites that answered; None where there are no classes."""
    study, measure = sites.bundle.study, task_of(sites.bundle.study.task).measure
    if not isinstance(measure, ClassMeasure) or not outcome.test:
        return None
    found = {}
    for site, validation in _validation_scores(sites, outcome):
        test = sites.disks.store(site).test_scores(outcome.state.run)
        reporter = Reporter(site, study, sites.bench.task, SIMULATED_POLICY, study.seed)
        found[site] = reporter.recalibration(sites.rows[site], validation=validation, test=test).to_json()
    return {"sites": found}


def _validation_scores(sites: VirtualSites, outcome: Outcome) -> Iterator[tuple[str, Floats]]:
    """Yield each site's scores of its validation rows, (n, width), from the adapter as it has it."""
    names = sorted(outcome.test)
    if sites.is_crowd and not sites.bundle.study.federation.ranks:
        yield from _scored_at_once(sites, outcome, names)
        return
    for site in names:
        state, rank = stages.full_state(sites, outcome, site), sites.bundle.study.federation.ranks.get(site)
        sites.bench.write(as_at_rank(state, sites.bundle.schema, rank))
        yield site, _scores(sites, sites.rows[site].validation.examples)


def _scored_at_once(sites: VirtualSites, outcome: Outcome, names: Sequence[str]) -> Iterator[tuple[str, Floats]]:
    """Thousands of sites of a few rows have one adapter: all rows are scored in batches that are full."""
    parts = {site: sites.rows[site].validation.examples for site in names}
    sites.bench.write(outcome.adapter)
    scores = _scores(sites, [example for part in parts.values() for example in part])
    ends = np.cumsum([len(part) for part in parts.values()])
    yield from zip(parts, np.split(scores, ends[:-1]), strict=True)


def _scores(sites: VirtualSites, examples: Sequence[AnyExample]) -> Floats:
    with limited_threads(sites.execution.threads):
        return score(sites.bench, examples, execution=sites.execution)
