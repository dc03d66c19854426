"""Whether a study's adapter can be cut to ranks of single sites, and have a low-rank change carried beside it.

What the study alone tells of ranks, `common.strategy_check` refuses before there is an adapter.
"""

from collections.abc import Mapping, Sequence

from common.errors import StudyError
from common.foreseen import foreseen_in
from common.lora_pairs import Pair, pairs_of
from common.state import AdapterSchema, AdapterState
from common.study import Study

_MAGNITUDE = ".lora_magnitude_vector.weight"


def check_ranks(study: Study, schema: AdapterSchema, initial: AdapterState) -> None:
    """Raise StudyError where the adapter cannot be cut to `federation.ranks`; see `common.strategy_check` too."""
    if not study.federation.ranks:
        return
    pairs = _pairs_in("federation.ranks", study, schema)
    private = [name for pair in pairs for name in (pair.a, pair.b) if name in schema.private.names]
    if private:
        raise StudyError(
            f"federation.ranks does not go with peft.private, which keeps {private[0]!r} at the sites: "
            "the factors of a pair are cut together; leave LoRA's factors out of peft.private"
        )
    if any(initial[pair.b].any() for pair in pairs):
        raise StudyError(
            "federation.ranks needs an adapter that begins as no change at every rank, and peft.init = 'orthogonal' "
            "begins as none only at the whole one; use peft.init = 'default'"
        )


def check_carries(study: Study, schema: AdapterSchema) -> None:
    """Raise StudyError where the strategy carries a change beside the adapter, and there is no pair for it."""
    sites, rounds = study.federation.sites or ("",), range(1, study.federation.rounds + 2)
    if not any(foreseen_in(study, number, site).carries for number in rounds for site in sites):
        return
    key = f"aggregation.name = {study.aggregation.name!r}"
    _pairs_in(key, study, schema)
    if any(name.endswith(_MAGNITUDE) for name in schema.names):
        raise StudyError(f"{key} does not go with peft.dora, whose weight is no sum of changes; leave out peft.dora")


def _pairs_in(key: str, study: Study, schema: AdapterSchema) -> Sequence[Pair]:
    """Return LoRA's pairs, as matrices of one rank each."""
    pairs, shapes = pairs_of(schema.names), _shapes(schema)
    if not pairs:
        raise StudyError(f"{key} is about LoRA's factors, and peft.method = {study.peft.method!r} has none; use 'lora'")
    for pair in pairs:
        if shapes[pair.a][0] != shapes[pair.b][1]:
            raise StudyError(
                f"{key} does not go with {pair.layer!r}, a convolution in groups, whose factors are no two matrices; "
                "leave it out of peft.targets"
            )
    return pairs


def _shapes(schema: AdapterSchema) -> Mapping[str, tuple[int, ...]]:
    return {spec.name: spec.shape for spec in schema.tensors}
