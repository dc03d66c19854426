"""Size, speed and the leading metric of one model in several precisions, on the same labelled rows."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np

from client.execution import limited_threads
from client.export._folder import size_text
from client.opening import Opened
from client.rows import read_rows
from client.scoring import score
from common.metrics.measure import Labels
from common.tasks import AnyExample

PASSES = 5


@dataclass(frozen=True)
class Measured:
    """One line of the table. rows_per_s: the median over passes. value: the metric, None where it is not defined."""

    name: str
    size_bytes: int
    rows_per_s: float
    value: float | None


@dataclass(frozen=True)
class Labelled:
    """Rows, read for the model once."""

    examples: Sequence[AnyExample]
    labels: Labels
    patients: Sequence[str]


def labelled_rows(opened: Opened, data: Path) -> Labelled:
    """Return the rows of a file. Raises DataError."""
    rows = read_rows(data, opened.study)
    bench = opened.bench
    examples = bench.task.encode(bench.reader, rows.inputs, rows.labels, max_length=bench.max_length)
    return Labelled(examples, rows.labels, rows.patients)


def measure(
    models: Mapping[str, tuple[Opened, int]], rows: Labelled, *, threads: int, passes: int = PASSES
) -> list[Measured]:
    """Score the rows with each of the models in turn, and so again: what slows the machine slows all.

    models: {name: (model, bytes)}; the name is of a precision.
    """
    seconds: dict[str, list[float]] = {name: [] for name in models}
    scores: dict[str, np.ndarray] = {}
    with limited_threads(threads):
        for _ in range(passes + 1):  # the first is to warm up
            for name, (opened, _size) in models.items():
                start = perf_counter()
                scores[name] = score(opened.bench, rows.examples, execution=replace(opened.execution, threads=threads))
                seconds[name].append(perf_counter() - start)
    return [
        Measured(
            name,
            size,
            len(rows.examples) / statistics.median(seconds[name][1:]),
            leading_metric(opened, scores[name], rows),
        )
        for name, (opened, size) in models.items()
    ]


def leading_metric(opened: Opened, scores: np.ndarray, rows: Labelled) -> float | None:
    """Return the task's leading metric."""
    measure_of = opened.bench.task.measure
    found = measure_of.evaluate(scores, rows.labels, rows.patients, resamples=0, rng=np.random.default_rng(0))
    return found.metrics[measure_of.infos[0].name].value


def table(found: Sequence[Measured], *, metric: str, rows: int) -> list[str]:
    """Return the lines of the table."""
    head = f"{'':8} {'size':>10} {'rows/s':>9} {metric:>10}   ({rows} rows, medians of {PASSES} passes)"
    return [head, *(_line(each) for each in found)]


def _line(each: Measured) -> str:
    value = "-" if each.value is None else f"{each.value:.4f}"
    return f"{each.name:8} {size_text(each.size_bytes):>10} {each.rows_per_s:9.1f} {value:>10}"
