"""All runs of a comparison: what is done is read, the rest is played, in several processes where there are cores."""

import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any  # a result is JSON

from common.errors import StudyError, UserError
from simulations.compare.measuring import FIRST_ROUNDS, PART, measure
from simulations.compare.trials import RUNS, Trial, read_result

Result = dict[str, Any]
Told = Callable[[Trial, Result, int, int], None]
"""Called with each run that was played just now: it, its result, how many are done, of how many."""
OURS = {RUNS, FIRST_ROUNDS, "lock", "compare.csv", "compare.html", "compare.json"}


@dataclass(frozen=True)
class Playing:
    """Where runs lie, in how many processes they are played, and who hears of each."""

    out: Path
    workers: int
    told: Told

    def results(self, trials: Sequence[Trial]) -> list[Result]:
        """Return the result of each trial, in order; two that are the same are played once."""
        distinct = {trial.digest: trial for trial in trials}
        known = {digest: found for digest, trial in distinct.items() if (found := read_result(trial, self.out))}
        missing = [trial for digest, trial in distinct.items() if digest not in known]
        for trial, result in self._played(missing):
            known[trial.digest] = result
            self.told(trial, result, len(known), len(distinct))
        shutil.rmtree(self.out / FIRST_ROUNDS, ignore_errors=True)  # as large as an adapter for each site
        return [known[trial.digest] for trial in trials]

    def _played(self, trials: Sequence[Trial]) -> Iterator[tuple[Trial, Result]]:
        from joblib import Parallel, delayed
        from joblib.externals.loky.process_executor import TerminatedWorkerError

        workers = min(self.workers, max(len(trials), 1))
        parallel = Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1, pre_dispatch=workers)
        with warnings.catch_warnings():
            # loky replaces a worker whose memory grew: no run is lost, and a user could do nothing about it.
            warnings.filterwarnings("ignore", message="A worker stopped while some jobs", category=UserWarning)
            try:
                yield from parallel(delayed(_measured)(each, str(self.out)) for each in trials)
            except TerminatedWorkerError:
                raise UserError(
                    "a process of the comparison was ended from outside (out of memory?); what is finished is kept: "
                    "give the same command again, with fewer --workers if memory is short"
                ) from None


def _measured(trial: Trial, out: str) -> tuple[Trial, Result]:
    return trial, measure(trial, out)


def open_folder(out: Path) -> None:
    """Make the folder, or take one that a comparison has begun, without what killed runs have left."""
    if out.exists() and not out.is_dir():
        raise StudyError(f"--out {out} is a file; name a folder")
    others = {path.name for path in out.iterdir()} - OURS if out.exists() else set()
    if others and not (out / RUNS).is_dir():
        raise StudyError(f"--out {out} is not empty and holds no comparison; choose another folder")
    (out / RUNS).mkdir(parents=True, exist_ok=True)
    for left in (out / RUNS).glob(f"{PART}*"):
        shutil.rmtree(left, ignore_errors=True)
