"""What this site says before round 1: whether the study can work here, in the fixed words of `common.preflight`.

Nothing is counted for anyone outside: the words say what a refusal in round 1 would say, only sooner, and for memory
what would otherwise end in a failure.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from client.execution import Execution
from client.memory import free_bytes, needed_bytes
from client.settings import SiteSettings
from client.site import find_base_model
from client.trainer import Trainer
from common.errors import DataError, ModelError, RefusedError, UserError
from common.machine import versions
from common.preflight import Note, Problem, Question, Readiness

_CLOSED: Final[frozenset[Problem]] = frozenset({"NOT_APPROVED", "PAUSED", "POLICY"})
_WORDS: dict[str, Problem] = {"NOT_APPROVED": "NOT_APPROVED", "PAUSED": "PAUSED"}


def refused_word(reason: str) -> Problem:
    """Return the problem that a refusal with this reason stands for."""
    return _WORDS.get(reason, "POLICY")


def readiness(question: Question, open_trainer: Callable[[], tuple[SiteSettings, Trainer]]) -> Readiness:
    """Return what stands in the way of this study, and the memory that it needs.

    open_trainer: opens the approved study as a message of round 1 would; raises RefusedError or UserError.
    """
    try:
        settings, trainer = open_trainer()
    except RefusedError as error:
        return _not_ready(refused_word(error.reason))
    except ModelError:
        return _not_ready("NO_BASE_MODEL")
    except DataError:
        return _not_ready("DATA_UNREADABLE")
    except UserError:
        return _not_ready("DEVICE_MISSING")
    if question.adapter_schema != trainer.schema.digest or question.bundle != trainer.bundle.digest:
        return _not_ready("NOT_APPROVED")
    return _of_opened(settings, trainer)


def _not_ready(problem: Problem) -> Readiness:
    """One word; who asks about a study that is not approved, or that the policy forbids, learns nothing else."""
    return Readiness(problems=(problem,), versions={} if problem in _CLOSED else versions())


def _of_opened(settings: SiteSettings, trainer: Trainer) -> Readiness:
    study = trainer.bundle.study
    needed = needed_bytes(find_base_model(settings, study), study, trainer.schema, trainer.execution)
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
    return ("ONE_LABEL",) if len(np.unique(trainer.rows.train.labels)) == 1 else ()
