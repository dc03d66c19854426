"""Each virtual site's calibration before and after a map of its own, also where the study does not ask for it.

A simulation has every site's scores; a real site tells this only where its study asks, by the same function.
"""

from typing import Any  # JSON values

from client.evidence import Reporter
from client.execution import limited_threads
from client.scoring import score
from common.metrics.classes import ClassMeasure
from common.rank_slices import as_at_rank
from common.study_task import task_of
from server.closing import Outcome
from simulations import stages
from simulations.virtual import SIMULATED_POLICY, VirtualSites


def recalibrated(sites: VirtualSites, outcome: Outcome) -> dict[str, Any] | None:
    """Return `{"sites": {site: R}}` of the kept adapter at the sites that answered; None where there are no classes."""
    study, measure = sites.bundle.study, task_of(sites.bundle.study.task).measure
    if not isinstance(measure, ClassMeasure) or not outcome.test:
        return None
    found = {}
    for site in sorted(outcome.test):
        rows = sites.rows[site]
        state, rank = stages.full_state(sites, outcome, site), study.federation.ranks.get(site)
        sites.bench.write(as_at_rank(state, sites.bundle.schema, rank))
        with limited_threads(sites.execution.threads):
            validation = score(sites.bench, rows.validation.examples, execution=sites.execution)
        test = sites.trainer(site).store.test_scores(outcome.state.run)
        reporter = Reporter(site, study, sites.bench.task, SIMULATED_POLICY, study.seed)
        found[site] = reporter.recalibration(rows, validation=validation, test=test).to_json()
    return {"sites": found}
