"""First rounds kept on disk: the same bytes come back, other questions have other files, a torn file is as none."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.execution import Execution
from common.protocol import Request, RoundPlan
from simulations.engine import ahead
from simulations.engine.ahead import Ahead, Asked
from simulations.engine.first_rounds import FirstRounds, read_learned, write_learned
from simulations.virtual import VirtualSites

Open = Callable[..., VirtualSites]


def asked(sites: VirtualSites, *, round_number: int = 1, plan: RoundPlan | None = None) -> list[Asked]:
    bundle = sites.bundle
    shared = {name: bundle.initial[name] for name in bundle.schema.shared.names}
    request = Request(
        "train", "run-x", round_number, 3, bundle.study.digest, bundle.schema.digest, plan or RoundPlan(), (), shared
    )
    return [Asked(sites.trainer(name), request) for name in sorted(sites.rows)]


def learned(sites: VirtualSites, kept: FirstRounds | None, questions: Sequence[Asked]) -> dict[str, Any]:
    assert sites.engine is not None
    engine = replace(sites.engine, first_rounds=kept)
    try:
        plans = Ahead(engine)
        names = plans.expect(questions)
        return {name: plans.learned(name) for name in names}
    finally:
        engine.close()


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    def numbers(found: Any) -> list[float]:
        return [float(x) for s in found.steps for x in (s.number, s.learning_rate, s.loss, s.gradient_norm)]

    return one.keys() == other.keys() and all(
        one[name].outcome.trained == other[name].outcome.trained
        and numbers(one[name]) == numbers(other[name])
        and all(np.array_equal(a, other[name].outcome.state[tensor]) for tensor, a in one[name].outcome.state.items())
        for name in one
    )


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many groups were trained, in `[0]`."""
    trained, plain = [0], ahead._learn

    def counted(*args: Any) -> Any:
        trained[0] += 1
        return plain(*args)

    monkeypatch.setattr(ahead, "_learn", counted)
    return trained


def test_a_first_round_is_trained_once_and_comes_back_as_it_was(
    open_run: Open, tmp_path: Path, count: list[int]
) -> None:
    sites, kept = open_run(), FirstRounds(tmp_path, "rows")
    plain = learned(sites, None, asked(sites))
    groups = count[0]
    first = learned(sites, kept, asked(sites))
    assert count[0] == 2 * groups
    again = learned(sites, kept, asked(sites))
    assert count[0] == 2 * groups
    assert same(plain, first)
    assert same(plain, again)


def test_another_question_is_trained(open_run: Open, tmp_path: Path) -> None:
    sites, kept = open_run(), FirstRounds(tmp_path, "rows")
    execution = sites.execution

    def place(questions: list[Asked], kept: FirstRounds = kept, execution: Execution = execution) -> Path | None:
        states = {each.trainer.name: each.trainer.state_before(each.request) for each in questions}
        return kept.place(questions, states, execution, packs=True)

    usual = asked(sites)
    moved = [replace(each, request=replace(each.request, seed=4)) for each in usual]
    other = replace(usual[0].request, shared={name: array + 1 for name, array in usual[0].request.shared.items()})
    places = [
        place(usual),
        place(usual[:2]),
        place(moved),
        place([replace(each, request=other) for each in usual]),
        place(asked(sites, plan=RoundPlan(proximal_mu=0.1))),
        place(usual, FirstRounds(tmp_path, "other rows")),
        place(usual, execution=replace(execution, threads=2)),
        place(asked(open_run("training.learning_rate=0.5"))),
    ]
    assert None not in places
    assert len(set(places)) == len(places)
    assert place(asked(sites, round_number=2)) is None
    assert place(asked(open_run("aggregation.name='median'"))) == places[0]


def test_a_torn_file_is_as_none(open_run: Open, tmp_path: Path) -> None:
    sites = open_run()
    found = learned(sites, None, asked(sites))
    write_learned(tmp_path / "whole.safetensors", found)
    whole = (tmp_path / "whole.safetensors").read_bytes()
    assert same(found, read_learned(tmp_path / "whole.safetensors") or {})
    for size in range(0, len(whole) - 1, max(1, len(whole) // 40)):
        (tmp_path / "torn.safetensors").write_bytes(whole[:size])
        assert read_learned(tmp_path / "torn.safetensors") is None
    assert read_learned(tmp_path / "not there.safetensors") is None
