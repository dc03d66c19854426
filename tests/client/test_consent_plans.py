"""A plan is one that the approved study's strategy makes in that round: anything else is refused, and costs nothing."""

from collections.abc import Callable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from client.consent import MAX_PROXIMAL_MU, check_request
from client.trainer import Trainer
from common.bundle import Bundle
from common.errors import RefusedError
from common.protocol import Refusal, Reply, Request, RoundPlan
from common.study import AggregationSection

Make = Callable[..., Trainer]
Ask = Callable[..., Request]


def refusal(request: Request, bundle: Bundle) -> str | None:
    try:
        check_request(request, bundle, site="east")
    except RefusedError as error:
        return error.reason
    return None


PROX = "aggregation.name='sample-prox'"


@given(mu=st.floats() | st.floats(0, 2 * MAX_PROXIMAL_MU) | st.just(0.25))
def test_the_proximal_term_is_the_study_s(mu: float, make_bundle: Callable[..., Bundle], ask: Ask) -> None:
    bundle = make_bundle(PROX, "aggregation.proximal_mu=0.25")
    found = refusal(ask(bundle, round=2, plan=RoundPlan(proximal_mu=mu)), bundle)
    assert found == (None if mu == 0.25 else "MALFORMED_REQUEST")


def test_a_study_s_own_proximal_term_is_bounded_too(make_bundle: Callable[..., Bundle], ask: Ask) -> None:
    for mu, word in ((MAX_PROXIMAL_MU, None), (2 * MAX_PROXIMAL_MU, "MALFORMED_REQUEST")):
        bundle = make_bundle(PROX, f"aggregation.proximal_mu={mu}")
        assert refusal(ask(bundle, plan=RoundPlan(proximal_mu=mu)), bundle) == word


def test_which_tensors_are_trained_in_a_round_is_what_was_approved(make_trainer: Make, ask: Ask) -> None:
    """The strategy trains B in odd rounds and A in even ones, and the head; a server that asks otherwise gets a no."""
    trainer = make_trainer("aggregation.name='sample-rolora'")
    names = trainer.schema.shared.names
    parts = {letter: tuple(n for n in names if f".lora_{letter}." in n or n.startswith("head.")) for letter in "AB"}
    for plan in (RoundPlan(), RoundPlan(active=parts["A"]), RoundPlan(active=parts["B"][:-1])):
        assert trainer.answer(ask(trainer.bundle, plan=plan)) == Refusal("MALFORMED_REQUEST")
    assert trainer.bench.task.losses == 0  # type: ignore[attr-defined] # the task of these tests counts
    for number, letter in ((1, "B"), (2, "A")):
        answer = trainer.answer(ask(trainer.bundle, round=number, plan=RoundPlan(active=parts[letter])))
        assert isinstance(answer, Reply)
        assert set(answer.update) == set(parts[letter])


def test_options_that_do_not_fit_the_strategy_are_no_consent(make_bundle: Callable[..., Bundle], ask: Ask) -> None:
    wrong = AggregationSection.model_validate({"name": "sample-prox", "proximal_mu": "much"})
    bundle = make_bundle(PROX)
    bundle = replace(bundle, study=bundle.study.model_copy(update={"aggregation": wrong}))
    assert refusal(ask(bundle), bundle) == "MALFORMED_REQUEST"


UNFREEZE = "training.unfreeze=[{from_round=1, active=['head.*']}, {from_round=2, active=['*']}]"


def test_what_is_frozen_in_a_round_is_trained_by_no_server(make_trainer: Make, ask: Ask) -> None:
    """The head in round 1, and everything from round 2 on."""
    trainer = make_trainer(UNFREEZE)
    head = tuple(name for name in trainer.schema.shared.names if name.startswith("head."))
    for plan in (RoundPlan(), RoundPlan(active=head[:1]), RoundPlan(active=(*head, trainer.schema.shared.names[0]))):
        assert trainer.answer(ask(trainer.bundle, plan=plan)) == Refusal("MALFORMED_REQUEST")
    first = trainer.answer(ask(trainer.bundle, plan=RoundPlan(active=head)))
    assert isinstance(first, Reply)
    assert set(first.update) == set(head)
    assert trainer.answer(ask(trainer.bundle, round=2, plan=RoundPlan(active=head))) == Refusal("MALFORMED_REQUEST")
    second = trainer.answer(ask(trainer.bundle, round=2))
    assert isinstance(second, Reply)
    assert set(second.update) == set(trainer.schema.shared.names)


def test_private_tensors_are_frozen_with_the_others(make_trainer: Make, ask: Ask) -> None:
    private = "peft.private=['*.lora_B.*']"  # A would stand still in round 1 anyway, while B is 0
    trainer = make_trainer(UNFREEZE, private)
    head = tuple(name for name in trainer.schema.shared.names if name.startswith("head."))
    initial = {name: trainer.bundle.initial[name] for name in trainer.schema.private.names}
    assert initial
    moved = []
    for number, plan in ((1, RoundPlan(active=head)), (2, RoundPlan())):
        assert isinstance(trainer.answer(ask(trainer.bundle, round=number, plan=plan)), Reply)
        kept = trainer.store.private_after("run-1", number, initial)
        moved.append(any((kept[name] != initial[name]).any() for name in initial))
    assert moved[0] is False
    assert moved[1] is True
