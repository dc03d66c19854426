"""Private tensors never leave a site: the bytes of Flower's messages and of the socket's frames over two rounds."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from flwr.app import Message
from flwr.common.serde import message_to_proto

from client.app import make_app
from client.trainer import Trainer
from common import plugins, wire
from common.metrics.classes import ClassMeasure
from common.peft_methods import AllocatesRanks
from common.protocol import Reply, Request, asked_schema
from common.state import HEAD, AdapterState, Array
from simulations.inprocess import InProcessGrid, task_identity

Make = Callable[..., Trainer]
Ask = Callable[..., Request]
METHODS = plugins.available("common.peft_methods")
WINDOW = 16
GROUPS: Mapping[str, tuple[list[str], list[str]]] = {
    "own head": (["head.*"], [name for name in METHODS if name != "head"]),
    "own bias of the head": (["head.bias"], ["head"]),
    "all but the head": (["[!h]*"], [name for name in METHODS if name != "head"]),
    "own norms": (["*LayerNorm*"], ["bitfit", "full", "hybrid", "last-layers", "layer-norm"]),
    "own lora_B": (["*.lora_B*"], ["adalora", "hybrid", "lora"]),
}
CASES = [(group, method) for group, (_, methods) in GROUPS.items() for method in methods]


def windows(state: AdapterState) -> set[bytes]:
    """Every 16 bytes in a row of each tensor, and all of one that is shorter; not of few values, which others have."""
    found: set[bytes] = set()
    for array in state.values():
        content = array.tobytes()
        found |= {content[i : i + WINDOW] for i in range(max(1, len(content) - WINDOW + 1))}
    return {window for window in found if len(set(window)) > WINDOW // 3}


def leaked(content: bytes, secret: set[bytes], names: Iterable[str]) -> list[object]:
    """What of the secrets is in these bytes."""
    lengths = {len(window) for window in secret}
    found = {content[i : i + n] for n in lengths for i in range(len(content) - n + 1)} & secret
    return [*found, *(name for name in names if name.encode() in content)]


def on_the_wire(message: Message) -> list[bytes]:
    """A message as SuperLink and SuperNode see it, and as the gateway hands it to the trainer."""
    return [message_to_proto(message).SerializeToString(), wire.to_frame(message.content)]


def with_patterns(trainer: Trainer) -> Trainer:
    """Begin from private tensors of which no 16 bytes are anywhere else."""
    rng, initial = np.random.default_rng(5), dict(trainer.bundle.initial)
    for spec in trainer.schema.private.tensors:
        drawn = rng.uniform(0.2, 0.4, spec.shape)
        initial[spec.name] = (drawn if spec.dtype == "float32" else drawn * 2**62).astype(spec.dtype)
    return replace(trainer, bundle=replace(trainer.bundle, initial=initial))


def played(trainer: Trainer, ask: Ask, *, rounds: int) -> tuple[list[bytes], list[AdapterState]]:
    """Return the bytes of all messages of some rounds with one site, and its private tensors before and after each."""
    bundle = trainer.bundle
    private: list[AdapterState] = [{name: bundle.initial[name] for name in bundle.schema.private.names}]
    shared: dict[str, Array] = {name: bundle.initial[name] for name in bundle.schema.shared.names}
    sent: list[bytes] = []
    with task_identity():
        grid = InProcessGrid(make_app(lambda _: trainer), [trainer.name])
        (node,) = grid.get_node_ids()
        for number in range(1, rounds + 1):
            request = ask(bundle, round=number, shared=shared)
            content = wire.encode_request(request, wire.pack_adapter(shared, bundle.schema))
            message = wire.message(content, kind=request.kind, node=node, round_number=number)
            ids = grid.push_messages([message])
            (reply,) = grid.pull_messages(ids)
            sent += [*on_the_wire(message), *on_the_wire(reply)]
            asked = asked_schema(bundle.schema, request.kind, request.plan)
            answer = wire.decode_answer(reply.content, asked, measure=ClassMeasure(len(bundle.study.task.labels)))
            assert isinstance(answer, Reply), answer
            shared = {name: array + answer.update[name] for name, array in shared.items()}
            private.append(trainer.store.private_after(request.run, number, private[0]))
    return sent, private


@pytest.mark.parametrize(("group", "method"), CASES)
def test_no_byte_and_no_name_of_a_private_tensor_is_in_a_message(
    group: str, method: str, make_trainer: Make, ask: Ask
) -> None:
    check(with_patterns(make_trainer(f"peft={{method='{method}', private={GROUPS[group][0]}}}")), ask)


@pytest.mark.parametrize("method", ["bitfit", "full", "hybrid", "last-layers", "layer-norm"])
def test_nor_of_a_site_s_own_batch_norms(method: str, make_pixel_trainer: Make, ask: Ask) -> None:
    """Its running statistics are bytes that only this site has."""
    trainer = with_patterns(make_pixel_trainer(f"peft={{method='{method}', private=['*.normalization.*']}}"))
    names = trainer.schema.private.names
    assert [name.rpartition(".")[2] for name in names].count("running_var") == len(trainer.bench.own_norms) > 0
    check(trainer, ask)


def check(trainer: Trainer, ask: Ask) -> None:
    sent, private = played(trainer, ask, rounds=2)
    names = trainer.schema.private.names
    assert set(names) == set(private[0])
    assert len(sent) == 2 * 2 * 2
    for before, after in pairwise(private):
        same = [name for name in names if np.array_equal(before[name], after[name])]
        # A softmax does not see a key's bias; a layer without any rank left does not train its three factors.
        prunes = isinstance(trainer.bench.method, AllocatesRanks)
        unseen = (".key.bias", ".lora_A", ".lora_B", ".lora_E") if prunes else (".key.bias",)
        assert [name for name in same if not name.endswith(unseen)] == []
        assert len(same) < len(names)
    secret = windows({f"{i} {name}": array for i, state in enumerate(private) for name, array in state.items()})
    assert secret
    assert [leaked(content, secret, names) for content in sent] == [[]] * len(sent)


def test_what_a_message_does_hold_is_found_in_it(make_trainer: Make, ask: Ask) -> None:
    """The same search, for shared tensors: they are there as they were packed, whatever precedes them."""
    trainer = make_trainer("peft.private=['head.*']")
    sent, _ = played(trainer, ask, rounds=1)
    shared = {name: a for name, a in trainer.bundle.initial.items() if not name.startswith(HEAD)}
    found = [len(leaked(content, windows(shared), ["auroc", *trainer.schema.names])) for content in sent]
    assert [count > 100 for count in found] == [True, True, False, False]
    assert all("auroc" in leaked(content, set(), ["auroc"]) for content in sent[2:])
