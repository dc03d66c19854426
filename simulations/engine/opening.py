"""Whether and how a run's clients are trained in groups: decided once, and kept in the run's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from client.execution import Execution, limited_threads
from common.cohort_size import cohort_size
from common.errors import CheckpointError, StudyError
from common.files import write_json
from common.machine import usable_cores
from common.peft_methods import _targets
from common.study import Study
from common.tasks import AnyExample
from common.workbench import Workbench
from simulations.engine.engine import Engine
from simulations.engine.obstacles import found_obstacle, known_obstacle
from simulations.engine.plan import ONE_BY_ONE, Shape, Wanted
from simulations.engine.room import (
    clients_that_fill,
    clients_that_fit,
    free_bytes,
    most_clients,
    step_bytes,
    step_tokens,
)

if TYPE_CHECKING:
    from client.site_rows import SiteRows


@dataclass(frozen=True)
class Decision:
    """shape: of the groups. packs: whether rows go without padding. obstacle: why clients are trained one by one."""

    shape: Shape = ONE_BY_ONE
    packs: bool = False
    obstacle: str | None = None

    def to_json(self) -> dict[str, object]:
        """Return a value for the run's folder."""
        return asdict(self)

    def told(self) -> dict[str, object]:
        """Return what results.json says."""
        shape = {"workers": self.shape.workers, "group_size": self.shape.clients}
        return {**shape, "packed": self.packs, "one_by_one_because": self.obstacle}


MEASURED_ROWS = 2
"""Of the longest text, of which memory and work are measured; those of a batch are in proportion."""
UNDECIDED = Decision()
"""One by one, and nothing in the way."""


def decided(
    path: Path, study: Study, bench: Workbench, execution: Execution, sites: Mapping[str, SiteRows], wanted: Wanted
) -> Decision:
    """Return what was decided for the run whose file is `path`, or decide, and write it there."""
    if not path.exists():
        with limited_threads(execution.threads):
            write_json(path, decide(study, bench, execution, sites, wanted).to_json())
    return read_decision(path)


def read_decision(path: Path) -> Decision:
    """Return what the file says. Raises CheckpointError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Decision(Shape(**content.pop("shape")), **content)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path} cannot be read ({type(error).__name__}); the run is lost") from None


def decide(
    study: Study, bench: Workbench, execution: Execution, sites: Mapping[str, SiteRows], wanted: Wanted
) -> Decision:
    """Try the study in a group, and measure how large one may be."""
    if wanted.clients == 1:
        return Decision()
    obstacle = known_obstacle(study, bench, execution)
    if obstacle is not None:
        return Decision(obstacle=obstacle)
    shape = _Suiting(study, bench, execution, sites).shape(wanted)
    if shape.clients == 1:
        return Decision(obstacle="memory holds the step of one client at a time")
    packs = can_pack(bench) and found_obstacle(study, bench, execution, sites, packs=True) is None
    obstacle = None if packs else found_obstacle(study, bench, execution, sites, packs=False)
    return Decision(obstacle=obstacle) if obstacle is not None else Decision(shape, packs)


def can_pack(bench: Workbench) -> bool:
    """Whether the base model has blocks in a row, and rows are of texts: of all else no row has padding."""
    try:
        blocks = _targets.blocks(bench.model)
    except StudyError:
        return False
    return bool(blocks) and bench.task.architecture == "encoder"


@dataclass(frozen=True)
class _Suiting:
    """What suits the machine and the rows, where nothing is asked for."""

    study: Study
    bench: Workbench
    execution: Execution
    sites: Mapping[str, SiteRows]

    def shape(self, wanted: Wanted) -> Shape:
        workers = wanted.workers or self._cores
        if not (wanted.workers or wanted.apart):
            workers = self._gaining(workers, at_once=wanted.clients or self._clients(workers=1))
        return Shape(workers, wanted.clients or self._clients(workers=workers))

    def _clients(self, *, workers: int) -> int:
        """Return as many as fill a step, and no more than there is room for in each worker."""
        batch_size = self.study.training.batch_size
        fit = clients_that_fit(free_bytes(self.execution.device), batch_size * self._row_bytes, workers=workers)
        adapter_bytes = sum(p.numel() * p.element_size() for p in self.bench.parameters.values())
        return min(max(2, self._filling), fit, most_clients(adapter_bytes))

    @property
    def _cores(self) -> int:
        """As many workers as have `threads` cores each; a GPU computes for one at a time."""
        return max(1, usable_cores() // self.execution.threads) if self.execution.device == "cpu" else 1

    def _gaining(self, workers: int, *, at_once: int) -> int:
        """Return as many, where that is sooner done than one."""
        from simulations.engine.threads import flops_per_operation, threads_pay

        if workers == 1:
            return 1
        pays = threads_pay(
            clients=cohort_size(len(self.sites), self.study.federation.fraction),
            at_once=at_once,
            step_tokens=step_tokens(self.sites, self.study.training.batch_size),
            flops=flops_per_operation(self.bench, self._two_long_rows, self.execution),
        )
        return workers if pays else 1

    @cached_property
    def _filling(self) -> int:
        return clients_that_fill(self.sites, self.study.training.batch_size, self.execution)

    @cached_property
    def _row_bytes(self) -> int:
        return step_bytes(self.bench, self._two_long_rows, self.execution) // MEASURED_ROWS

    @cached_property
    def _two_long_rows(self) -> list[AnyExample]:
        longest = max((rows.train.examples for rows in self.sites.values()), key=lambda e: max(x.length for x in e))
        return [max(longest, key=lambda example: example.length)] * MEASURED_ROWS


def open_engine(bench: Workbench, execution: Execution, decision: Decision) -> Engine | None:
    """Return the engine; None where clients are trained one after the other."""
    if decision.shape.clients == 1:
        return None
    return Engine(bench, execution, decision.shape, packs=decision.packs)
