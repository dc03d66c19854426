"""What a site answers at all: questions that the bundle foresees, and no other.

The server chooses every field of a request. Left unchecked, it could score adapters of its own making on a site's rows
as often as it likes, and read labels off the answers; so seed, rounds, splits and the first adapter must be those of
the study that the site agreed to, and test rows are scored in the closing evaluation only. A plan is one that the
study's strategy makes by its declaration, narrowed to what the study has unfrozen (`common.foreseen`): which of the
shared tensors are trained in this round, with which proximal term, at which rank. What changes the model beside the
adapter is taken only where the declaration says that the strategy carries such, and never before a round was trained.
"""

from collections.abc import Sequence
from math import isfinite

import numpy as np

from client.plan_extras import check_extras
from common.bundle import Bundle
from common.carried import check_adapter, split_carried
from common.errors import RefusedError, SchemaError, StudyError
from common.foreseen import foreseen_in
from common.lora_pairs import pairs_of
from common.plans import Foreseen
from common.protocol import Request, RoundPlan, Split, asked_schema, received_schema
from common.rank_slices import sliced
from common.state import AdapterState
from common.study import Study

MAX_PROXIMAL_MU = 1e3


def check_request(request: Request, bundle: Bundle, *, site: str) -> None:
    """Raise RefusedError, with a fixed word, unless the study foresees this request at `site`."""
    if request.study != bundle.study_digest:
        raise RefusedError("WRONG_STUDY")
    if request.schema != bundle.schema.digest:
        raise RefusedError("WRONG_SCHEMA")
    splits = expected_splits(request, bundle.study)
    if request.seed != bundle.study.seed or not splits or request.splits != splits:
        raise RefusedError("MALFORMED_REQUEST")
    _check_honoured(request.plan)
    _check_named(request, bundle)
    _check_foreseen(request, bundle, site)
    _check_adapter(request, bundle)


def expected_splits(request: Request, study: Study) -> Sequence[Split]:
    """Return the splits that a request of this kind and round evaluates; none means that there is no such request.

    Training rounds validate the adapter they receive. After the last round one message validates and tests; with
    `keep = "best"` a second one tests the adapter that was chosen.
    """
    after = request.round - study.federation.rounds
    if request.kind == "train":
        return ("validation",) if after <= 0 < request.round else ()
    if study.evaluation.keep == "last":
        return ("validation", "test") if after == 1 else ()
    closing: dict[int, Sequence[Split]] = {1: ("validation",), 2: ("test",)}
    return closing.get(after, ())


def _check_honoured(plan: RoundPlan) -> None:
    """Refuse what this trainer cannot honour, and what would turn the update into something else than training."""
    if plan.active == () or (plan.rank is not None and plan.rank < 1):
        raise RefusedError("MALFORMED_REQUEST")
    check_extras(plan.extra)
    if not (isfinite(plan.proximal_mu) and 0 <= plan.proximal_mu <= MAX_PROXIMAL_MU):
        raise RefusedError("MALFORMED_REQUEST")


def _check_named(request: Request, bundle: Bundle) -> None:
    """Refuse a plan that names a tensor which is none of those that travel."""
    try:
        asked_schema(bundle.schema, request.kind, request.plan)
    except SchemaError:
        raise RefusedError("WRONG_ADAPTER") from None


def _check_foreseen(request: Request, bundle: Bundle, site: str) -> None:
    """Refuse a plan, or a change beside the adapter, that the approved study's strategy does not make."""
    try:
        declared = foreseen_in(bundle.study, request.round, site)
    except StudyError:
        raise RefusedError("MALFORMED_REQUEST") from None
    if request.kind == "train":
        is_foreseen = declared.allows(request.plan, bundle.schema.shared)
    else:
        is_foreseen = request.plan == RoundPlan(rank=bundle.study.federation.ranks.get(site))
    carried = split_carried(request.shared)[1]
    if not is_foreseen or (carried and not (request.round > 1 and _may_carry(carried, declared))):
        raise RefusedError("MALFORMED_REQUEST")


def _may_carry(carried: AdapterState, declared: Foreseen) -> bool:
    ranks = [carried[pair.a].shape[0] for pair in pairs_of(carried) if carried[pair.a].ndim]
    most = declared.carried_rank
    return declared.carries and (most is None or all(rank <= most for rank in ranks))


def _check_adapter(request: Request, bundle: Bundle) -> None:
    """The tensors must be the schema's at the plan's rank, and those of round 1 the bundle's own."""
    received = received_schema(bundle.schema, request.plan)
    if received.digest not in request.fits:
        try:
            check_adapter(request.shared, received)
        except SchemaError:
            raise RefusedError("WRONG_ADAPTER") from None
        request.fits.add(received.digest)
    if request.kind == "train" and request.round == 1:
        initial = sliced(bundle.initial, request.plan.rank)
        own, _ = split_carried(request.shared)
        if not all(np.array_equal(array, initial[name]) for name, array in own.items()):
            raise RefusedError("WRONG_ADAPTER")
