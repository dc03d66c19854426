"""What a further phase did to the rows of the phases before, and to those of its own: the same rows, before and after.

Before is the adapter that the phase began with, after is the one that it kept. A change is positive where the model has
become better; forgetting is a negative one on old validation rows. Old test patients are test patients still.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any  # JSON values

import numpy as np

from client.data import Rows
from client.scoring import score
from client.site_rows import SiteRows, SplitRows, prepare_rows
from common.errors import UserError
from common.metrics.measure import Labels, gain
from common.metrics.types import Metric
from common.protocol import Split
from common.rank_slices import as_at_rank
from common.seeds import generator
from common.state import AdapterState
from common.study_task import task_of
from server.closing import Outcome
from simulations.comparison import Scoring, metrics_json
from simulations.continuing.earlier import Earlier, read_inherited
from simulations.jobs import Outputs
from simulations.new_rows import joined, without_known
from simulations.stages import full_state
from simulations.virtual import VirtualSites, read_sites

SPLITS: tuple[Split, ...] = ("validation", "test")
_State = Callable[[str], AdapterState]


@dataclass(frozen=True)
class Models:
    """The adapter before and after the phase, with each site's own private tensors."""

    before: _State
    after: _State


def continual_json(sites: VirtualSites, outcome: Outcome, earlier: Earlier) -> dict[str, Any]:
    """Return the `continual` of results.json: `{"earlier", "old", "new"}`, each of the last two by split.

    Where the old rows cannot be read any more, `old` is null and `reason` says why.
    """
    models = _models(sites, outcome)
    try:
        old, reason = _old(sites, earlier), None
    except UserError as error:
        old, reason = {}, str(error)
    new = {
        site: without_known(rows, [old[site]] if site in old else [], site_column=None)
        for site, rows in sites.raw.items()
    }
    return {
        "earlier": earlier.to_json(),
        "old": None if reason else _by_split(sites, models, old),
        "new": _by_split(sites, models, new),
        "reason": reason,
    }


def _by_split(sites: VirtualSites, models: Models, raw: Mapping[str, Rows]) -> dict[str, Any]:
    rows = {site: prepare_rows(part, sites.bundle.study, sites.bench) for site, part in raw.items() if len(part)}
    return {split: _compared(sites, models, _parts(rows, split)) for split in SPLITS}


def _models(sites: VirtualSites, outcome: Outcome) -> Models:
    bundle = sites.bundle
    shared, private = bundle.schema.shared.names, bundle.schema.private.names

    def before(site: str) -> AdapterState:
        own = read_inherited(sites.folder, site)
        return {name: own.get(name, bundle.initial[name]) for name in (*shared, *private)}

    def after(site: str) -> AdapterState:
        if site in sites.rows:
            return full_state(sites, outcome, site)
        return {**before(site), **outcome.adapter}  # a site that had no part in this phase keeps what is its own

    return Models(before, after)


def _old(sites: VirtualSites, earlier: Earlier) -> dict[str, Rows]:
    """Return the rows of the earlier phases by site; one that several phases had counts once."""
    found: dict[str, Rows] = {}
    for study in earlier.studies:
        for site, rows in read_sites(study, sites.folder.scratch).items():
            known = [found[site]] if site in found else []
            found[site] = joined([*known, without_known(rows, known, site_column=None)])
    return dict(sorted(found.items()))


def _parts(rows: Mapping[str, SiteRows], split: Split) -> dict[str, SplitRows]:
    return {site: part.part(split) for site, part in rows.items() if len(part.part(split))}


def _compared(sites: VirtualSites, models: Models, rows: Mapping[str, SplitRows]) -> dict[str, Any]:
    """Return `{"before", "after", "change"}` of these rows: the first two by site and pooled, as in the comparison."""
    study = sites.bundle.study
    scoring = Scoring(rows, task_of(study.task).measure, study.evaluation.resamples, study.seed)
    one_model = not (study.peft.private or study.federation.ranks)
    before, after = (_outputs(sites, state, rows) for state in (models.before, models.after))
    change = {site: scoring.benefit(site, after[site], before[site]).to_json() for site in rows}
    return {
        "before": _levels(scoring, before, one_model=one_model),
        "after": _levels(scoring, after, one_model=one_model),
        "change": {"sites": change, "pooled": _change(scoring, after, before, one_model=one_model).to_json()},
    }


def _levels(scoring: Scoring, outputs: Outputs, *, one_model: bool) -> dict[str, Any]:
    """Return the metrics of every site, and of all rows together where one model scored them: of rows, not bins."""
    sites = {site: metrics_json(scoring.scores(site, outputs[site]).metrics) for site in scoring.rows}
    if not (one_model and scoring.rows):
        return {"sites": sites, "pooled": {}}
    labels, patients = _everyone(scoring)
    rng = generator(scoring.seed, purpose="bootstrap pooled")
    together = np.concatenate([outputs[site] for site in scoring.rows])
    pooled = scoring.measure.evaluate(together, labels, patients, resamples=scoring.resamples, rng=rng)
    return {"sites": sites, "pooled": metrics_json(pooled.metrics)}


def _everyone(scoring: Scoring) -> tuple[Labels, list[str]]:
    """Return the labels and patients of all sites; patients of different sites are different ones."""
    labels = np.concatenate([part.labels for part in scoring.rows.values()])
    return labels, [f"{site}|{patient}" for site, part in scoring.rows.items() for patient in part.patients]


def _outputs(sites: VirtualSites, state: _State, rows: Mapping[str, SplitRows]) -> Outputs:
    bundle, ranks = sites.bundle, sites.bundle.study.federation.ranks
    outputs = {}
    for site, part in rows.items():
        sites.bench.write(as_at_rank(state(site), bundle.schema, ranks.get(site)))
        outputs[site] = score(sites.bench, part.examples, execution=sites.execution)
    return outputs


def _change(scoring: Scoring, after: Outputs, before: Outputs, *, one_model: bool) -> Metric:
    """Return the change over the rows of all sites."""
    parts = scoring.rows
    if not one_model or not parts:
        count = sum(len(part) for part in parts.values())
        return Metric(None, count, reason="each site has a model of its own" if parts else "no rows")
    labels, patients = _everyone(scoring)
    ours, theirs = (np.concatenate([outputs[site] for site in parts]) for outputs in (after, before))
    rng = generator(scoring.seed, purpose="bootstrap change")
    return gain(scoring.measure, ours, theirs, labels, patients, resamples=scoring.resamples, rng=rng)
