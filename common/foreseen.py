"""What the approved study foresees of plans: the declaration in `common/plans` of its strategy, with its options."""

from dataclasses import fields, replace
from typing import Final

from common import plugins
from common.errors import StudyError
from common.plans import Declaration, Foreseen
from common.protocol import RoundPlan
from common.state import AdapterSchema
from common.study import AggregationSection, Study
from common.unfreezing import Steps, patterns_in

PLANS: Final = "common.plans"
_KEY: Final = "aggregation.name"


def foreseen_in(study: Study, round_number: int, site: str) -> Foreseen:
    """Return what a plan of this round may be at `site`, by the whole study. Raises StudyError."""
    federation, unfreeze = study.federation, study.training.unfreeze
    return foreseen(study.aggregation, round_number, site, unfreeze=unfreeze, rank=federation.ranks.get(site))


def foreseen(
    aggregation: AggregationSection, round_number: int, site: str, *, unfreeze: Steps = (), rank: int | None = None
) -> Foreseen:
    """Return what a plan of this round may be at `site`; a strategy without a declaration makes the plain plan.

    unfreeze: the study's `training.unfreeze`, which narrows every plan. rank: the site's in `federation.ranks`.

    Raises:
        StudyError: the options do not fit the declaration.

    >>> foreseen(AggregationSection(), 1, "east") == Foreseen()
    True
    """
    within = patterns_in(unfreeze, round_number)
    try:
        module = plugins.load(PLANS, aggregation.name, key=_KEY)
    except StudyError:
        return Foreseen(within=within, rank=rank)
    known = {each.name for each in fields(module.build)}
    options = {name: value for name, value in aggregation.options.items() if name in known}
    declared: Declaration = plugins.build(PLANS, aggregation.name, options, key=_KEY)
    found = declared.foresee(round_number, site)
    return replace(found, within=within, rank=found.rank if rank is None else rank)


def first_plan(found: Foreseen, shared: AdapterSchema) -> RoundPlan:
    """Return a plan that is foreseen, such as a preview of a round plays."""
    names = next(found.choices(shared), ())
    active = None if names == shared.names else names
    return RoundPlan(active, found.proximal_mu, found.rank, dict(sorted(found.extra)))
