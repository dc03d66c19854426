"""Rows per second of `fedpeft serve` beside a bare PyTorch loop over the same batches: MiniLM with LoRA, heart rows.

The service is a process of its own, asked over real HTTP on the loopback, `REQUEST_ROWS` rows a request and
`IN_FLIGHT` requests at a time; it renders, tokenises, batches by length and answers in JSON. The loop has its batches
ready as tensors. Both have one thread for the model, and the same precision and attention.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any  # JSON values

import httpx
import numpy as np

from client.batches import scoring_batches
from client.execution import resolve
from client.rows import read_inputs
from client.table_files import read_raw
from common.adapter_folder import write_adapter
from common.preparation import prepare
from common.study import Study
from common.tasks import Example
from simulations.bench.bare_loop import BareLoop, Load, collate
from simulations.catalogue import base_folder, load, rows_path

PAIRS, ROWS, REQUEST_ROWS, IN_FLIGHT, BATCH = 5, 512, 256, 2, 32
PROGRAM = "from common.command import main; raise SystemExit(main())"


@dataclass(frozen=True)
class Throughput:
    """Seconds of the passes over all rows, in pairs; cpu: those that a process computed, of all its threads."""

    rows: int
    served: Sequence[float]
    bare: Sequence[float]
    served_cpu: Sequence[float]
    bare_cpu: Sequence[float]

    @property
    def ratio(self) -> float:
        """The median over pairs of the service's rows per second over the loop's."""
        return statistics.median(bare / served for bare, served in zip(self.bare, self.served, strict=True))


def serving_figures(apart: Callable[..., Any]) -> Iterator[Mapping[str, float]]:
    """Measure in a process of its own."""
    found: Throughput = apart(measure_serving)
    yield {
        "serve_rows_per_s": found.rows / statistics.median(found.served),
        "serve_bare_loop_rows_per_s": found.rows / statistics.median(found.bare),
        "serve_over_bare_loop_median_of_pairs": found.ratio,
        "serve_cpu_seconds_over_bare_loop": statistics.median(found.served_cpu) / statistics.median(found.bare_cpu),
    }


def measure_serving(study_name: str = "heart-lora", rows: int = ROWS, pairs: int = PAIRS) -> Throughput:
    """Take pairs of passes, one after the other; the first pair is warm-up."""
    study = load(study_name)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        base, table = base_folder(study, folder), rows_path(study, folder)
        write_random_adapter(study, base, folder / "adapter")
        bodies = _bodies(study, table, rows)
        loop, work = _bare(study, base, table, rows)
        served, bare = [], []
        with started(folder / "adapter", base) as service:
            for _ in range(pairs + 1):
                bare.append(_seconds(lambda: loop.round(work), os.getpid()))
                served.append(_seconds(lambda: _ask(service.address, bodies), service.pid))
    return Throughput(rows, *([pass_[kind] for pass_ in of[1:]] for kind in (0, 1) for of in (served, bare)))


def write_random_adapter(study: Study, base: Path, folder: Path) -> None:
    """Write an adapter of random numbers: they take as long as others."""
    bundle, rng = prepare(study, base, folder.with_name("bundle")), np.random.default_rng(0)
    state = {n: rng.normal(0, 0.02, array.shape).astype(np.float32) for n, array in bundle.initial.items()}
    write_adapter(folder, bundle, state, card="")


@dataclass(frozen=True)
class Started:
    """A service that answers."""

    address: str
    pid: int


@contextmanager
def started(adapter: Path, base: Path) -> Iterator[Started]:
    """Start the service, and end it."""
    words = ["serve", "--adapter", str(adapter), "--base-model", str(base), "--max-batch", str(BATCH)]
    with subprocess.Popen([sys.executable, "-c", PROGRAM, *words], stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            yield Started(line.split()[-1], process.pid)
        finally:
            process.terminate()


def _bodies(study: Study, table: Path, rows: int) -> list[bytes]:
    raw = read_raw(table)
    count = len(next(iter(raw.values())))
    all_rows = [{name: raw[name][i % count] for name in study.data.columns} for i in range(rows)]
    return [json.dumps({"rows": all_rows[i : i + REQUEST_ROWS]}).encode() for i in range(0, rows, REQUEST_ROWS)]


def _bare(study: Study, base: Path, table: Path, rows: int) -> tuple[BareLoop, Load]:
    from transformers import AutoTokenizer

    texts = read_inputs(table, study).inputs
    texts = [texts[i % len(texts)] for i in range(rows)]
    ids = AutoTokenizer.from_pretrained(base)(texts, truncation=True, max_length=study.task.max_length)["input_ids"]
    batches = []
    for start in range(0, rows, REQUEST_ROWS):
        part = [Example(tuple(row), 0) for row in ids[start : start + REQUEST_ROWS]]
        for index in scoring_batches([example.length for example in part], batch_size=BATCH):
            batches.append(collate([part[i] for i in index]))
    return BareLoop(str(base), study, resolve(precision=study.training.precision)), Load([], batches)


def _ask(address: str, bodies: Sequence[bytes]) -> None:
    with httpx.Client(base_url=address, timeout=600, trust_env=False) as client, ThreadPoolExecutor(IN_FLIGHT) as pool:
        headers = {"content-type": "application/json"}
        for answer in pool.map(lambda body: client.post("/v1/predict", content=body, headers=headers), bodies):
            answer.raise_for_status()


def _seconds(work: Callable[[], None], pid: int) -> tuple[float, float]:
    """Return the seconds that passed, and those that the process computed."""
    start, cpu = perf_counter(), cpu_seconds(pid)
    work()
    return perf_counter() - start, cpu_seconds(pid) - cpu


def cpu_seconds(pid: int) -> float:
    """Return the seconds that all threads of a process have computed so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
