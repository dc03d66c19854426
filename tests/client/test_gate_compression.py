"""Under a compression the gate looks at the update that a payload stands for, and counts the bytes of the payload."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.budget import Budget
from client.gate import Gate, size_of
from client.journal import Journal
from client.policy import Policy
from common.answers import payload_digest
from common.compression import Compression
from common.compression.int8 import Int8
from common.compression.none import UNCOMPRESSED
from common.compression.top_k import TopK
from common.errors import RefusedError
from common.protocol import Reply, Request, RoundPlan
from common.state import AdapterSchema

UPDATE = {"a": np.float32([[3, 0, 0], [0, 0, 0]]), "b": np.float32([0, 4, 0, 0])}
"""Of 40 bytes and norm 5."""
SCHEMA = AdapterSchema.of(UPDATE)
REQUEST = Request("train", "run-1", 3, 0, "sha256:study", SCHEMA.digest, RoundPlan(), (), UPDATE)
OPEN = Policy(minimum_patients=0, minimum_class_patients=0)
METHODS: list[tuple[Compression, int]] = [(Int8(), 10 + 4 * 3), (Int8("tensor"), 10 + 4 * 2), (TopK(density=0.2), 16)]
ALL = pytest.mark.parametrize(("compression", "size"), METHODS)


def door(place: Path, compression: Compression, **rules: Any) -> Gate:
    journal = Journal(place / "journal.jsonl", durable=False)
    policy = OPEN.model_copy(update=rules)
    budget = Budget(place / "spent.json", durable=False)
    return Gate("east", policy, SCHEMA, journal, budget, compression)


def payload(compression: Compression) -> Reply:
    return Reply(compression.compress(UPDATE, {}, np.random.default_rng(0))[0], 7, {}, {})


@ALL
def test_what_leaves_is_the_payload_and_bytes_are_its_own(compression: Compression, size: int, tmp_path: Path) -> None:
    reply, gate = payload(compression), door(tmp_path, compression, max_update_bytes=size)
    released = gate.release(reply, REQUEST)
    assert released == reply
    line = (tmp_path / "journal.jsonl").read_text()
    assert f'"size_bytes":{size}' in line.replace(" ", "")
    assert payload_digest(reply) in line
    assert gate.budget is not None
    assert gate.budget.spent() == size_of(reply) < 40 + size_of(replace(reply, update={}))
    with pytest.raises(RefusedError, match="REFUSED_BY_POLICY"):
        door(tmp_path, compression, max_update_bytes=size - 1).release(reply, REQUEST)


@ALL
def test_room_is_asked_for_the_payload(compression: Compression, size: int, tmp_path: Path) -> None:
    door(tmp_path, compression, max_study_bytes=size).check_room(REQUEST)
    with pytest.raises(RefusedError, match="STUDY_BUDGET_SPENT"):
        door(tmp_path, compression, max_study_bytes=size - 1).check_room(REQUEST)


@ALL
def test_names_and_norm_are_those_of_the_update(compression: Compression, size: int, tmp_path: Path) -> None:
    reply = payload(compression)
    gate = door(tmp_path, compression, tensors=("a", "b"), max_update_norm=5.1)
    gate.check_again(gate.release(reply, REQUEST), REQUEST)
    for rules in ({"tensors": ("a",)}, {"max_update_norm": 4.9}, {"tensors": tuple(reply.update)}):
        strict = door(tmp_path, compression, **rules)
        with pytest.raises(RefusedError, match="REFUSED_BY_POLICY"):
            strict.release(reply, REQUEST)
        with pytest.raises(RefusedError, match="REFUSED_BY_POLICY"):
            strict.check_again(reply, REQUEST)


@ALL
def test_a_gate_of_another_compression_lets_nothing_out(compression: Compression, size: int, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="REFUSED_BY_POLICY"):
        door(tmp_path, UNCOMPRESSED).release(payload(compression), REQUEST)
    with pytest.raises(RefusedError, match="REFUSED_BY_POLICY"):
        door(tmp_path, compression).release(replace(payload(compression), update=UPDATE), REQUEST)


def test_a_value_that_is_not_finite_is_a_divergence(tmp_path: Path) -> None:
    made = payload(TopK(density=0.2))
    broken = replace(made, update={**made.update, "top-k.values": np.float32([np.nan, 1])})
    with pytest.raises(RefusedError, match="TRAINING_DIVERGED"):
        door(tmp_path, TopK(density=0.2)).release(broken, REQUEST)
