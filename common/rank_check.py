"""Whether a study's adapter can be cut to ranks of single sites, and have a low-rank change carried beside it.

What the study alone tells of ranks, `common.strategy_check` refuses before there is an adapter.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Final

from common.errors import StudyError
from common.foreseen import foreseen_in
from common.lora_pairs import Pair, pairs_of
from common.state import AdapterSchema, AdapterState
from common.study import Study

LARGEST_MESSAGE_BYTES: Final = 480 * 2**20
"""A site's trainer takes messages of at most 512 MiB; the rest is left to what is not tensors."""
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
    pairs = _pairs_in(key, study, schema)
    most = foreseen_in(study, 2, sites[0]).carried_rank
    largest = carried_bytes(schema, pairs, rank=most or _most_ranks(study, schema, pairs)) + schema.shared.size_bytes
    if largest > LARGEST_MESSAGE_BYTES:
        raise StudyError(
            f"{key} may carry a change beside the adapter that makes a message of {largest / 2**20:,.0f} MiB in "
            f"{study.federation.rounds} rounds, above the {LARGEST_MESSAGE_BYTES >> 20} MiB that a site takes; set "
            f"aggregation.carried_rank to at most {_fitting_rank(schema, pairs)}"
        )
    if any(name.endswith(_MAGNITUDE) for name in schema.names):
        raise StudyError(f"{key} does not go with peft.dora, whose weight is no sum of changes; leave out peft.dora")


def carried_bytes(schema: AdapterSchema, pairs: Sequence[Pair], *, rank: int) -> int:
    """Return the bytes of what is carried beside these pairs where each has `rank`, or all that its layer can have."""
    shapes, numbers = _shapes(schema), 0
    for pair in pairs:
        m, n = shapes[pair.b][0], prod(shapes[pair.a][1:])
        numbers += min(m, n, rank) * (m + n)
    return 4 * numbers


def _most_ranks(study: Study, schema: AdapterSchema, pairs: Sequence[Pair]) -> int:
    """Return how many ranks all sites bring in all rounds."""
    largest = max(_shapes(schema)[pair.a][0] for pair in pairs)
    return study.federation.rounds * max(1, len(study.federation.sites)) * largest


def _fitting_rank(schema: AdapterSchema, pairs: Sequence[Pair]) -> int:
    """Return the most ranks that a layer may carry for a message to be taken."""
    room = LARGEST_MESSAGE_BYTES - schema.shared.size_bytes
    return max(1, room // max(1, carried_bytes(schema, pairs, rank=1)))


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
