"""What a site and round cost beside training: real messages over the in-process grid to sites that answer at once."""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.compression import Compression
from common.compression.none import UNCOMPRESSED
from common.metrics.classes import ClassMeasure
from common.metrics.evaluation import evaluate
from common.metrics.histogram import score_histogram
from common.protocol import Reply, Request, SplitEvaluation
from common.state import AdapterSchema, AdapterState
from server.aggregation.fedavg import build
from server.app import make_app
from server.closing import Outcome
from server.job import ServerJob
from server.state import fresh_state
from simulations.bench.memory import peak_mb


@dataclass(frozen=True)
class Echo:
    """A site that answers with a fixed update and fixed metrics: it trains and scores nothing."""

    name: str
    schema: AdapterSchema
    update: AdapterState
    evaluation: SplitEvaluation
    compression: Compression = UNCOMPRESSED

    def answer(self, request: Request) -> Reply:
        """Answer at once."""
        update = self.update if request.kind == "train" else {}
        return Reply(update, 50, {"loss": 1.0}, dict.fromkeys(request.splits, self.evaluation))


@dataclass(frozen=True)
class MessageCost:
    """Milliseconds per site and round; the peak of this process's memory in MB, and the payload in bytes.

    cpu_ms_per_site_round: without what others' work on the machine makes it wait.
    """

    sites: int
    ms_per_site_round: float
    cpu_ms_per_site_round: float
    peak_mb: float
    payload_bytes: int


def adapter(tensors: int = 26, *, size_bytes: int = 300_000) -> AdapterState:
    """Return an adapter of so many tensors of equal size, float32."""
    rng = np.random.default_rng(0)
    each = size_bytes // 4 // tensors
    return {f"layer.{i:02d}.weight": rng.normal(size=each).astype(np.float32) for i in range(tensors)}


def evaluation_of(rows: int = 50) -> SplitEvaluation:
    """Return what a site with so many validation rows sends: eight metrics with intervals, and a histogram."""
    rng = np.random.default_rng(0)
    positive = rng.uniform(size=rows)
    probabilities, labels = np.column_stack([1 - positive, positive]), rng.integers(2, size=rows)
    patients = [str(row) for row in range(rows)]
    scores = evaluate(probabilities, labels, patients, resamples=200, rng=rng)
    return SplitEvaluation(scores, score_histogram(probabilities, labels, classes=2))


def echo_job(out: Path, schema: AdapterSchema, names: tuple[str, ...], rounds: int) -> ServerJob:
    """Return the job of a run over echoing sites, kept in `out`."""
    return ServerJob(
        study="bench", schema=schema, measure=ClassMeasure(2), strategy=build(), sites=names, rounds=rounds, seed=0,
        folder=out, connect_s=None, weighting="uniform",
    )  # fmt: skip


def measure_messages(sites: int, rounds: int) -> MessageCost:
    """Run `rounds` rounds over so many echoing sites; spool, admission, folding and checkpoint included."""
    from client.app import make_app as make_client
    from simulations.inprocess import run_inprocess

    state = adapter()
    schema = AdapterSchema.of(state)
    names = tuple(f"site-{i:05d}" for i in range(sites))
    outcomes: list[Outcome] = []
    measured = evaluation_of()
    with tempfile.TemporaryDirectory() as out:
        job = echo_job(Path(out), schema, names, rounds)
        server = make_app(job, fresh_state(state, study="bench", seed=0), deliver=outcomes.append)
        client = make_client(
            lambda context: Echo(names[int(context.node_config["partition-id"])], schema, state, measured)
        )
        start, cpu = time.perf_counter(), time.process_time()
        run_inprocess(server, client, names)
        seconds, worked = time.perf_counter() - start, time.process_time() - cpu
    asked = sites * (rounds + 1)
    return MessageCost(sites, 1000 * seconds / asked, 1000 * worked / asked, peak_mb(), schema.size_bytes)
