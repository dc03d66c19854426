"""All that a run must remember between rounds. A checkpoint is this; so a resumed run knows what the first one knew."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any  # JSON values

from common.privacy._accounting import Spending
from common.state import AdapterState
from server.aggregation import Memory

Record = Mapping[str, Any]
"""One round as `results.json` has it, JSON-able."""


@dataclass(frozen=True)
class Best:
    """The best round so far by pooled validation `metric` over the rows of `sites`, and its adapter."""

    round: int
    metric: str
    value: float
    sites: tuple[str, ...]
    shared: AdapterState


@dataclass(frozen=True)
class ServerState:
    """A run after its last complete round.

    run: id of the run; sites keep their answers under it. study, seed: what the run is of.
    round: last complete round, 0 before the first. shared: the adapter that it made.
    memory: the strategy's. examples: example count of each site's first accepted reply.
    initial: validation of the adapter before round 1, `history`: one record per complete round. The validation of
    round t comes with the replies of round t + 1, so that of the last record is null until the closing evaluation. The
    records before the last are packed (`server.packed_record`).
    spent: the ledger of the noise in `shared`, where the server adds any (`common.privacy.site_dp`).
    """

    run: str
    study: str
    seed: int
    shared: AdapterState
    round: int = 0
    memory: Memory = field(default_factory=dict)
    examples: Mapping[str, int] = field(default_factory=dict)
    initial: Record | None = None
    history: tuple[Record, ...] = ()
    best: Best | None = None
    spent: tuple[Spending, ...] = ()


def fresh_state(shared: AdapterState, *, study: str, seed: int) -> ServerState:
    """Return the state before round 1, with a run id of its own."""
    return ServerState(run=secrets.token_hex(8), study=study, seed=seed, shared=shared)
