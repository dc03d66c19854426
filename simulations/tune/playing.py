"""Playing one trial, in whatever process: ask, play the rounds, and tell what became of it."""

import math
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal  # Optuna's trial is untyped here

from common.errors import NotFiniteError, ParticipationError, StudyError
from common.locking import exclusive
from common.study import Study, replaced
from simulations import stages
from simulations.compare.measuring import register
from simulations.folder import RunFolder
from simulations.tune.changing import changed
from simulations.tune.facts import PART, read_facts
from simulations.tune.optimiser import ask, open_search
from simulations.tune.watching import TrialPruned, Watcher, why_without

State = Literal["complete", "pruned", "diverged", "failed"]
"""pruned: ended early, as worse than the median. diverged: its sites' training did. failed: see its reason."""


@dataclass(frozen=True)
class Ended:
    """What became of a trial: its value is that of the round that the study keeps."""

    state: State
    value: float | None = None
    reason: str | None = None


def play_trial(out: str, place: int, *, shared: bool) -> int:
    """Play the trial at a place in the sequence, from 1, leave its result in the search's database, and return `place`.

    shared: whether other processes play trials of this search now. Where this is killed, the trial stays open, and is
    played again under the same place.
    """
    folder, facts = Path(out), read_facts(Path(out))
    register(facts.plugins)
    search = open_search(folder, facts)
    with exclusive(folder / "asking.lock"):
        trial, values = ask(search, facts, place, shared=shared)
    begin = time.perf_counter()
    watcher = Watcher(facts.objective, lambda number, value: trial.report(value, number), trial.should_prune)
    try:
        study = changed(facts.base, values, where=f"trial {place}")
        trial.set_user_attr("digest", study.digest)
        trial.set_user_attr("seed", study.seed)
        ended = _played(study, folder, watcher, threads=facts.threads)
    except StudyError as error:
        ended = Ended("failed", reason=str(error))
    _tell(search, trial, ended, looks=watcher.looks, seconds=time.perf_counter() - begin)
    return place


def _played(study: Study, out: Path, watcher: Watcher, *, threads: int) -> Ended:
    # Intervals would take time, and choose nothing.
    plain = replaced(study, {"evaluation.resamples": 0})
    with _scratch(out) as place:
        sites = stages.start(plain, RunFolder(place), threads=threads, device="cpu")
        try:
            outcome = stages.play(sites, runtime="inprocess", progress=watcher)
        except TrialPruned:
            return Ended("pruned", reason=f"worse than the median after round {max(watcher.values)}")
        except (ParticipationError, NotFiniteError) as error:
            diverged = isinstance(error, NotFiniteError) or "TRAINING_DIVERGED" in str(error)
            return Ended("diverged" if diverged else "failed", reason=str(error))
    value = watcher.finish(outcome)
    if value is None:
        return Ended("failed", reason=why_without(outcome, watcher.objective))
    return (
        Ended("complete", value) if math.isfinite(value) else Ended("diverged", reason=f"{watcher.objective} {value}")
    )


@contextmanager
def _scratch(out: Path) -> Iterator[Path]:
    """A folder for one run; nothing of it is kept: its numbers are in the database, and its study plays it again."""
    part = Path(tempfile.mkdtemp(prefix=PART, dir=out))
    try:
        yield part / "run"
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _tell(search: Any, trial: Any, ended: Ended, *, looks: int, seconds: float) -> None:
    """Optuna learns from what was pruned, and from what diverged as worse than all; from what failed nothing."""
    from optuna.trial import TrialState

    states = {"complete": TrialState.COMPLETE, "failed": TrialState.FAIL}
    known = {"outcome": ended.state, "reason": ended.reason, "looks": looks, "seconds": seconds}
    for name, value in known.items():
        trial.set_user_attr(name, value)
    search.tell(trial, ended.value if ended.state == "complete" else None, states.get(ended.state, TrialState.PRUNED))
