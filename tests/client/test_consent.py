"""What a server can bend in a request: all of it is refused in a word, and nothing is computed for it."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.consent import _check_adapter, check_request, expected_splits
from client.policy import Policy
from client.trainer import Trainer
from common.bundle import Bundle
from common.errors import CheckpointError, RefusedError
from common.protocol import Kind, Refusal, Reply, Request, RoundPlan
from common.state import Array, digest_state

Make = Callable[..., Trainer]
Ask = Callable[..., Request]
OPEN = Policy(release_histograms=True, minimum_patients=0, minimum_class_patients=0)
BEST = 'evaluation.keep="best"'
ROUNDS = 3
TRAINED = [("train", number, ("validation",)) for number in range(1, ROUNDS + 1)]
LEGAL = {
    "last": [*TRAINED, ("evaluate", ROUNDS + 1, ("validation", "test"))],
    "best": [*TRAINED, ("evaluate", ROUNDS + 1, ("validation",)), ("evaluate", ROUNDS + 2, ("test",))],
}
"""Every kind, round and splits that there are in a study of three rounds."""
SPLITS = [(), ("validation",), ("test",), ("validation", "test"), ("test", "validation"), ("validation",) * 2]


class Forwards:
    """How often the model of a trainer was used."""

    def __init__(self, trainer: Trainer) -> None:
        self.count = 0
        trainer.bench.head.register_forward_hook(self._counted)

    def _counted(self, *_: object) -> None:
        self.count += 1


def journal(trainer: Trainer) -> list[tuple[str, str | None]]:
    lines = trainer.gate.journal.path.read_text().splitlines()
    return [(line["decision"], line["reason"]) for line in map(json.loads, lines)]


def bent(bundle: Bundle, by: float = 1e-3) -> dict[str, Array]:
    """The initial adapter with one number of its last tensor changed."""
    shared = {name: bundle.initial[name].copy() for name in bundle.schema.shared.names}
    shared[max(shared)].flat[-1] += by
    return shared


CLOSING: dict[str, Any] = {"kind": "evaluate", "round": ROUNDS + 1, "splits": ("validation", "test")}
HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    "another seed": ({"seed": 1}, "MALFORMED_REQUEST"),
    "another seed at the end": ({**CLOSING, "seed": 1}, "MALFORMED_REQUEST"),
    "test rows in training": ({"splits": ("test",)}, "MALFORMED_REQUEST"),
    "both splits in training": ({"splits": ("validation", "test")}, "MALFORMED_REQUEST"),
    "no validation": ({"splits": ()}, "MALFORMED_REQUEST"),
    "validation twice": ({"splits": ("validation", "validation")}, "MALFORMED_REQUEST"),
    "test rows before the end": ({**CLOSING, "round": 1}, "MALFORMED_REQUEST"),
    "test rows in the last round": ({**CLOSING, "round": ROUNDS}, "MALFORMED_REQUEST"),
    "validation before the end": ({"kind": "evaluate", "round": 2}, "MALFORMED_REQUEST"),
    "an evaluation in round 0": ({**CLOSING, "round": 0}, "MALFORMED_REQUEST"),
    "a second closing": ({**CLOSING, "round": ROUNDS + 2}, "MALFORMED_REQUEST"),
    "a late closing of the other kind": ({**CLOSING, "round": ROUNDS + 2, "splits": ("test",)}, "MALFORMED_REQUEST"),
    "test rows alone": ({**CLOSING, "splits": ("test",)}, "MALFORMED_REQUEST"),
    "a closing far away": ({**CLOSING, "round": 10**9}, "MALFORMED_REQUEST"),
    "training in round 0": ({"round": 0}, "MALFORMED_REQUEST"),
    "training after the end": ({"round": ROUNDS + 1}, "MALFORMED_REQUEST"),
    "training after the end, not evaluated": ({"round": ROUNDS + 1, "splits": ()}, "MALFORMED_REQUEST"),
    "an evaluation of nothing": ({**CLOSING, "round": 2, "splits": ()}, "MALFORMED_REQUEST"),
    "a pull away from the received": ({"plan": RoundPlan(proximal_mu=-1e-9)}, "MALFORMED_REQUEST"),
    "a huge pull": ({"plan": RoundPlan(proximal_mu=1e30)}, "MALFORMED_REQUEST"),
    "a pull of nan": ({"plan": RoundPlan(proximal_mu=float("nan"))}, "MALFORMED_REQUEST"),
    "an endless pull": ({"plan": RoundPlan(proximal_mu=float("inf"))}, "MALFORMED_REQUEST"),
    "training of nothing": ({"plan": RoundPlan(active=())}, "MALFORMED_REQUEST"),
    "a rank of its own": ({"plan": RoundPlan(rank=1)}, "MALFORMED_REQUEST"),
    "a closing with a rank": ({**CLOSING, "plan": RoundPlan(rank=1)}, "MALFORMED_REQUEST"),
    "a pull that is not the study's": ({"plan": RoundPlan(proximal_mu=0.1)}, "MALFORMED_REQUEST"),
    "a part that is not the study's": ({"plan": RoundPlan(active=("head.bias",))}, "MALFORMED_REQUEST"),
    "such a part in a later round": ({"round": 2, "plan": RoundPlan(active=("head.bias",))}, "MALFORMED_REQUEST"),
    "a closing with a part": ({**CLOSING, "plan": RoundPlan(active=("head.bias",))}, "MALFORMED_REQUEST"),
    "a closing with a pull": ({**CLOSING, "plan": RoundPlan(proximal_mu=0.1)}, "MALFORMED_REQUEST"),
    "a tensor that is none": ({"plan": RoundPlan(active=("pooler.weight",))}, "WRONG_ADAPTER"),
    "an adapter with less": ({"shared": {}}, "WRONG_ADAPTER"),
    "an extra": ({"plan": RoundPlan(extra={"x": 1.0})}, "MALFORMED_REQUEST"),
    "another study": ({"study": "sha256:0"}, "WRONG_STUDY"),
    "another schema": ({"schema": "sha256:0"}, "WRONG_SCHEMA"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_field_that_the_study_does_not_foresee_costs_nothing(kind: str, make_trainer: Make, ask: Ask) -> None:
    trainer = make_trainer()
    used, (changes, reason) = Forwards(trainer), HOSTILE[kind]
    assert trainer.answer(ask(trainer.bundle, **changes)) == Refusal(reason)
    assert used.count == 0
    assert [path.name for path in trainer.store.folder.iterdir()] == ["journal.jsonl"]
    assert journal(trainer) == [("refused", reason)]
    assert isinstance(trainer.answer(ask(trainer.bundle)), Reply)
    assert used.count > 0


@given(kind=st.sampled_from(get_args(Kind)), number=st.integers(0, ROUNDS + 4), splits=st.sampled_from(SPLITS))
@pytest.mark.parametrize("keep", LEGAL)
def test_kinds_rounds_and_splits_are_those_of_the_study_only(
    keep: str, kind: Kind, number: int, splits: Any, make_bundle: Callable[..., Bundle], ask: Ask
) -> None:
    bundle = make_bundle(f"evaluation.keep={keep!r}")
    asked = ask(bundle, kind=kind, round=number, splits=splits)
    legal = (kind, number, splits) in LEGAL[keep]
    assert (splits != () and tuple(expected_splits(asked, bundle.study)) == splits) == legal
    assert refusal(asked, bundle) == (None if legal else "MALFORMED_REQUEST")


def test_a_request_that_fits_one_bundle_is_looked_at_again_for_another(
    make_bundle: Callable[..., Bundle], ask: Ask
) -> None:
    bundle = make_bundle()
    other = replace(bundle, schema=bundle.schema.only(bundle.schema.names[:-1]))
    asked = ask(bundle, round=2)
    assert refusal(asked, bundle) is None
    assert refusal(replace(asked, shared=bent(bundle, np.nan)), bundle) == "WRONG_ADAPTER"
    with pytest.raises(RefusedError, match="WRONG_ADAPTER"):
        _check_adapter(asked, other)


def refusal(request: Request, bundle: Bundle) -> str | None:
    try:
        check_request(request, bundle, site="east")
    except RefusedError as error:
        return error.reason
    return None


@given(data=st.data())
def test_round_one_starts_from_the_bundle_s_own_adapter(
    data: st.DataObject, make_bundle: Callable[..., Bundle], ask: Ask
) -> None:
    """One number of one tensor is enough; later rounds have adapters that no site can foresee."""
    bundle = make_bundle()
    name = data.draw(st.sampled_from(sorted(bundle.schema.shared.names)))
    changed = bundle.initial[name].copy()
    changed.flat[data.draw(st.integers(0, changed.size - 1))] += 0.5
    shared = {**bundle.initial, name: changed}
    assert refusal(ask(bundle, shared=shared), bundle) == "WRONG_ADAPTER"
    assert refusal(ask(bundle, shared=shared, round=2), bundle) is None
    assert refusal(ask(bundle, shared=shared, **CLOSING), bundle) is None


OTHER_ADAPTERS: dict[str, tuple[int, Callable[[Bundle], dict[str, Array]]]] = {
    "another one in round 1": (1, bent),
    "nan": (2, lambda bundle: bent(bundle, np.nan)),
    "float64": (2, lambda bundle: {name: array.astype(np.float64) for name, array in bundle.initial.items()}),
    "one tensor more": (2, lambda bundle: {**bundle.initial, "more": np.zeros(1, np.float32)}),
}


@pytest.mark.parametrize("kind", OTHER_ADAPTERS)
def test_another_adapter_is_not_trained_from(kind: str, make_trainer: Make, ask: Ask) -> None:
    trainer = make_trainer()
    used, (number, adapter) = Forwards(trainer), OTHER_ADAPTERS[kind]
    asked = ask(trainer.bundle, round=number, shared=adapter(trainer.bundle))
    assert trainer.answer(asked) == Refusal("WRONG_ADAPTER")
    assert used.count == 0
    assert not (trainer.store.folder / "runs").exists()


def test_a_private_tensor_cannot_be_asked_for(make_trainer: Make, ask: Ask) -> None:
    trainer = make_trainer("peft.private=['head.*']")
    for changes in ({"plan": RoundPlan(active=("head.bias",))}, {"shared": trainer.bundle.initial}):
        assert trainer.answer(ask(trainer.bundle, **changes)) == Refusal("WRONG_ADAPTER")


@pytest.mark.parametrize("keep", LEGAL)
def test_each_question_is_answered_for_one_adapter(keep: str, make_trainer: Make, ask: Ask) -> None:
    """Whatever is tried in between, a site answers each legal question once: no test row is scored a second time."""
    override = f"evaluation.keep={keep!r}"
    trainer = make_trainer(override)
    used = Forwards(trainer)
    for kind, number, splits in LEGAL[keep]:
        asked = ask(trainer.bundle, kind=kind, round=number, splits=splits)
        answer = trainer.answer(asked)
        assert isinstance(answer, Reply)
        assert set(answer.evaluations) == set(splits)
        before = used.count
        for other in (replace(asked, shared=bent(trainer.bundle)), replace(asked, shared=bent(trainer.bundle, 0.5))):
            # In round 1 the other adapter is seen to be another one before the store is.
            expected = "WRONG_ADAPTER" if other.shared is not asked.shared and number == 1 else "ROUND_ALREADY_ANSWERED"
            assert trainer.answer(other) == Refusal(expected)
            restarted = make_trainer(override)
            assert restarted.answer(other) == Refusal(expected)
            assert restarted.answer(replace(other, run="run-2")).reason in {"TOO_MANY_RUNS", expected}  # type: ignore[union-attr] # a refusal
        assert used.count == before
    assert [decision for decision, _ in journal(trainer)].count("released") == len(LEGAL[keep])


def test_the_closing_pair_of_keep_best_tests_what_was_chosen(make_trainer: Make, ask: Ask) -> None:
    trainer = make_trainer(BEST)
    last, best = bent(trainer.bundle, 0.5), bent(trainer.bundle, -0.5)
    first = trainer.answer(ask(trainer.bundle, shared=last, kind="evaluate", round=ROUNDS + 1))
    assert isinstance(first, Reply)
    assert set(first.evaluations) == {"validation"}
    with pytest.raises(CheckpointError, match="FileNotFoundError"):
        trainer.store.test_scores("run-1")
    second = trainer.answer(ask(trainer.bundle, shared=best, kind="evaluate", round=ROUNDS + 2, splits=("test",)))
    assert isinstance(second, Reply)
    assert set(second.evaluations) == {"test"}
    assert digest_state(trainer.bench.read()) == digest_state(best)
    assert trainer.store.test_scores("run-1").shape == (len(trainer.rows.test), 2)


def test_a_run_under_another_name_is_one_too_many_also_after_a_restart(make_trainer: Make, ask: Ask) -> None:
    trainer = make_trainer()
    assert isinstance(trainer.answer(ask(trainer.bundle)), Reply)
    for site in (trainer, make_trainer()):
        used = Forwards(site)
        for changes in ({}, CLOSING):
            assert site.answer(ask(site.bundle, run="run-2", **changes)) == Refusal("TOO_MANY_RUNS")
        assert used.count == 0
        assert isinstance(site.answer(ask(site.bundle, round=2)), Reply)
    assert [path.name for path in (trainer.store.folder / "runs").iterdir()] == ["run-1"]


def test_a_refusal_by_the_gate_counts_as_a_run(make_trainer: Make, ask: Ask) -> None:
    """Else a server could have rows trained on under as many names as it likes, and time the answers."""
    trainer = make_trainer(policy=OPEN.model_copy(update={"max_update_norm": 1e-9}))
    assert trainer.answer(ask(trainer.bundle)) == Refusal("REFUSED_BY_POLICY")
    used = Forwards(trainer)
    assert trainer.answer(ask(trainer.bundle, run="run-2")) == Refusal("TOO_MANY_RUNS")
    assert used.count == 0


@pytest.mark.parametrize("run", ["journal.jsonl", "runs", "private.safetensors", "con", "a" * 63])
def test_a_run_named_like_a_file_of_the_site_s_disables_nothing(run: str, make_trainer: Make, ask: Ask) -> None:
    trainer = make_trainer()
    for number in (1, 2):
        assert isinstance(trainer.answer(ask(trainer.bundle, run=run, round=number)), Reply)
    assert isinstance(make_trainer().answer(ask(trainer.bundle, run=run, round=3)), Reply)
    assert trainer.gate.journal.path.is_file()
    assert journal(trainer) == [("released", None)] * 3


@pytest.mark.parametrize("run", ["..", "../journal.jsonl", "/tmp/run", "a/b", "", ".hidden", "a\nb", "a\0", "a" * 64])
def test_a_run_that_is_no_name_does_no_harm(run: str, make_trainer: Make, ask: Ask) -> None:
    trainer = make_trainer()
    used = Forwards(trainer)
    for changes in ({}, CLOSING):
        assert trainer.answer(ask(trainer.bundle, run=run, **changes)) == Refusal("MALFORMED_REQUEST")
    assert used.count == 0
    assert [path.name for path in trainer.store.folder.iterdir()] == ["journal.jsonl"]
    assert [path.name for path in trainer.store.folder.parent.iterdir()] == [trainer.name]
    assert isinstance(trainer.answer(ask(trainer.bundle)), Reply)
    assert journal(trainer) == [("refused", "MALFORMED_REQUEST")] * 2 + [("released", None)]


def test_too_few_patients_to_train_on_are_no_site(make_trainer: Make, ask: Ask) -> None:
    """Patients are counted, not rows; nor are they evaluated."""
    patients = len(set(make_trainer().rows.train.patients))
    small = make_trainer(policy=OPEN.model_copy(update={"minimum_patients": patients + 1}))
    assert len(small.rows.train) > patients + 1
    used = Forwards(small)
    for changes in ({}, CLOSING):
        assert small.answer(ask(small.bundle, **changes)) == Refusal("TOO_FEW_PATIENTS")
    assert used.count == 0
    just = make_trainer(policy=OPEN.model_copy(update={"minimum_patients": patients}), home="just")
    assert isinstance(just.answer(ask(just.bundle)), Reply)


def test_a_real_site_s_policy_trains_and_withholds_metrics_of_few(make_trainer: Make, ask: Ask) -> None:
    trainer = make_trainer(policy=Policy(), site="west")
    rows = trainer.rows
    answer = trainer.answer(ask(trainer.bundle))
    assert len(set(rows.train.patients)) >= Policy().minimum_patients > len(set(rows.validation.patients))
    assert isinstance(answer, Reply)
    assert answer.update
    found = answer.evaluations["validation"]
    assert found.summary is None
    assert {metric.value for metric in found.scores.metrics.values()} == {None}
    assert found.scores.n == len(rows.validation)
    assert not np.isnan(answer.train["loss"])
