"""The server's grid of sites that workers play: messages go out in chunks, replies come as chunks are played."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, Protocol

from flwr.app import Message
from flwr.proto.node_pb2 import NodeInfo

from common import wire
from simulations.engine.plan import Shape, plan_groups
from simulations.engine.room import most_clients
from simulations.inprocess import error_reply, nodes_of, number
from simulations.on_ray.letters import Answered, Arrays, Parcel, Sent, parcels

PATIENCE_S: Final = 1.0
"""Longest time for which the server hears nothing of its grid."""


class Players(Protocol):
    """Who plays chunks: processes of Ray, in a test this one."""

    def share(self, arrays: Arrays) -> object:
        """Put arrays where every player can read them, and return a reference to them."""
        ...

    def give(self, parcels: Iterable[Parcel]) -> None:
        """Have parcels played, in this order, by whoever is free."""
        ...

    def take(self, patience_s: float) -> Sequence[Answered]:
        """Return replies that have come, after `patience_s` at the latest; the same ones may come twice."""
        ...


class RayGrid:
    """A grid of the sites of a run, which have their names here.

    A round's messages are all sent before the first reply is looked for, so that then its cohort is known, and cut.
    work: of each site, the tokens of its training rows. shape: how many workers the run began with, and the most sites
    of a chunk. are_groups: the engine trains a chunk as one, and its size was decided with the run; else chunks are
    also cut by how large messages are.
    """

    def __init__(self, players: Players, work: Mapping[str, int], shape: Shape, *, are_groups: bool = False) -> None:
        self._players, self._work, self._shape, self._are_groups = players, work, shape, are_groups
        self._nodes = nodes_of(sorted(work))
        self._count = 0
        self._pushed: list[Sent] = []
        self._asked: dict[int, Message] = {}
        self._arrived: dict[str, Message] = {}

    def get_nodes(self) -> Iterable[NodeInfo]:
        """Return the nodes with their sites' names."""
        return list(self._nodes.values())

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Queue messages. Raises KeyError for an unknown node."""
        return [self._push(message) for message in messages]

    def _push(self, message: Message) -> str:
        site = self._nodes[message.metadata.dst_node_id].name
        self._count += 1
        self._pushed.append(Sent(self._count, site, message))
        return number(message, self._count)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Send what is queued; return the replies to these messages that are there, at most `PATIENCE_S` later."""
        self._send()
        wanted = set(message_ids)
        if not wanted & self._arrived.keys() and self._asked:
            self._arrived |= dict(filter(None, map(self._reply, self._players.take(PATIENCE_S))))
        return [self._arrived.pop(message_id) for message_id in list(self._arrived) if message_id in wanted]

    def _send(self) -> None:
        if not self._pushed:
            return
        sent = sorted(self._pushed, key=lambda each: (each.site, each.number))
        self._pushed = []
        most = self._shape.clients
        if not self._are_groups:
            most = min(most, most_clients(max(wire.size_bytes(each.message.content) for each in sent)))
        chunks = self._chunks([each.site for each in sent], most)
        self._players.give(parcels(sent, chunks, self._players.share))
        self._asked |= {each.number: each.message for each in sent}

    def _chunks(self, sites: Sequence[str], most: int) -> list[list[int]]:
        """Return the positions of these sites, chunk by chunk; a site that has several messages has them in one."""
        at: dict[str, list[int]] = {}
        for place, site in enumerate(sites):
            at.setdefault(site, []).append(place)
        groups = plan_groups({site: self._work[site] for site in at}, replace(self._shape, clients=most))
        return [sorted(place for site in group for place in at[site]) for group in groups]

    def _reply(self, answered: Answered) -> tuple[str, Message] | None:
        """Return a reply under the id of what it answers; None for one that was there before."""
        message = self._asked.pop(answered.number, None)
        if message is None:
            return None
        content = answered.content
        reply = error_reply(message) if content is None else Message(content, reply_to=message)
        return message.metadata.message_id, reply
