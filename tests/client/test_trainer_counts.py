"""What a trainer counts before it lets anything out, and before it works at all."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from client.budget import Budget
from client.trainer import Trainer
from common.labels import rarest
from common.protocol import Refusal, Request
from common.tasks.sequence_classification import SequenceClassification


def test_the_rarest_class_is_counted_in_patients_not_rows() -> None:
    labels, patients = np.array([0, 0, 0, 1, 1, 0]), ["a", "a", "b", "a", "a", "c"]
    assert rarest(SequenceClassification(("a", "b")), labels, patients) == 1
    assert rarest(SequenceClassification(("a", "b", "c")), labels, patients) == 0
    assert rarest(SequenceClassification(("a", "b")), np.array([], np.int64), []) == 0


def test_without_room_for_the_answer_nothing_is_trained(
    make_trainer: Callable[..., Trainer], ask: Callable[..., Request], tmp_path: Path
) -> None:
    trainer = make_trainer()
    limit = trainer.gate.policy.max_study_bytes
    budget = Budget(tmp_path / "spent.json", durable=False)
    budget.spend(limit, limit=limit)
    spent = replace(trainer, gate=replace(trainer.gate, budget=budget))
    assert spent.answer(ask(trainer.bundle)) == Refusal("STUDY_BUDGET_SPENT")
    assert trainer.bench.task.losses == 0  # type: ignore[attr-defined] # the counting task of conftest
