"""Seconds per round that a real deployment costs beyond local training, and stock Flower's in the same run.

Two sites on the loopback, an adapter of 1 MB in 48 tensors and a head, other tensors from each site.
"""

import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from simulations.bench.adapters import LARGE_RANK, SITES, SMALL_RANK
from simulations.bench.passages import PARTS, median_parts
from simulations.bench.real_federation import Federation, measure_federation
from simulations.bench.stock_flower import Stock, measure_stock

ROUNDS = 6
STOCK_ROUNDS = 3
LARGE_ROUNDS = 2

Apart = Callable[..., Any]
"""Calls a function with its arguments in a process of its own, and returns what it returns."""


def deployment_figures(apart: Apart) -> Iterator[dict[str, float]]:
    """Measure ours, stock Flower with a tensor each and in one tensor, and ours at 20 MB for the memory."""
    ours = apart(measure_federation, SMALL_RANK, ROUNDS)
    yield figures_of(ours)
    for name, packed in (("stock_48_tensors", False), ("stock_one_tensor", True)):
        yield stock_figures(name, apart(measure_stock, SMALL_RANK, STOCK_ROUNDS, packed), ours)
    large = apart(measure_federation, LARGE_RANK, LARGE_ROUNDS)
    yield {
        **memory_of("large", large),
        "large_overhead_s_median": statistics.median(p.overhead for p in large.rounds),
    }


def figures_of(ours: Federation) -> dict[str, float]:
    """Return what our own deployment cost."""
    overheads = [each.overhead for each in ours.rounds]
    parts = median_parts(ours.rounds)
    return {
        **_spread("deployment_overhead_s", overheads),
        "deployment_work_s_median": statistics.median(p.work for p in ours.rounds),
        **{f"deployment_{part}_s": parts[part] for part in PARTS},
        "messages_per_site_round": max(p.messages for p in ours.rounds),
        "base_model_loads_per_trainer": ours.base_model_loads,
        **memory_of("deployment", ours),
    }


def stock_figures(name: str, stock: Stock, ours: Federation) -> dict[str, float]:
    """`without_loads`: less the median of what one message spends on imports and base model."""
    median, load = statistics.median(stock.rounds), statistics.median(stock.loads)
    own = statistics.median(p.overhead for p in ours.rounds)
    return {
        **_spread(f"{name}_overhead_s", stock.rounds),
        f"{name}_load_s_per_message": load,
        f"{name}_over_ours": median / own,
        f"{name}_without_loads_over_ours": (median - load) / own,
        f"{name}_server_app_mb": stock.server_app_mb,
        f"{name}_link_mb": stock.link_mb,
    }


def memory_of(name: str, ours: Federation) -> dict[str, float]:
    """Return memory in MB, and the ServerApp's growth over the rounds in payloads per site in flight."""
    return {
        f"{name}_payload_mb": ours.payload_mb,
        f"{name}_server_app_mb": ours.server_app_mb,
        f"{name}_server_app_growth_over_payloads": ours.server_app_growth_mb / (ours.payload_mb * len(SITES)),
        f"{name}_link_mb": ours.link_mb,
    }


def _spread(name: str, values: Sequence[float]) -> dict[str, float]:
    return {f"{name}_median": statistics.median(values), f"{name}_min": min(values), f"{name}_max": max(values)}
