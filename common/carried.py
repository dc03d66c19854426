"""Low-rank change that a strategy carries beside the adapter, in place of a change of the base model.

FedEx-LoRA and FLoRA fold into the base weights what the factors cannot hold. The base model here stays as it is, so
that an absent site, a quantised base and an audit see the same one: the change is further pairs of factors,
`carried.<layer>.lora_A.weight` (R, in) and `.lora_B.weight` (out, R), frozen, in the same scale as the layer's own
pair: W = W0 + s (B A + B_c A_c). R may differ from layer to layer and from round to round; a state without such names
carries nothing. They are in every state that travels, is kept or exported, and in no adapter schema.
"""

from collections.abc import Mapping
from typing import Final

from common.errors import NotFiniteError, SchemaError
from common.lora_pairs import Pair, pairs_of
from common.state import AdapterSchema, AdapterState, Array, digest_state, is_finite

CARRIED: Final = "carried."


def carried_pair(pair: Pair) -> Pair:
    """Return the names of what is carried beside a layer's own pair.

    >>> carried_pair(Pair("q")).a
    'carried.q.lora_A.weight'
    """
    return Pair(CARRIED + pair.layer)


def split_carried(state: AdapterState) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the adapter's own tensors, and those that are carried, each with its whole name."""
    own = {name: array for name, array in state.items() if not name.startswith(CARRIED)}
    return own, {name: array for name, array in state.items() if name.startswith(CARRIED)}


def carried_digest(state: AdapterState) -> str | None:
    """Return the digest of what is carried, None where nothing is."""
    carried = split_carried(state)[1]
    return digest_state(carried) if carried else None


def check_adapter(state: AdapterState, schema: AdapterSchema) -> None:
    """Check a state that may carry something: its own tensors are those of `schema`. Raises SchemaError."""
    own, carried = split_carried(state)
    schema.check(own)
    check_carried(carried, schema)


def check_carried(carried: Mapping[str, Array], schema: AdapterSchema) -> None:
    """Check that each carried pair fits a layer's own pair in `schema`, in at most the rank that a matrix can have.

    Raises:
        SchemaError: it does not. NotFiniteError: a value is not finite.
    """
    if not carried:
        return
    own = {pair.layer: pair for pair in pairs_of(schema.names)}
    pairs = pairs_of(carried)
    if len(carried) != 2 * len(pairs):
        raise SchemaError("what is carried is not all pairs of factors")
    for pair in pairs:
        layer = own.get(pair.layer.removeprefix(CARRIED))
        if layer is None:
            raise SchemaError(f"{pair.layer!r} is beside no pair of the adapter")
        _check_pair(
            carried[pair.a], carried[pair.b], a=schema.shapes[layer.a], b=schema.shapes[layer.b], name=pair.layer
        )


def _check_pair(found_a: Array, found_b: Array, *, a: tuple[int, ...], b: tuple[int, ...], name: str) -> None:
    rank = found_a.shape[0] if found_a.ndim else 0
    wanted = (rank, *a[1:]), (b[0], rank, *b[2:])
    if (found_a.shape, found_b.shape) != wanted or {found_a.dtype.name, found_b.dtype.name} != {"float32"}:
        raise SchemaError(f"{name!r} has shapes {found_a.shape} and {found_b.shape}, expected float32 {wanted}")
    largest = min(b[0], found_a[0].size if rank else 0)
    if not 1 <= rank <= largest:
        raise SchemaError(f"{name!r} has rank {rank}, expected 1 to {largest}")
    if not (is_finite(found_a) and is_finite(found_b)):
        raise NotFiniteError(f"{name!r} has values that are not finite")
