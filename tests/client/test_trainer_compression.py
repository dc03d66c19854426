"""A site that compresses: the same bytes after a crash, an error that loses nothing, and nothing else on the wire."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flwr.app import ArrayRecord

from client.app import respond
from client.policy import Policy
from client.trainer import Trainer
from common import npy, wire
from common.compressing import restored
from common.plugins import register_folder
from common.protocol import Answer, Refusal, Reply, Request, RoundPlan
from common.state import AdapterState, digest_state

Make = Callable[..., Trainer]
Ask = Callable[..., Request]
OPEN = Policy(release_histograms=True, minimum_patients=0, minimum_class_patients=0)
INT8, TOP_K = "compression.method='int8'", "compression={method='top-k', density=0.1}"
BOTH = pytest.mark.parametrize("method", [INT8, TOP_K])


@pytest.fixture(autouse=True, scope="module")
def sample() -> None:
    register_folder("common.compression", Path(__file__).parents[1] / "common" / "compression" / "samples")


def replied(answer: Answer) -> Reply:
    assert isinstance(answer, Reply), answer
    return answer


def left_out(trainer: Trainer, after: int) -> AdapterState:
    return trainer.store.left_out(replace(Q, round=after + 1))


Q = Request("train", "run-1", 1, 0, "", "", RoundPlan(), (), {})


@BOTH
def test_a_site_that_lost_its_answer_makes_the_same_bytes_again(method: str, make_trainer: Make, ask: Ask) -> None:
    """Once as it was, once with a crash after the work of round 2, and once with restarts between the rounds."""
    whole, crashed = make_trainer(method), make_trainer(method, home="crashed")
    digests, again = [], []
    for number in (1, 2, 3):
        request = ask(whole.bundle, round=number)
        digests.append(digest_state(replied(whole.answer(request)).update))
        assert digest_state(replied(whole.answer(request)).update) == digests[-1]
        crashed = make_trainer(method, home="crashed")
        if number == 2:
            crashed.answer(request)
            (crashed.store.folder / "runs" / "run-1" / "train-000002.safetensors").unlink()
        again.append(digest_state(replied(crashed.answer(request)).update))
        assert digest_state(replied(make_trainer(method, home="crashed").answer(request)).update) == again[-1]
    assert digests == again
    assert digest_state(left_out(whole, 3)) == digest_state(left_out(crashed, 3))


def test_what_was_sent_and_what_is_left_is_what_was_trained(make_trainer: Make, ask: Ask) -> None:
    """Round 3 is without the site. An update depends on what was received and on the round, so that it is known."""
    plain, site = make_trainer(home="plain"), make_trainer(TOP_K)
    total: dict[str, np.ndarray] = {}
    sent: dict[str, np.ndarray] = {}
    asked = site.schema.shared
    for number in (1, 2):
        for trainer, sums in ((plain, total), (site, sent)):
            reply = replied(trainer.answer(ask(trainer.bundle, round=number)))
            update = restored(reply.update, asked, trainer.compression)
            for name, array in update.items():
                sums[name] = sums.get(name, 0.0) + array.astype(np.float64)
    left = left_out(site, 3)
    for name, wanted in total.items():
        np.testing.assert_allclose(sent[name] + left[name], wanted, rtol=0, atol=1e-12)
    assert sum(np.count_nonzero(array) for array in left.values()) > asked.size / 2


def test_a_refused_round_keeps_the_error_of_the_round_before(make_trainer: Make, ask: Ask) -> None:
    site = make_trainer(TOP_K)
    replied(site.answer(ask(site.bundle)))
    before = digest_state(left_out(site, 1))
    strict = replace(site, gate=replace(site.gate, policy=OPEN.model_copy(update={"max_update_norm": 1e-6})))
    assert strict.answer(ask(site.bundle, round=2)) == Refusal("REFUSED_BY_POLICY")
    assert digest_state(left_out(site, 2)) == before
    replied(site.answer(ask(site.bundle, round=3)))
    assert digest_state(left_out(site, 3)) != before


def test_rounds_that_train_a_part_leave_the_error_of_the_rest(make_trainer: Make, ask: Ask) -> None:
    site = make_trainer(TOP_K, "aggregation.name='sample-family'", "aggregation.parts=[['*'],['head.*']]")
    replied(site.answer(ask(site.bundle)))
    head = tuple(name for name in site.schema.shared.names if name.startswith("head."))
    first = left_out(site, 1)
    payload = replied(site.answer(ask(site.bundle, round=2, plan=RoundPlan(active=head)))).update
    second = left_out(site, 2)
    assert set(first) == set(second) == set(site.schema.shared.names)
    assert {n for n in first if not np.array_equal(first[n], second[n])} <= set(head)
    assert payload["top-k.values"].size == round(0.1 * site.schema.only(head).size)


@BOTH
def test_a_divergence_is_a_word_and_keeps_nothing(method: str, make_trainer: Make, ask: Ask) -> None:
    trainer = make_trainer("training={learning_rate=3e38, local_steps=2, batch_size=8}", method)
    assert trainer.answer(ask(trainer.bundle)) == Refusal("TRAINING_DIVERGED")
    assert left_out(trainer, 1) == {}


@BOTH
def test_nothing_but_the_declared_bytes_leaves(method: str, make_trainer: Make, ask: Ask) -> None:
    """The arrays of the message as Flower has it: all values that the formula says, a header for each dtype."""
    trainer = make_trainer(method, "peft.private=['head.*']")
    request = ask(trainer.bundle)
    content = respond(wire.encode_request(request, wire.pack_adapter(request.shared, trainer.schema)), trainer)
    assert set(content) == {"head", "update"}
    record, sent = content["update"], trainer.compression.wire_schema(trainer.schema.shared)
    assert isinstance(record, ArrayRecord)
    dtypes = {spec.dtype for spec in sent.tensors}
    assert set(record) == dtypes
    assert sum(len(array.data) for array in record.values()) == sent.size_bytes + npy.HEADER_BYTES * len(dtypes)
    assert sent.size_bytes < 0.3 * trainer.schema.shared.size_bytes


def test_draws_differ_by_site_and_round_and_not_by_anything_else(make_trainer: Make, ask: Ask) -> None:
    def drawn(site: str, number: int, home: str) -> str:
        trainer = make_trainer("compression.method='sample-draws'", site=site, home=home)
        return digest_state(replied(trainer.answer(ask(trainer.bundle, round=number))).update)

    places = [("east", 1), ("east", 2), ("north", 1), ("north", 2)]
    first, again = ([drawn(*place, home=f"{place[0]}-{attempt}") for place in places] for attempt in (1, 2))
    assert first == again
    assert len(set(first)) == 4
