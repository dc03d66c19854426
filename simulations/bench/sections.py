"""The sections of `make bench`, and what happens to their figures.

Each measurement has a process of its own, so that peaks of memory do not mix. Figures go to the terminal, the last line
as JSON, and to out/bench, where sections of earlier runs stay until they are measured again.
"""

import json
import multiprocessing
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from common.quiet import silence
from simulations.bench.aggregation import aggregation_figures, mean_peak_mb, measure_mean
from simulations.bench.clients import clients_figures
from simulations.bench.compiling import measure_compiling
from simulations.bench.deployment import deployment_figures
from simulations.bench.eight_bits import eight_bits_figures
from simulations.bench.engine_cases import measure_engine
from simulations.bench.first_paint import measure_first_paint
from simulations.bench.flexlora import flexlora_figures
from simulations.bench.messages import measure_messages
from simulations.bench.private_steps import measure_private
from simulations.bench.ray_messages import measure_ray, ray_figures
from simulations.bench.record import Measured, known, record, shown
from simulations.bench.rounds import bare_peak_mb, federated_peak_mb, measure_rounds
from simulations.bench.server_memory import server_memory_figures
from simulations.bench.serving import serving_figures
from simulations.bench.simulator import simulator_figures
from simulations.bench.start import start_figures

T = TypeVar("T")
STUDY = "heart-lora"
ROUNDS = 7
OUT = Path("out/bench")


def main(names: Sequence[str]) -> int:
    """Measure, print a table, and one line of JSON."""
    unknown = [name for name in names if name not in SECTIONS]
    if unknown:
        sys.stderr.write(f"there is no section {unknown[0]!r}; there are: {', '.join(SECTIONS)}\n")
        return 2
    silence(os.environ)
    command = shlex.join(["python", "-m", "simulations.bench", *names])
    figures = {"machine_load_before": os.getloadavg()[0]}
    _print(figures)
    for name in names or list(SECTIONS):
        found = _measured(name, command)
        figures |= found.figures
        record(OUT, name, found)
    _print({"machine_load_after": os.getloadavg()[0]})
    figures["machine_load_after"] = os.getloadavg()[0]
    sys.stdout.write(json.dumps(known(figures)) + "\n")
    return 0


def _measured(name: str, command: str) -> Measured:
    """Measure a section, and the machine's load before and after: others' work makes all slower."""
    figures: dict[str, float] = {}
    before, begin = os.getloadavg()[0], datetime.now(UTC)
    for found in SECTIONS[name]():
        figures |= found
        _print(found)
    return Measured(figures, before, os.getloadavg()[0], begin.isoformat(timespec="seconds"), command)


def _print(figures: Mapping[str, float]) -> None:
    for name, value in figures.items():
        sys.stdout.write(f"{name:52} {shown(value):>10}\n")
    sys.stdout.flush()


def _rounds() -> Iterator[Mapping[str, float]]:
    times = _apart(measure_rounds, STUDY, ROUNDS)
    yield {
        "round_over_bare_loop_best": times.best_ratio,
        "round_over_bare_loop_median_of_pairs": times.median_ratio,
        "round_seconds_best": min(times.federated),
        "bare_loop_seconds_best": min(times.bare),
    }


def _memory() -> Iterator[Mapping[str, float]]:
    federated, bare = _apart(federated_peak_mb, STUDY, 2), _apart(bare_peak_mb, STUDY, 2)
    yield {"peak_memory_over_bare_loop": federated / bare, "federated_peak_mb": federated, "bare_peak_mb": bare}


def _messages() -> Iterator[Mapping[str, float]]:
    few, many = _apart(measure_messages, 10, 100), _apart(measure_messages, 1000, 4)
    yield {
        "message_payload_bytes": few.payload_bytes,
        "message_ms_per_site_round_10_sites": few.ms_per_site_round,
        "message_ms_per_site_round_1000_sites": many.ms_per_site_round,
        "message_cpu_ms_per_site_round_10_sites": few.cpu_ms_per_site_round,
        "message_peak_mb_10_sites": few.peak_mb,
        "message_peak_mb_1000_sites": many.peak_mb,
    }


def _ray() -> Iterator[Mapping[str, float]]:
    yield ray_figures(_apart(measure_ray, 1000, 4, 1))


def _clients() -> Iterator[Mapping[str, float]]:
    return clients_figures(_apart)


def _aggregation() -> Iterator[Mapping[str, float]]:
    yield aggregation_figures(_apart(measure_mean), _apart(mean_peak_mb, 10), _apart(mean_peak_mb, 100))


def _deployment() -> Iterator[Mapping[str, float]]:
    return deployment_figures(_apart)


def _server_memory() -> Iterator[Mapping[str, float]]:
    return server_memory_figures(_apart)


def _private() -> Iterator[Mapping[str, float]]:
    yield _apart(measure_private).figures()


def _flexlora() -> Iterator[Mapping[str, float]]:
    return flexlora_figures(_apart)


def _serve() -> Iterator[Mapping[str, float]]:
    return serving_figures(_apart)


def _int8() -> Iterator[Mapping[str, float]]:
    return eight_bits_figures(_apart)


def _dashboard() -> Iterator[Mapping[str, float]]:
    yield _apart(measure_first_paint)


def _engine() -> Iterator[Mapping[str, float]]:
    yield _apart(measure_engine)
    yield _apart(measure_compiling)


SECTIONS: Mapping[str, Callable[[], Iterator[Mapping[str, float]]]] = {
    "start": start_figures,
    "rounds": _rounds,
    "simulator": simulator_figures,
    "engine": _engine,
    "memory": _memory,
    "messages": _messages,
    "ray": _ray,
    "clients": _clients,
    "aggregation": _aggregation,
    "server_memory": _server_memory,
    "flexlora": _flexlora,
    "private": _private,
    "serve": _serve,
    "int8": _int8,
    "dashboard": _dashboard,
    "deployment": _deployment,
}


def _apart(measure: Callable[..., T], *arguments: object) -> T:
    """`measure` is a function of another module: a new process knows nothing of this one's own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, *arguments).result()
