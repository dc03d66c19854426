"""Whether and how a run's clients are trained in groups: decided once, and kept in the run's folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from client.execution import Execution, limited_threads
from common.errors import CheckpointError, StudyError
from common.files import write_json
from common.peft_methods import _targets
from common.study import Study
from common.workbench import Workbench
from simulations.engine.engine import Engine
from simulations.engine.obstacles import found_obstacle, known_obstacle
from simulations.engine.plan import ONE_BY_ONE, Shape, Wanted
from simulations.engine.room import clients_that_fill, clients_that_fit, free_bytes, most_clients, step_bytes

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
"""Of the longest text, of which memory is measured; that of a batch is in proportion."""
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
    workers = wanted.workers or _workers(execution)
    shape = Shape(workers, wanted.clients or _suiting(study, bench, execution, sites, workers=workers))
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


def _workers(execution: Execution) -> int:
    """Return as many as have `threads` cores each; a GPU computes for one at a time."""
    return 1 if execution.device != "cpu" else max(1, len(os.sched_getaffinity(0)) // execution.threads)


def _suiting(
    study: Study, bench: Workbench, execution: Execution, sites: Mapping[str, SiteRows], *, workers: int
) -> int:
    batch_size = study.training.batch_size
    longest = max((rows.train.examples for rows in sites.values()), key=lambda e: max(x.length for x in e))
    one = max(longest, key=lambda example: example.length)
    row_bytes = (step_bytes(bench, [one] * MEASURED_ROWS, execution)) // MEASURED_ROWS
    fit = clients_that_fit(free_bytes(execution.device), batch_size * row_bytes, workers=workers)
    adapter_bytes = sum(p.numel() * p.element_size() for p in bench.parameters.values())
    return min(max(2, clients_that_fill(sites, batch_size, execution)), fit, most_clients(adapter_bytes))


def open_engine(bench: Workbench, execution: Execution, decision: Decision) -> Engine | None:
    """Return the engine; None where clients are trained one after the other."""
    if decision.shape.clients == 1:
        return None
    return Engine(bench, execution, decision.shape, packs=decision.packs)
