"""One call runs a federation over virtual hospitals: `run("quick")` in a notebook is `fedpeft simulate quick`.

Nothing of Flower, Ray or Hugging Face is imported before their reporting is turned off, hence the late imports.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from common.collecting import collecting_later
from common.quiet import silence, silence_libraries
from common.study import Study
from server.events import Progress, ignore

if TYPE_CHECKING:
    from simulations.results import Results
    from simulations.stages import Runtime


def no_report(name: str, finished: int, of: int) -> None:  # a Done that shows nothing
    """Do nothing with a finished job."""


def say(line: str) -> None:
    """Write a line for people; progress bars that are drawn meanwhile move below it."""
    sys.stderr.write(f"{line}\n")


def run(
    study: Study | str | Path,
    *,
    out: Path | str,
    runtime: str | Runtime = "inprocess",
    rounds: int | None = None,
    seed: int | None = None,
    seeds: int = 1,
    threads: int = 1,
    device: str = "cpu",
    workers: int | None = None,
    group_size: int | None = None,
    overrides: Sequence[str] = (),
    resume: bool = False,
    comparison: bool | None = None,
    track: Sequence[str] = (),
    contributions: bool = False,
    progress: Progress = ignore,
    done: Callable[[str, int, int], None] = no_report,
) -> Results:
    """Simulate `study` and write everything to the folder `out`.

    Args:
        study: a study, its file, or the name of a bundled one. out: empty or not there, unless `resume`.
        runtime: `inprocess`, `ray`, or a function that plays the rounds. rounds, seed: override the study's.
        overrides: `section.key=value`.
        seeds: so many runs over other splits, in `out/seed-K`, summed up in `out` with the first one's adapter.
        threads: of torch, per process. workers: threads, or processes of Ray, that train side by side; None: as many as
        there is room for. group_size: clients trained in one batch, at most; 1: one after the other; None: as suits.
        comparison: also train the rivals; None leaves it to the study.
        track: `mlflow=URI`, `tensorboard=DIR`, `csv`: where figures go as well; what fails is said on stderr.
        contributions: also run the federation without each site, one more run for each.
        progress, done: called with each event of the rounds, and after each rival.

    Raises:
        UserError: a mistake in what was given. ParticipationError: too few sites answered.
    """
    silence(os.environ)
    silence_libraries()
    with collecting_later():
        from simulations.catalogue import load, simulation_of
        from simulations.command_again import command_words
        from simulations.engine.plan import Wanted
        from simulations.running import Options, Tracked, overridden, run_study
        from simulations.stages import find_runtime

    find_runtime(runtime, workers=workers)  # before anything is written
    tracked = Tracked.named(track, say)
    chosen = study if isinstance(study, Study) else load(str(study), overrides=overrides)
    chosen, groups = overridden(chosen, rounds=rounds, seed=seed), Wanted(workers, group_size, apart=runtime == "ray")
    compared = simulation_of(chosen).comparison if comparison is None else comparison
    command = command_words(
        study, chosen, runtime=runtime, rounds=rounds, seeds=seeds, threads=threads, device=device, groups=groups,
        overrides=overrides, comparison=compared, contributions=contributions,
    )  # fmt: skip
    computing = (runtime, threads, device, resume, compared, progress, done, command, contributions)
    return run_study(chosen, Path(out), Options(*computing, tracked=tracked, groups=groups), seeds=seeds)
