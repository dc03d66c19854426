"""What leaves in answer to one study is counted by the gate, before it leaves."""

import json
from pathlib import Path

import numpy as np
import pytest

from client.budget import Budget
from client.gate import Gate, size_of
from client.journal import Journal
from client.policy import Policy
from common.answers import to_json
from common.errors import RefusedError
from common.files import canonical_json
from common.protocol import Reply, Request, RoundPlan
from common.state import AdapterSchema

STATE = {"a": np.zeros((2, 3), np.float32), "b": np.zeros(4, np.float32)}
SCHEMA = AdapterSchema.of(STATE)
REQUEST = Request("train", "run-1", 3, 0, "sha256:study", SCHEMA.digest, RoundPlan(), (), STATE)
REPLY = Reply(STATE, 7, {"loss": 0.5, "steps": 4.0}, {})


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl", durable=False)


def test_what_leaves_is_counted_before_it_leaves_and_what_repeats_is_not(journal: Journal, tmp_path: Path) -> None:
    budget = Budget(tmp_path / "spent.json", durable=False)
    size = size_of(REPLY)
    door = Gate("east", Policy(max_study_bytes=2 * size), SCHEMA, journal, budget)
    door.check_room(REQUEST)
    for _ in range(2):
        door.note_repetition(door.release(REPLY, REQUEST), REQUEST)
    assert budget.spent() == 2 * size
    with pytest.raises(RefusedError, match="STUDY_BUDGET_SPENT"):
        door.release(REPLY, REQUEST)
    with pytest.raises(RefusedError, match="STUDY_BUDGET_SPENT"):
        door.check_room(REQUEST)
    assert budget.spent() == 2 * size
    lines = [json.loads(line) for line in journal.path.read_text().splitlines()]
    assert [(line["decision"], line["reason"]) for line in lines[-2:]] == [
        ("repeated", None),
        ("refused", "STUDY_BUDGET_SPENT"),
    ]


def test_a_reply_s_size_is_of_tensors_and_of_all_else() -> None:
    assert size_of(REPLY) == 40 + len(canonical_json(to_json(REPLY)))
