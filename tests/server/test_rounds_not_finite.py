"""A step that leaves float32 ends the run in one clear line, with the round before in the checkpoint."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from common.errors import ParticipationError
from common.state import AdapterState
from server import checkpoint
from server.aggregation import Mean, Memory
from server.aggregation.fedavg import FedAvg


class Exploding(FedAvg):
    """What a rule of products can do with two huge factors."""

    def step(self, state: AdapterState, mean: Mean, memory: Memory) -> tuple[AdapterState, Memory]:
        return {name: np.full_like(array, np.inf) for name, array in state.items()}, memory


def test_an_adapter_that_is_not_finite_stops_the_run_with_the_checkpoint_of_the_round_before(
    lab: Callable[..., Any],
) -> None:
    made = lab(4)
    with pytest.raises(ParticipationError, match=r"round 1 makes an adapter that is not finite.*norm_bound"):
        made.run(strategy=Exploding())
    kept = checkpoint.read(made.folder / "checkpoint", study=made.job().study, seed=7)
    assert kept.round == 0
