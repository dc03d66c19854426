"""What a site answers at all: questions that the bundle foresees, and no other.

The server chooses every field of a request. Left unchecked, it could score adapters of its own making on a site's rows
as often as it likes, and read labels off the answers; so seed, rounds, splits and the first adapter must be those of
the study that the site agreed to, and test rows are scored in the closing evaluation only. A plan is one that the
study's strategy makes by its declaration, narrowed to what the study has unfrozen (`common.foreseen`): which of the
shared tensors are trained in this round, and with which proximal term.
"""

from collections.abc import Sequence
from math import isfinite

import numpy as np

from common.bundle import Bundle
from common.errors import RefusedError, SchemaError, StudyError
from common.foreseen import foreseen_in
from common.protocol import Request, RoundPlan, Split, asked_schema
from common.study import Study

MAX_PROXIMAL_MU = 1e3


def check_request(request: Request, bundle: Bundle, *, site: str) -> None:
    """Raise RefusedError, with a fixed word, unless the study foresees this request at `site`."""
    if request.study != bundle.study.digest:
        raise RefusedError("WRONG_STUDY")
    if request.schema != bundle.schema.digest:
        raise RefusedError("WRONG_SCHEMA")
    splits = expected_splits(request, bundle.study)
    if request.seed != bundle.study.seed or not splits or request.splits != splits:
        raise RefusedError("MALFORMED_REQUEST")
    _check_honoured(request.plan)
    _check_adapter(request, bundle)
    _check_foreseen(request, bundle, site)


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
    if plan.rank is not None or plan.extra or plan.active == ():
        raise RefusedError("MALFORMED_REQUEST")
    if not (isfinite(plan.proximal_mu) and 0 <= plan.proximal_mu <= MAX_PROXIMAL_MU):
        raise RefusedError("MALFORMED_REQUEST")


def _check_foreseen(request: Request, bundle: Bundle, site: str) -> None:
    """Refuse a plan that is none of those which the approved study's strategy makes."""
    if request.kind == "train":
        try:
            declared = foreseen_in(bundle.study, request.round, site)
        except StudyError:
            raise RefusedError("MALFORMED_REQUEST") from None
        is_foreseen = declared.allows(request.plan, bundle.schema.shared)
    else:
        is_foreseen = request.plan == RoundPlan()
    if not is_foreseen:
        raise RefusedError("MALFORMED_REQUEST")


def _check_adapter(request: Request, bundle: Bundle) -> None:
    """The tensors must be the schema's, and those of round 1 the bundle's own."""
    try:
        bundle.schema.shared.check(request.shared)
        asked_schema(bundle.schema, request.kind, request.plan)
    except SchemaError:
        raise RefusedError("WRONG_ADAPTER") from None
    if request.kind == "train" and request.round == 1:
        same = (np.array_equal(array, bundle.initial[name]) for name, array in request.shared.items())
        if not all(same):
            raise RefusedError("WRONG_ADAPTER")
