"""First rounds kept on disk: what clients learn from the initial adapter does not depend on how it is then aggregated.

Runs of a comparison that differ in nothing but the strategy train the same first round. It is found by a digest of all
that fixes its bytes: the study but for its name and aggregation, rows, execution, group, and each client's request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from client.steps import Step
from client.training import Trained
from common.files import digest_json, write_bytes
from common.state import AdapterState, digest_state
from simulations.engine.group import GroupTrained

if TYPE_CHECKING:
    from client.execution import Execution
    from simulations.engine.ahead import Asked

UNSEEN = ("name", "description", "aggregation")
"""Parts of a study that no client sees in its first round; what of a strategy it is told is in its request."""
_PARTS = "|"


@dataclass(frozen=True)
class Learned:
    """What training came to at one client, and each step of it."""

    outcome: GroupTrained
    steps: Sequence[Step]


@dataclass(frozen=True)
class FirstRounds:
    """A folder of them. rows: digest of the rows that the clients have."""

    folder: Path
    rows: str

    def place(
        self, group: Sequence[Asked], states: Mapping[str, AdapterState], execution: Execution, *, packs: bool
    ) -> Path | None:
        """Return the file of this group's first round; None of any other round."""
        if not group or any(each.request.round != 1 or each.request.kind != "train" for each in group):
            return None
        study = group[0].trainer.bundle.study.model_dump(mode="json")
        seen = {key: value for key, value in study.items() if key not in UNSEEN}
        asked = [[each.trainer.name, each.request.seed, each.request.plan.to_json()] for each in group]
        received = [digest_state(states[each.trainer.name]) for each in group]
        name = digest_json([seen, self.rows, asdict(execution), packs, asked, received]).rpartition(":")[2]
        return self.folder / f"{name}.safetensors"


def write_learned(path: Path, learned: Mapping[str, Learned]) -> None:
    """Write what each client of a group learned, at once or not at all."""
    arrays: dict[str, NDArray[np.generic]] = {}
    for name, each in learned.items():
        arrays |= {f"state{_PARTS}{name}{_PARTS}{tensor}": array for tensor, array in each.outcome.state.items()}
        arrays[f"steps{_PARTS}{name}"] = np.array([_numbers(step) for step in each.steps]).reshape(-1, 5)
        arrays[f"trained{_PARTS}{name}"] = _summary(each.outcome.trained)
    write_bytes(path, save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))


def read_learned(path: Path) -> dict[str, Learned] | None:
    """Return what `write_learned` wrote; None where it is not there, or cannot be read."""
    try:
        arrays = load(path.read_bytes())
    except (OSError, SafetensorError):
        return None
    names = [key.partition(_PARTS)[2] for key in arrays if key.startswith(f"trained{_PARTS}")]
    return {name: _learned(arrays, name) for name in names}


def _learned(arrays: Mapping[str, NDArray[np.generic]], name: str) -> Learned:
    begin = f"state{_PARTS}{name}{_PARTS}"
    state = {key.removeprefix(begin): np.asarray(arrays[key]) for key in arrays if key.startswith(begin)}
    loss, steps, norm, diverged = (float(number) for number in np.asarray(arrays[f"trained{_PARTS}{name}"]))
    trained = None if diverged else Trained(loss, int(steps), norm)
    told = [_step(row) for row in np.asarray(arrays[f"steps{_PARTS}{name}"], dtype=np.float64)]
    return Learned(GroupTrained(trained, state), told)


def _summary(trained: Trained | None) -> NDArray[np.float64]:
    if trained is None:
        return np.array([0.0, 0.0, 0.0, 1.0])
    return np.array([trained.loss, trained.steps, trained.gradient_norm or 0.0, 0.0])


def _numbers(step: Step) -> tuple[float, ...]:
    moved = np.nan if step.update_norm is None else float(step.update_norm)
    return (step.number, step.learning_rate, float(step.loss), float(step.gradient_norm), moved)


def _step(row: NDArray[np.float64]) -> Step:
    import torch

    number, rate, loss, norm, moved = (float(value) for value in row)
    update_norm = None if np.isnan(moved) else torch.tensor(moved)
    return Step(int(number), rate, torch.tensor(loss), torch.tensor(norm), update_norm)
