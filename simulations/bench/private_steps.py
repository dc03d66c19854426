"""What hiding each patient costs: seconds per row of private training over those of plain training, and the memory.

Both train the same LoRA on the rows of one hospital, one after the other in pairs, so that the machine's other work is
in both; the noise, its draw from the system's entropy included, is part of it. What a private step must do at least is
what a plain one does: the same passes through the model.
"""

import gc
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any  # an engine's tensors

import numpy as np

from client.execution import Execution
from client.private_check import checked_engine
from client.private_training import Protection, train_privately
from client.recipe import Recipe, recipe_of
from client.row_gradients import RowGradients
from client.site_rows import SplitRows
from client.training import train
from common.privacy._accounting import Spending
from common.tasks import AnyExample
from common.workbench import Workbench
from simulations import stages
from simulations.bench.memory import peak_mb, reset_peak
from simulations.catalogue import load
from simulations.folder import RunFolder

PAIRS = 5
BATCH = 16


@dataclass(frozen=True)
class PrivateCost:
    """Seconds per row, of each pair, and the most memory that either took beyond what was there before."""

    plain: Sequence[float]
    private: Sequence[float]
    plain_mb: float
    private_mb: float

    def figures(self) -> dict[str, float]:
        """Return the ratios, best over best and the median of pairs, and the memory."""
        pairs = zip(self.private, self.plain, strict=True)
        return {
            "private_over_plain_seconds_per_row_best": min(self.private) / min(self.plain),
            "private_over_plain_seconds_per_row_median": statistics.median(a / b for a, b in pairs),
            "private_peak_mb_beyond_model": self.private_mb,
            "plain_peak_mb_beyond_model": self.plain_mb,
        }


@dataclass
class _Counting:
    """An engine that counts the rows that went through it."""

    inner: RowGradients
    rows: list[int] = field(default_factory=list)

    def of(self, examples: Sequence[AnyExample]) -> Any:
        self.rows.append(len(examples))
        return self.inner.of(examples)

    def close(self) -> None:
        self.inner.close()


def measure_private(study_name: str = "heart-lora", pairs: int = PAIRS) -> PrivateCost:
    """Train one epoch of a hospital's rows plainly, then privately, and so on; the first pair is warm-up."""
    with tempfile.TemporaryDirectory() as out:
        sites = stages.start(load(study_name), RunFolder(Path(out) / "run"), threads=1, device="cpu")
        rows = max((parts.train for parts in sites.rows.values()), key=len)
        recipe = recipe_of(sites.bundle.study, round_number=1)
        start = checked_engine(sites.bundle.study, sites.bench, rows.examples, sites.execution)
        plain: list[float] = []
        private: list[float] = []
        peaks = ([0.0], [0.0])
        for pair in range(pairs + 1):
            for times, memory, work in ((plain, peaks[0], _plain), (private, peaks[1], _private)):
                gc.collect()
                reset_peak()
                before = peak_mb()
                found = work(sites.bench, rows, recipe, sites.execution, start)
                if pair:
                    times.append(found)
                    memory.append(peak_mb() - before)
    return PrivateCost(plain, private, max(peaks[0]), max(peaks[1]))


def _plain(bench: Workbench, rows: SplitRows, recipe: Recipe, execution: Execution, _: object) -> float:
    begin = time.perf_counter()
    train(
        bench,
        rows.examples,
        recipe,
        active=list(bench.parameters),
        execution=execution,
        rng=np.random.default_rng(0),
        dropout_seed=0,
    )
    return (time.perf_counter() - begin) / len(rows)


def _private(bench: Workbench, rows: SplitRows, recipe: Recipe, execution: Execution, start: Any) -> float:
    engines: list[_Counting] = []

    def counted(bench: Workbench, execution: Execution) -> _Counting:
        engines.append(_Counting(start(bench, execution)))
        return engines[-1]

    patients = len(set(rows.patients))
    spending = Spending(1.0, min(1.0, BATCH / patients), max(1, round(patients / BATCH)))
    protection = Protection(spending, clip_norm=1.0, rows_per_patient=8, start=counted)
    begin = time.perf_counter()
    train_privately(
        bench,
        rows.examples,
        rows.patients,
        recipe,
        protection,
        active=list(bench.parameters),
        execution=execution,
    )
    return (time.perf_counter() - begin) / sum(engines[0].rows)
