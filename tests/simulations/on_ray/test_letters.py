"""What travels to a worker and back is what was sent; what messages have in common travels once."""

from collections.abc import Callable
from typing import Any

from flwr.app import ArrayRecord, Message

from common import wire
from simulations.inprocess import error_reply, number
from simulations.on_ray.letters import Arrays, Parcel, Sent, answered, message_of, parcels, records_of


class Store:
    """What was put where every worker can read it; a reference is its position."""

    def __init__(self) -> None:
        self.held: list[Arrays] = []

    def share(self, arrays: Arrays) -> int:
        self.held.append(arrays)
        return len(self.held) - 1

    def messages(self, parcel: Parcel) -> list[Message]:
        records = records_of([self.held[reference] for reference in parcel.beside])
        return [message_of(letter, records, node=letter.number) for letter in parcel.letters]


def test_a_message_arrives_as_it_was_sent(message: Callable[..., Message], adapter: Callable[..., Any]) -> None:
    store, sent = Store(), message(7, adapter=adapter(50), carried=adapter(9))
    (parcel,) = parcels([Sent(7, "north", sent)], [[0]], store.share)
    (received,) = store.messages(parcel)
    assert wire.digest_of(received.content) == wire.digest_of(sent.content)
    about, as_sent = received.metadata, sent.metadata
    assert (about.message_type, about.group_id, about.ttl, about.dst_node_id) == ("train", "3", as_sent.ttl, 7)
    assert parcel.letters[0].site == "north"


def test_what_messages_have_in_common_is_shared_once(
    message: Callable[..., Message], adapter: Callable[..., ArrayRecord]
) -> None:
    """Two ranks, so two adapters, and one record that all of them have."""
    store, ranks, carried = Store(), (adapter(50), adapter(20)), adapter(5)
    sent = [Sent(i, f"s{i}", message(i, adapter=ranks[i % 2], carried=carried)) for i in range(10)]
    made = list(parcels(sent, [[0, 1, 2], [4, 6], [3, 5, 7, 8, 9]], store.share))
    assert len(store.held) == 3
    assert [len(parcel.beside) for parcel in made] == [3, 2, 3]
    received = {m.metadata.dst_node_id: m for parcel in made for m in store.messages(parcel)}
    digests = {i: wire.digest_of(m.content) for i, m in received.items()}
    assert digests == {each.number: wire.digest_of(each.message.content) for each in sent}


def test_equal_arrays_of_two_records_are_not_mistaken_for_one(
    message: Callable[..., Message], adapter: Callable[..., ArrayRecord]
) -> None:
    store = Store()
    sent = [Sent(i, "s", message(i, adapter=adapter(50 + i))) for i in range(2)]
    (parcel,) = parcels(sent, [[0, 1]], store.share)
    assert [wire.size_bytes(m.content) for m in store.messages(parcel)] == [
        wire.size_bytes(each.message.content) for each in sent
    ]
    assert len(store.held) == 2


def test_a_reply_comes_back_as_it_was_given(message: Callable[..., Message], adapter: Callable[..., Any]) -> None:
    asked = message(2)
    number(asked, 1)
    reply = Message(message(2, update=adapter(30)).content, reply_to=asked)
    content = answered(1, reply).content
    assert content is not None
    assert wire.digest_of(content) == wire.digest_of(reply.content)
    assert answered(1, error_reply(asked)).content is None
