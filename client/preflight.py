"""What this site says before round 1: whether the study can work here, in the fixed words of `common.preflight`.

Nothing is counted for anyone outside: the words say what a refusal in round 1 would say, only sooner, and for memory
what would otherwise end in a failure. Whether the run is one more than the policy answers, only round 1 shows.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from client.app import SITE_LOG
from client.execution import Execution
from client.memory import free_bytes, needed_bytes
from client.trainer import Trainer
from common.errors import DataError, DeviceError, ModelError, RefusedError, UserError
from common.labels import is_uniform
from common.machine import versions
from common.preflight import CLOSED, Note, Problem, Question, Readiness

_WORDS: Final[Mapping[str, Problem]] = MappingProxyType(
    {"NOT_APPROVED": "NOT_APPROVED", "PAUSED": "PAUSED", "OUTSIDE_HOURS": "OUTSIDE_HOURS"}
)


def refused_word(reason: str) -> Problem:
    """Return the problem that a refusal with this reason stands for."""
    return _WORDS.get(reason, "POLICY")


def readiness(question: Question, open_study: Callable[[], tuple[Path, Trainer]]) -> Readiness:
    """Return what stands in the way of this study, and the memory that it needs.

    open_study: opens the approved study as a message of round 1 would, and returns the base model's folder and the
    trainer; raises RefusedError or UserError, whose text goes to the site's own log.
    """
    try:
        base, trainer = open_study()
    except RefusedError as error:
        return _not_ready(refused_word(error.reason))
    except UserError as error:
        SITE_LOG.warning("the study cannot be opened: %s", error)
        return _not_ready(_problem_of(error))
    if question.adapter_schema != trainer.schema.digest or question.bundle != trainer.bundle.digest:
        return _not_ready("NOT_APPROVED")
    return _of_opened(base, trainer)


def _problem_of(error: UserError) -> Problem:
    kinds: Mapping[type[UserError], Problem] = {
        ModelError: "NO_BASE_MODEL",
        DataError: "DATA_UNREADABLE",
        DeviceError: "DEVICE_MISSING",
    }
    return kinds.get(type(error), "NOT_OPENED")


def _not_ready(problem: Problem) -> Readiness:
    """One word; who asks about a study that is not approved, or that the policy forbids, learns nothing else."""
    return Readiness(problems=(problem,), versions={} if problem in CLOSED else versions())


def _of_opened(base: Path, trainer: Trainer) -> Readiness:
    needed = needed_bytes(base, trainer.bundle.study, trainer.schema, trainer.execution)
    free = _free_before_loading(trainer.execution, trainer)
    problems = _row_problems(trainer)
    if free is not None and free < needed:
        problems.append("TOO_LITTLE_MEMORY")
    return Readiness(
        problems=tuple(problems), notes=_notes(trainer), versions=versions(), free_bytes=free, needed_bytes=needed
    )


def _free_before_loading(execution: Execution, trainer: Trainer) -> int | None:
    """What is free now, and what the base model, which is loaded, has taken already."""
    free = free_bytes(execution)
    held = sum(p.numel() * p.element_size() for p in trainer.bench.model.parameters())
    return None if free is None else free + held


def _row_problems(trainer: Trainer) -> list[Problem]:
    train = trainer.rows.train
    if not len(train):
        return ["NO_TRAINING_ROWS"]
    enough = len(set(train.patients)) >= trainer.gate.policy.minimum_patients
    return [] if enough else ["TOO_FEW_PATIENTS"]


def _notes(trainer: Trainer) -> tuple[Note, ...]:
    """Nothing of labels where patients are protected: whether the last one differs is what noise hides."""
    if trainer.gate.is_private:
        return ()
    return ("ONE_LABEL",) if is_uniform(trainer.bench.task, trainer.rows.train.labels) else ()
