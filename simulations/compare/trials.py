"""One run of a comparison: what fixes it, its digest, and where its result lies once it is done."""

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal  # a result is JSON

from common.files import digest_file, digest_json
from common.machine import versions
from common.study import Study, replaced
from simulations.availability import Availability
from simulations.catalogue import BUILTIN, simulation_of
from simulations.compare.cells import Cell
from simulations.compare.grid import Grid
from simulations.compare.source import own_digests, package_digest

FORMAT = 1
RUNS, RESULT = "runs", "result.json"
Purpose = Literal["tuning", "reported"]


@dataclass(frozen=True)
class Trial:
    """A study to the last key, over sites that are as `availability` says; `plugins`: folders of the user's own."""

    cell: Cell
    purpose: Purpose
    seed: int
    study: Study
    availability: Availability | None
    plugins: tuple[str, ...] = ()

    @property
    def rate(self) -> float:
        """The learning rate."""
        return self.study.training.learning_rate

    @cached_property
    def digest(self) -> str:
        """64 hexadecimal digits of all that fixes the result: study, sites, rows, versions, our code and the user's."""
        content = {
            "format": FORMAT,
            "study": self.study.model_dump(mode="json"),
            "availability": None if self.availability is None else self.availability.model_dump(mode="json"),
            "rows": _rows_digest(self.study),
            "code": package_digest(),
            "plugins": own_digests(self.plugins),
            "versions": versions(),
        }
        return digest_json(content).removeprefix("sha256:")

    def folder(self, out: Path) -> Path:
        """Where the finished run is."""
        return out / RUNS / self.folder_name

    @property
    def folder_name(self) -> str:
        """The first digits of its digest."""
        return self.digest[:24]


def _rows_digest(study: Study) -> str | None:
    data = simulation_of(study).data
    return None if data.startswith(BUILTIN) else digest_file(Path(data))


def tuning_trials(cell: Cell, grid: Grid, own: tuple[str, ...]) -> list[Trial]:
    """Return one trial for each candidate rate; none where there is nothing to choose."""
    if len(cell.rates) == 1:
        return []
    rounds = grid.tuning.rounds or cell.study.federation.rounds
    # A best round, chosen on the very rows that judge the rate, would flatter it.
    changes = {"federation.rounds": rounds, "evaluation.keep": "last"}
    base = Trial(cell, "tuning", grid.tuning.seed, replaced(cell.study, changes), grid.availability, own)
    return [_seeded(base, rate, seed=grid.tuning.seed, split=grid.tuning.seed) for rate in cell.rates]


def reported_trials(cell: Cell, rate: float, grid: Grid, own: tuple[str, ...]) -> list[Trial]:
    """Return one trial for each seed; every seed has its own draws and its own split."""
    study, base = cell.study, Trial(cell, "reported", 0, cell.study, grid.availability, own)
    first = study.seed, study.evaluation.split_seed
    return [_seeded(base, rate, seed=first[0] + k, split=first[1] + k) for k in range(grid.seeds)]


def _seeded(trial: Trial, rate: float, *, seed: int, split: int) -> Trial:
    changes = {"training.learning_rate": rate, "seed": seed, "evaluation.split_seed": split}
    return replace(trial, seed=seed, study=replaced(trial.study, changes))


def read_result(trial: Trial, out: Path) -> dict[str, Any] | None:
    """Return the result of a finished run, None where it is not finished."""
    try:
        content: dict[str, Any] = json.loads((trial.folder(out) / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content
