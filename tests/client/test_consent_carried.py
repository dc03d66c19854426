"""A change beside the adapter, and a rank: what the study declares is taken, and nothing else a server makes up."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from client.trainer import Trainer
from common.protocol import Refusal, Reply, Request, RoundPlan
from common.rank_slices import sliced
from common.state import Array

Make = Callable[..., Trainer]
Ask = Callable[..., Request]
CARRIES = "aggregation.name='sample-carries'"
RANKS = ("aggregation.name='sample-plain'", "federation.ranks={east=2}")


def beside(trainer: Trainer, rank: int = 3, *, layers: int | None = None) -> dict[str, Array]:
    rng, found = np.random.default_rng(0), {}
    for name in [n for n in trainer.schema.shared.names if n.endswith("lora_A.weight")][:layers]:
        found[f"carried.{name}"] = rng.normal(size=(rank, 32)).astype(np.float32)
        found[f"carried.{name.replace('lora_A', 'lora_B')}"] = rng.normal(size=(32, rank)).astype(np.float32)
    return found


def with_beside(ask: Ask, trainer: Trainer, carried: Mapping[str, Array], **changes: Any) -> Request:
    request = ask(trainer.bundle, **{"round": 2, **changes})
    return ask(trainer.bundle, **{"round": 2, **changes, "shared": {**request.shared, **carried}})


def test_what_is_declared_changes_the_model_and_is_no_part_of_the_update(make_trainer: Make, ask: Ask) -> None:
    with_it, without = make_trainer(CARRIES, home="with"), make_trainer(CARRIES, home="without")
    base = {n: p.detach().clone() for n, p in with_it.bench.model.named_parameters() if "base_layer" in n}
    changed = with_it.answer(with_beside(ask, with_it, beside(with_it, layers=1)))
    plain = without.answer(ask(without.bundle, round=2))
    assert isinstance(changed, Reply)
    assert isinstance(plain, Reply)
    assert set(changed.update) == set(plain.update) == set(with_it.schema.shared.names)
    assert changed.evaluations != plain.evaluations
    assert all((p == base[n]).all() for n, p in with_it.bench.model.named_parameters() if n in base)


def test_the_next_request_without_it_has_none_of_it(make_trainer: Make, ask: Ask, ask_closing: Ask) -> None:
    used, fresh = make_trainer(CARRIES, home="used"), make_trainer(CARRIES, home="fresh")
    assert isinstance(used.answer(with_beside(ask, used, beside(used))), Reply)
    found, expected = (each.answer(ask_closing(each.bundle)) for each in (used, fresh))
    assert isinstance(found, Reply)
    assert isinstance(expected, Reply)
    for split, evaluation in expected.evaluations.items():
        assert found.evaluations[split].scores == evaluation.scores


def test_a_closing_evaluation_of_such_a_study_has_it_too(make_trainer: Make, ask: Ask, ask_closing: Ask) -> None:
    trainer = make_trainer(CARRIES)
    closing = ask_closing(trainer.bundle)
    answer = trainer.answer(ask_closing(trainer.bundle, shared={**closing.shared, **beside(trainer)}))
    assert isinstance(answer, Reply)


def test_asked_again_the_answer_is_the_same_and_another_change_is_another_question(
    make_trainer: Make, ask: Ask
) -> None:
    trainer = make_trainer(CARRIES)
    request = with_beside(ask, trainer, beside(trainer))
    first, again = trainer.answer(request), trainer.answer(request)
    assert isinstance(first, Reply)
    assert isinstance(again, Reply)
    assert all((first.update[name] == again.update[name]).all() for name in first.update)
    for other in (beside(trainer, 2), {}):
        assert trainer.answer(with_beside(ask, trainer, other)) == Refusal("ROUND_ALREADY_ANSWERED")


def one(trainer: Trainer, change: Callable[[dict[str, Array]], Any]) -> dict[str, Array]:
    found = beside(trainer)
    change(found)
    return found


def _bend(state: dict[str, Array], value: object) -> None:
    next(iter(state.values()))[0, 0] = value


HOSTILE: dict[str, Callable[[dict[str, Array]], Any]] = {
    "nan": lambda s: _bend(s, np.nan),
    "infinity": lambda s: _bend(s, np.inf),
    "half a pair": lambda s: s.pop(sorted(s)[0]),
    "another input": lambda s: s.update({sorted(s)[0]: np.zeros((3, 31), np.float32)}),
    "two ranks": lambda s: s.update({sorted(s)[0]: np.zeros((4, 32), np.float32)}),
    "no rank": lambda s: s.update(
        {sorted(s)[0]: np.zeros((0, 32), np.float32), sorted(s)[1]: np.zeros((32, 0), np.float32)}
    ),
    "another dtype": lambda s: s.update({n: a.astype(np.float64) for n, a in s.items()}),
    "another layer": lambda s: s.update({n.replace("query", "key"): a for n, a in list(s.items())}),
    "no factor": lambda s: s.update({"carried.head.bias": np.zeros(2, np.float32)}),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_change_that_does_not_fit_is_refused(kind: str, make_trainer: Make, ask: Ask) -> None:
    trainer = make_trainer(CARRIES)
    carried = one(trainer, HOSTILE[kind])
    assert trainer.answer(with_beside(ask, trainer, carried)) == Refusal("WRONG_ADAPTER")
    assert trainer.bench.task.losses == 0  # type: ignore[attr-defined] # the task of these tests counts


def test_more_than_a_matrix_can_have_is_refused(make_trainer: Make, ask: Ask) -> None:
    trainer = make_trainer(CARRIES)
    assert trainer.answer(with_beside(ask, trainer, beside(trainer, 33))) == Refusal("WRONG_ADAPTER")
    assert isinstance(trainer.answer(with_beside(ask, trainer, beside(trainer, 32))), Reply)


def test_a_study_that_declares_none_takes_none(make_trainer: Make, ask: Ask, ask_closing: Ask) -> None:
    trainer = make_trainer()
    closing = ask_closing(trainer.bundle)
    asked = (
        with_beside(ask, trainer, beside(trainer)),
        ask_closing(trainer.bundle, shared={**closing.shared, **beside(trainer)}),
    )
    for request in asked:
        assert trainer.answer(request) == Refusal("MALFORMED_REQUEST")


def test_before_a_round_was_trained_there_is_nothing_to_carry(make_trainer: Make, ask: Ask) -> None:
    trainer = make_trainer(CARRIES)
    assert trainer.answer(with_beside(ask, trainer, beside(trainer), round=1)) == Refusal("MALFORMED_REQUEST")


@pytest.mark.parametrize("rank", [None, 1, 3, 4, 0, -1])
def test_a_rank_that_is_not_the_site_s_is_refused(
    rank: int | None, make_trainer: Make, ask: Ask, ask_closing: Ask
) -> None:
    trainer, plan = make_trainer(*RANKS), RoundPlan(rank=rank)
    shared = sliced({name: trainer.bundle.initial[name] for name in trainer.schema.shared.names}, rank)
    for made in (ask, ask_closing):
        assert trainer.answer(made(trainer.bundle, plan=plan, shared=shared)) == Refusal("MALFORMED_REQUEST")


def test_more_than_the_site_s_part_or_another_is_refused(make_trainer: Make, ask: Ask) -> None:
    trainer, plan = make_trainer(*RANKS), RoundPlan(rank=2)
    whole = {name: trainer.bundle.initial[name] for name in trainer.schema.shared.names}
    last = {name: array[2:] if "lora_A" in name else array for name, array in whole.items()}
    last = {name: array[:, 2:] if "lora_B" in name else array for name, array in last.items()}
    for shared in (whole, sliced(whole, 1), last):
        assert trainer.answer(ask(trainer.bundle, plan=plan, shared=shared)) == Refusal("WRONG_ADAPTER")
    assert isinstance(trainer.answer(ask(trainer.bundle, plan=plan, shared=sliced(whole, 2))), Reply)


def test_no_more_ranks_than_the_study_lets_be_carried(make_trainer: Make, ask: Ask) -> None:
    trainer = make_trainer("aggregation.name='fedex-lora'", "aggregation.carried_rank=2")
    assert trainer.answer(with_beside(ask, trainer, beside(trainer, 3))) == Refusal("MALFORMED_REQUEST")
    assert isinstance(trainer.answer(with_beside(ask, trainer, beside(trainer, 2))), Reply)
