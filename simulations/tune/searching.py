"""The whole search: what is missing of it is played, one trial after the other or several at once."""

import itertools
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError
from common.locking import exclusive
from common.study import Study
from simulations.tune.changing import check_space
from simulations.tune.facts import PART, Facts, objective_of, open_folder
from simulations.tune.optimiser import importances, open_search
from simulations.tune.playing import play_trial
from simulations.tune.space import Parameter
from simulations.tune.trials import Trial, best_of, give_up_open, places_to_play, read_trials, write_trials

Told = Callable[[Trial, Trial | None, int], None]
"""Called with each trial that has ended just now, the best one so far, and how many there are to be in all."""


@dataclass(frozen=True)
class Effort:
    """trials: how many there are to be in all. processes: at a time. timeout_s: after it no further trial begins."""

    trials: int
    processes: int = 1
    timeout_s: float | None = None


@dataclass(frozen=True)
class Search:
    """A search as it stands."""

    facts: Facts
    trials: Sequence[Trial]
    importances: Mapping[str, float]

    @property
    def best(self) -> Trial | None:
        """The best complete trial."""
        return best_of(self.trials, self.facts)

    @property
    def looks(self) -> int:
        """How many adapters were scored on the validation rows."""
        return sum(each.looks for each in self.trials)


def facts_of(
    study: Study,
    space: Sequence[Parameter],
    *,
    seed: int,
    objective: str | None,
    prune: bool,
    threads: int,
    plugins: Sequence[str] = (),
) -> Facts:
    """Return what fixes a search. Raises StudyError: the study does not take the space, or has no such metric."""
    checked = check_space(study, space)
    tables = {each.key: each.to_json() for each in checked}
    content = study.model_dump(mode="json")
    return Facts(content, tables, seed, objective_of(study, objective), prune, threads, tuple(plugins))


def search(facts: Facts, out: Path, effort: Effort, *, resume: bool, told: Told) -> Search:
    """Begin or go on with a search in the folder `out`, keep its files up to date, and return how it stands.

    Raises:
        UserError: the folder, the rows or the base model are not what they should be.
    """
    begin = time.monotonic()
    open_folder(out, facts, resume=resume)
    with exclusive(out / "lock"):
        for left in out.glob(f"{PART}*"):
            shutil.rmtree(left, ignore_errors=True)
        database = open_search(out, facts)
        give_up_open(database)
        missing = places_to_play(read_trials(database, facts), effort.trials)
        in_time = itertools.takewhile(lambda _: not _is_over(begin, effort.timeout_s), missing)
        for place in _played(out, in_time, min(effort.processes, len(missing))):
            trials = read_trials(database, facts)
            write_trials(trials, facts, out)
            told(next(t for t in reversed(trials) if t.place == place), best_of(trials, facts), effort.trials)
        trials = read_trials(database, facts)
        write_trials(trials, facts, out)
        return Search(facts, trials, importances(database, facts))


def _is_over(begin: float, timeout_s: float | None) -> bool:
    return timeout_s is not None and time.monotonic() - begin >= timeout_s


def _played(out: Path, places: Iterator[int], processes: int) -> Iterator[int]:
    if processes <= 1:
        yield from (play_trial(str(out), place, shared=False) for place in places)
        return
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    parallel = Parallel(n_jobs=processes, return_as="generator_unordered", batch_size=1, pre_dispatch=processes)
    try:
        yield from parallel(delayed(play_trial)(str(out), place, shared=True) for place in places)
    except TerminatedWorkerError:
        raise UserError(
            "a process of the search was ended from outside (out of memory?); what is finished is kept: give the same "
            "command with --resume, and fewer --processes if memory is short"
        ) from None
