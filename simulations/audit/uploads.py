"""What really left a virtual site: the update of its last trained round, from the replies that its store keeps."""

from collections.abc import Iterator
from dataclasses import dataclass

from common.compressing import compression_of
from common.errors import SchemaError
from common.lora_pairs import A, B
from common.rank_slices import sliced, sliced_schema
from common.state import AdapterSchema, AdapterState
from server import checkpoint
from simulations.audit.opened import OpenedRun


@dataclass(frozen=True)
class Upload:
    """An update as the server read it, and what it was trained from, of which the factors A that did not move are."""

    round: int
    update: AdapterState
    received: AdapterState


def last_upload(run: OpenedRun, site: str) -> Upload | None:
    """Return the last update that left a site, or None where there is none."""
    facts = run.sites.folder.facts()
    kept = run.sites.trainer(site).store.trained(facts.run)
    if not kept:
        return None
    number, rank = max(kept), run.study.federation.ranks.get(site)
    schema = sliced_schema(run.sites.bundle.schema.shared, rank)
    update = _decompressed(run, kept[number].update, schema)
    state = checkpoint.read(run.sites.folder.checkpoint, study=run.study.digest, seed=facts.seed)
    return Upload(number, update, sliced(state.shared, rank))


def _decompressed(run: OpenedRun, payload: AdapterState, schema: AdapterSchema) -> AdapterState:
    """Undo the study's compression; which tensors were asked for, the plan said, and the payload shows."""
    compression = compression_of(run.study.compression)
    for asked in _possibly_asked(schema):
        try:
            compression.wire_schema(asked).check(payload)
        except SchemaError:
            continue
        return compression.decompress(payload, asked)
    return payload


def _possibly_asked(schema: AdapterSchema) -> Iterator[AdapterSchema]:
    """Yield all tensors, those but the factors A, those but the factors B."""
    yield schema
    for end in (A, B):
        yield schema.only(tuple(name for name in schema.names if not name.endswith(end)))
