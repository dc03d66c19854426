"""Playing one run of a comparison, in whatever process: from a trial to its result, whole or not there at all."""

import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any  # JSON values

import numpy as np

from client.execution import limited_threads
from client.scoring import score
from common.errors import NotFiniteError, ParticipationError, StudyError
from common.files import write_json
from common.metrics.mean_over_sites import mean_over_sites
from common.metrics.types import Scores
from common.plugins import register_folder, register_part
from common.protocol import Split
from common.rank_slices import as_at_rank
from common.state import AdapterState
from server.closing import Outcome
from server.events import ignore
from simulations import stages
from simulations.compare.trials import FORMAT, RESULT, RUNS, Trial
from simulations.engine.plan import Wanted
from simulations.folder import RunFolder
from simulations.virtual import VirtualSites
from simulations.virtual_time import virtual_runtime

PART = ".part-"
"""Begins the name of a run's folder while it is played."""
STATUSES = ("accepted", "late", "absent", "failed", "refused")


def register(folders: Sequence[str]) -> None:
    """Make the strategies of the user's own folders known in this process, once."""
    for folder in folders:
        names = {f"server.aggregation.{path.stem}" for path in Path(folder).glob("[!_]*.py")}
        if names and all(name in sys.modules for name in names):
            continue
        for module in register_folder("server.aggregation", Path(folder)):
            register_part(module, "declaration", "common.plans")


def measure(trial: Trial, out: str) -> dict[str, Any]:
    """Play the trial on one thread, leave its result in its folder, and return it. Raises UserError."""
    register(trial.plugins)
    runs = Path(out) / RUNS
    runs.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=PART, dir=runs))
    try:
        result = _played(trial, RunFolder(part / "run"))
        write_json(part / "done" / RESULT, result)
        _move(part / "done", trial.folder(Path(out)))
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return result


def _move(done: Path, place: Path) -> None:
    """One of two processes that did the same wins; their results are the same but for seconds."""
    try:
        done.rename(place)
    except OSError:
        if not (place / RESULT).is_file():
            raise


def _played(trial: Trial, folder: RunFolder) -> dict[str, Any]:
    begin = time.perf_counter()
    runtime = "inprocess" if trial.availability is None else virtual_runtime(trial.availability)
    about = {"format": FORMAT, "purpose": trial.purpose, "cell": _cell(trial), "study": _study(trial)}
    try:
        sites = stages.start(trial.study, folder, threads=1, device="cpu", groups=Wanted(workers=1))
        outcome = stages.play(sites, runtime=runtime, progress=ignore)
    except StudyError as error:
        raise StudyError(f"{trial.cell.name}, seed {trial.seed}: {error}") from None
    except (ParticipationError, NotFiniteError) as error:
        return {**about, **_ended(error), "seconds": time.perf_counter() - begin}
    seconds = time.perf_counter() - begin
    found = {**about, "status": "done", "reason": None, **_figures(trial, sites, outcome), "seconds": seconds}
    return {**found, "test": scored(sites, outcome, "test"), "validation": scored(sites, outcome, "validation")}


def _cell(trial: Trial) -> dict[str, str]:
    return {"strategy": trial.cell.strategy, "method": trial.cell.method, "heterogeneity": trial.cell.heterogeneity}


def _study(trial: Trial) -> dict[str, Any]:
    return {**trial.study.model_dump(mode="json"), "digest": trial.study.digest}


def _ended(error: Exception) -> dict[str, Any]:
    """A run without an adapter: it diverged, or too few sites answered."""
    diverged = isinstance(error, NotFiniteError) or "TRAINING_DIVERGED" in str(error)
    return {"status": "diverged" if diverged else "stopped", "reason": str(error)}


def _figures(trial: Trial, sites: VirtualSites, outcome: Outcome) -> dict[str, Any]:
    shares = [share for record in outcome.rounds for share in record["participation"].values()]
    seconds = [record["seconds"]["total"] for record in outcome.rounds]
    return {
        "rounds": [_round(record) for record in outcome.rounds],
        "kept_round": outcome.kept_round,
        "trained_numbers": sites.bundle.schema.trained_size,
        "bytes_up": _mean([share["bytes_up"] for share in shares]),
        "bytes_down": _mean([share["bytes_down"] for share in shares]),
        "participation": {status: sum(share["status"] == status for share in shares) for status in STATUSES},
        "virtual_seconds": None if trial.availability is None else sum(seconds),
    }


def _mean(sizes: Sequence[int]) -> float | None:
    """Over those that sent or got anything at all."""
    known = [size for size in sizes if size]
    return float(np.mean(known)) if known else None


def _round(record: Mapping[str, Any]) -> dict[str, Any]:
    """What is small: no figures of single sites."""
    pooled = (record["validation"] or {}).get("pooled", {})
    diagnostics = {name: value for name, value in record["diagnostics"].items() if not isinstance(value, Mapping)}
    values = {name: metric["value"] for name, metric in pooled.items()}
    return {"round": record["round"], "train": record["train"]["mean"], "validation": values, **diagnostics}


def scored(sites: VirtualSites, outcome: Outcome, split: Split) -> dict[str, Any]:
    """Return every metric of the kept adapter over all rows of a split, `pooled`, and its mean over sites, `mean`.

    The rows are scored here, so that a site that is away when the run closes is no gap. Where sites have private
    tensors or ranks, and so models of their own, pooled metrics that rank mean little: see `rows.has_one_model`.
    """
    parts = {site: rows.part(split) for site, rows in sites.rows.items() if len(rows.part(split))}
    if not parts:
        return {"pooled": {}, "mean": {}}
    outputs = {}
    with limited_threads(sites.execution.threads):
        for site, part in parts.items():
            sites.bench.write(_state_at(sites, outcome, site))
            outputs[site] = score(sites.bench, part.examples, execution=sites.execution)
    labels = np.concatenate([part.labels for part in parts.values()])
    patients = [f"{site}|{patient}" for site, part in parts.items() for patient in part.patients]
    whole = _metrics(sites, np.concatenate(list(outputs.values())), labels, patients)
    each = {site: _metrics(sites, outputs[site], part.labels, part.patients) for site, part in parts.items()}
    means = {name: metric.value for name, metric in mean_over_sites(each).items()}
    return {"pooled": {name: metric.value for name, metric in whole.metrics.items()}, "mean": means}


def _state_at(sites: VirtualSites, outcome: Outcome, site: str) -> AdapterState:
    """Return what a site has in the end: its private tensors too, and pairs cut to a rank of its own."""
    rank = sites.bundle.study.federation.ranks.get(site)
    return as_at_rank(stages.full_state(sites, outcome, site), sites.bundle.schema, rank)


def _metrics(sites: VirtualSites, outputs: Any, labels: Any, patients: Sequence[str]) -> Scores:
    rng = np.random.default_rng(0)  # draws nothing: there are no resamples
    return sites.bench.task.measure.evaluate(outputs, labels, patients, resamples=0, rng=rng)
