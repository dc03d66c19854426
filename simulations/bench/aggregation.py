"""The weighted mean of many adapters beside a plain in-place float32 `numpy.add` of the same arrays, in one process.

The adapter is LoRA of rank 8 on the query and value of RoBERTa-large: 24 layers, 48 pairs, 786,432 values. The least
that a mean must do is to read every update once; how far it is from that is a figure too, the time of `max` over the
same arrays. Times are of this process's own work: what others do on the machine makes both wait.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from common.state import AdapterState
from server.aggregation import ClientUpdate
from server.mean import weighted_mean
from simulations.bench.memory import peak_mb, reset_peak, resident_mb

SITES = 100
REPEATS = 7
LAYERS, WIDTH, RANK = 24, 1024, 8
Work = Callable[[], object]


@dataclass(frozen=True)
class MeanCost:
    """The best of some repetitions, seconds; values: how many numbers all updates have."""

    values: int
    mean_s: float
    plain_s: float
    read_s: float

    @property
    def share_of_plain(self) -> float:
        """Values per second of the mean, as a share of those of the plain sum."""
        return self.plain_s / self.mean_s


def roberta_large(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the tensors of one adapter, float32, each an array of its own."""
    shapes = {"lora_A": (RANK, WIDTH), "lora_B": (WIDTH, RANK)}
    return {
        f"encoder.layer.{layer}.attention.self.{part}.{factor}.weight": rng.normal(size=shape).astype(np.float32)
        for layer in range(LAYERS)
        for part in ("query", "value")
        for factor, shape in shapes.items()
    }


def clients(count: int) -> Iterator[ClientUpdate]:
    """Yield so many updates of unequal weights, made one at a time."""
    rng = np.random.default_rng(0)
    for number in range(count):
        examples = 50 + number
        yield ClientUpdate(f"site-{number:05d}", roberta_large(rng), examples, float(examples))


def measure_mean(sites: int = SITES, repeats: int = REPEATS) -> MeanCost:
    """Time the mean, the plain sum and one reading of the same arrays in turn; the best of each."""
    updates = list(clients(sites))
    states = [each.update for each in updates]
    sums = {name: np.zeros_like(array) for name, array in states[0].items()}
    works: Sequence[Work] = (lambda: weighted_mean(updates), lambda: _plain(states, sums), lambda: _read(states))
    times = [[_seconds(work) for work in works] for _ in range(repeats)]
    mean_s, plain_s, read_s = (min(column) for column in zip(*times, strict=True))
    return MeanCost(sites * sum(array.size for array in sums.values()), mean_s, plain_s, read_s)


def mean_peak_mb(sites: int) -> float:
    """Return the most memory above the start while the mean is taken of updates that come one at a time, in MB."""
    weighted_mean(clients(2))  # what numpy sets up at first
    begin = resident_mb()
    reset_peak()
    weighted_mean(clients(sites))
    return peak_mb() - begin


def aggregation_figures(cost: MeanCost, few_mb: float, many_mb: float) -> dict[str, float]:
    """Return what the table shows."""
    return {
        "mean_values_per_second_over_plain_add": cost.share_of_plain,
        "mean_gigavalues_per_second": cost.values / cost.mean_s / 1e9,
        "plain_add_gigavalues_per_second": cost.values / cost.plain_s / 1e9,
        "mean_seconds_over_reading_once": cost.mean_s / cost.read_s,
        "mean_peak_mb_10_sites": few_mb,
        "mean_peak_mb_100_sites": many_mb,
    }


def _seconds(work: Work) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _plain(states: Sequence[AdapterState], sums: dict[str, np.ndarray]) -> None:
    for state in states:
        for name, array in state.items():
            np.add(sums[name], array, out=sums[name])


def _read(states: Sequence[AdapterState]) -> None:
    for state in states:
        for array in state.values():
            array.max()
