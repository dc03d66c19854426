"""A further phase as a run of its own, or as the bundle that real sites are given."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from common.bundle import Bundle
from common.errors import StudyError
from common.preparation import prepare
from server.events import Progress
from simulations.catalogue import base_folder
from simulations.command_again import continue_words
from simulations.continuing.phase import end_of, next_study
from simulations.continuing.wish import Wish
from simulations.results import Results
from simulations.running import Options, overridden, run_study


@dataclass(frozen=True)
class Phase:
    """What a user asks for: `named` is the run or version to go on from; rounds and seed override the study's."""

    named: Path
    wish: Wish
    rounds: int | None = None
    seed: int | None = None


def run_phase(
    phase: Phase,
    out: Path,
    *,
    threads: int,
    device: str,
    comparison: bool,
    resume: bool,
    progress: Progress,
    done: Callable[[str, int, int], None],
) -> Results:
    """Play the phase over virtual sites in `out`, and return its results. Raises UserError, ParticipationError."""
    beginning = end_of(phase.named)
    study = overridden(next_study(beginning.earlier, phase.wish), rounds=phase.rounds, seed=phase.seed)
    command = continue_words(
        phase.named, phase.wish, rounds=phase.rounds, seed=phase.seed, threads=threads, device=device,
        comparison=comparison,
    )  # fmt: skip
    options = Options("inprocess", threads, device, resume, comparison, progress, done, command, beginning=beginning)
    return run_study(study, out, options, seeds=1)


def prepare_phase(phase: Phase, out: Path) -> Bundle:
    """Write the bundle of the phase for real sites to `out`: its initial adapter is the one that the last phase kept.

    Each hospital trains on what its own settings name. Raises UserError.
    """
    beginning = end_of(phase.named)
    last = beginning.earlier.studies[-1]
    study = overridden(next_study(beginning.earlier, phase.wish), rounds=phase.rounds, seed=phase.seed)
    if beginning.private:
        raise StudyError(
            "the study keeps tensors at each site, and real sites begin every study with the bundle's; "
            "go on in a simulation, or with a study without peft.private"
        )
    sites = study.federation.sites or last.federation.sites
    study = study.model_copy(update={"federation": study.federation.model_copy(update={"sites": sites})})
    with TemporaryDirectory() as scratch:
        return prepare(study, base_folder(study, Path(scratch)), out, start=beginning.shared)
