"""One learning rate for each budget, chosen on validation rows only: federated, local and central get the same chances.

The choice is by the measure's loss, weighted by rows. A classifier's is the log loss: it is proper (Gneiting and
Raftery 2007, https://doi.org/10.1198/016214506000001437), and defined where a site has rows of one class only.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from client.site_rows import SplitRows
from common.errors import ParticipationError, StudyError
from common.metrics.measure import Measure
from common.study import Study, replaced
from server.events import ignore
from simulations import stages
from simulations.comparison import CENTRAL
from simulations.folder import RunFolder
from simulations.jobs import JobResult, run_jobs
from simulations.virtual import VirtualSites

BUDGETS = ("federated", "local", "central")


@dataclass(frozen=True)
class Trial:
    """Validation loss of each budget at one learning rate, over all sites' validation rows."""

    learning_rate: float
    loss: Mapping[str, float]


def try_rates(
    study: Study, rates: Sequence[float], *, scratch: Path, threads: int, done: Callable[[Trial], None]
) -> list[Trial]:
    """Train every budget at every rate, in folders under `scratch`, and return what the validation rows say."""
    trials = []
    for rate in rates:
        # The last state of every budget: a best one, chosen on these very rows, would flatter whoever has more of them.
        changes = {"training.learning_rate": rate, "evaluation.learning_rates": {}, "evaluation.keep": "last"}
        chosen = replaced(study, changes)
        trials.append(Trial(rate, _losses(chosen, RunFolder(scratch / f"rate-{rate:g}"), threads)))
        done(trials[-1])
    return trials


def _losses(study: Study, folder: RunFolder, threads: int) -> dict[str, float]:
    sites = stages.start(study, folder, threads=threads, device="cpu")
    try:
        outcome = stages.play(sites, runtime="inprocess", progress=ignore)
    except ParticipationError:  # it diverged at most sites; smaller rates tell about the rivals too
        return dict.fromkeys(BUDGETS, np.inf)
    measure = sites.bench.task.measure
    record = outcome.rounds[-1]["validation"]["pooled"][measure.tuning]["value"]
    if record is None:
        raise StudyError(f"the validation rows give no {measure.tuning}; raise evaluation.validation_fraction")
    names = sorted(sites.rows)
    jobs = [replace(job, split="validation") for job in stages.rival_jobs(sites, outcome)]
    results = {r.name: r for r in run_jobs(sites, jobs, workers=stages.workers(sites.execution, outcome))}
    local = {site: results[f"local/{site}"] for site in names}
    central = dict.fromkeys(names, results[CENTRAL])
    return {"federated": record, "local": _pooled(sites, local), "central": _pooled(sites, central)}


def _pooled(sites: VirtualSites, results: Mapping[str, JobResult]) -> float:
    """Return the loss over all sites' validation rows, each site scored by its entry's model."""
    parts = {site: sites.rows[site].validation for site in results if len(sites.rows[site].validation)}
    measure = sites.bench.task.measure
    losses = [_loss(results[site].outputs[site], part, measure) for site, part in parts.items()]
    return float(np.average(losses, weights=[len(part) for part in parts.values()]))


def _loss(outputs: np.ndarray, part: SplitRows, measure: Measure) -> float:
    rng = np.random.default_rng(0)  # draws nothing: there are no resamples
    found = measure.evaluate(outputs, part.labels, part.patients, resamples=0, rng=rng)
    value = found.metrics[measure.tuning].value
    return np.inf if value is None else value


def best_rates(trials: Sequence[Trial]) -> dict[str, float]:
    """Return each budget's rate with the lowest loss."""
    return {name: min(trials, key=lambda trial: trial.loss[name]).learning_rate for name in BUDGETS}


def as_toml(best: Mapping[str, float]) -> str:
    """Return the lines for a study file.

    >>> print(as_toml({"federated": 0.01, "local": 0.003, "central": 0.003}))
    [training]
    learning_rate = 0.01
    <BLANKLINE>
    [evaluation.learning_rates]
    local = 0.003
    central = 0.003
    personalised = 0.003
    """
    return (
        f"[training]\nlearning_rate = {best['federated']:g}\n\n[evaluation.learning_rates]\n"
        f"local = {best['local']:g}\ncentral = {best['central']:g}\npersonalised = {best['local']:g}"
    )
