"""Seconds and memory of FlexLoRA on the server for a model of 7 billion parameters, beside the least it could take.

32 layers, q and v of 4096 x 4096, 10 sites of rank 16. The least: whoever makes the stacked factors, (m, R) and (n, R)
with R = 160, orthogonal looks at the products of their columns, (m + n) R^2 multiplications and additions per layer in
one call of the BLAS for each stack (numpy does half of them, by symmetry). A QR with its Q does four times as many, in
smaller pieces.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Any

import numpy as np

from common.state import AdapterState
from server.aggregation import ClientUpdate
from server.aggregation.flexlora import build
from simulations.bench.memory import peak_mb, reset_peak, resident_mb

LAYERS, WIDTH, SITES, RANK = 32, 4096, 10, 16


@dataclass(frozen=True)
class Aggregation:
    """What combine and step took.

    cpu_seconds: of all threads; less than `seconds` where others work beside. least_cpu_seconds: of the products of
    columns. added_mb: peak above the updates. update_mb: one of them.
    """

    seconds: float
    cpu_seconds: float
    least_cpu_seconds: float
    added_mb: float
    update_mb: float


def flexlora_figures(apart: Callable[..., Any]) -> Iterator[Mapping[str, float]]:
    """Measure in a process of its own."""
    found: Aggregation = apart(measure)
    yield {
        "flexlora_7b_seconds": found.seconds,
        "flexlora_7b_cpu_seconds": found.cpu_seconds,
        "flexlora_7b_cpu_over_products_of_columns": found.cpu_seconds / found.least_cpu_seconds,
        "flexlora_7b_peak_over_one_update": found.added_mb / found.update_mb,
    }


def measure(layers: int = LAYERS, width: int = WIDTH, sites: int = SITES, rank: int = RANK) -> Aggregation:
    """Aggregate one round."""
    rng, strategy = np.random.default_rng(0), build()
    state = _factors(rng, layers, width, rank)
    updates = [ClientUpdate(f"s{i}", _factors(rng, layers, width, rank), i + 1, i + 1.0) for i in range(sites)]
    before = resident_mb()
    reset_peak()
    start = perf_counter(), process_time()
    strategy.step(state, strategy.combine(updates, state), {})
    seconds, cpu, peak = perf_counter() - start[0], process_time() - start[1], peak_mb()
    least = _cpu_seconds_of_products(rng, 2 * layers, width, sites * rank)
    return Aggregation(seconds, cpu, least, peak - before, sum(array.nbytes for array in state.values()) / 2**20)


def _factors(rng: np.random.Generator, layers: int, width: int, rank: int) -> AdapterState:
    names = [f"{i}.{module}" for i in range(layers) for module in "qv"]
    shapes = {".lora_A.weight": (rank, width), ".lora_B.weight": (width, rank)}
    return {name + end: rng.standard_normal(shape, dtype=np.float32) for name in names for end, shape in shapes.items()}


def _cpu_seconds_of_products(rng: np.random.Generator, layers: int, width: int, columns: int) -> float:
    stack = rng.normal(size=(width, columns))
    start = process_time()
    for _ in range(2 * layers):
        stack.T @ stack
    return process_time() - start
