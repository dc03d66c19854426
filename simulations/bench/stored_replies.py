"""Replies of sites as a SuperLink hands them to a ServerApp: objects in files, behind Flower's own grid over HTTP.

They are made and signed before anything is measured, by another process, so that the process that is looked at holds
what a ServerApp holds: the body of a response, the parsed response, the object, and what becomes of them.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import time
from typing import Any, Final  # Flower's classes are partly untyped

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import RecordDict
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedResponse,
    Message,
    ObjectTree,
    PullObjectRequest,
    PullObjectResponse,
    PushObjectRequest,
    PushObjectResponse,
)
from flwr.proto.message_pb2 import Metadata as MetadataProto
from flwr.proto.node_pb2 import NodeInfo
from flwr.proto.runtime_pb2 import (
    GetNodesRequest,
    GetNodesResponse,
    PullAppMessagesRequest,
    PullAppMessagesResponse,
    PushAppMessagesRequest,
    PushAppMessagesResponse,
)
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.run import Run
from flwr.superlink.grid.http_grid import HttpGrid

from common import keys, wire
from common.files import write_bytes
from common.protocol import Kind, Reply, Split
from common.signed_reply import Asked, sign_reply
from common.state import AdapterSchema, AdapterState
from simulations.bench.messages import evaluation_of

RUN: Final = "bench"
STUDY: Final = "bench"


def site_name(index: int) -> str:
    """Return the name of a site, which is its key in the grid too."""
    return f"site-{index:03d}"


def site_update(adapter: AdapterState, index: int) -> AdapterState:
    """Return what a site adds to the adapter in each round."""
    rng = np.random.default_rng(index)
    return {name: rng.normal(size=a.shape, scale=1e-3).astype(np.float32) for name, a in adapter.items()}


def store_replies(folder: Path, adapter: AdapterState, *, sites: int, rounds: int) -> dict[str, str]:
    """Write what each site answers to each round and to the two closing questions; return the sites' public keys."""
    schema, public = AdapterSchema.of(adapter), {}
    for index in range(sites):
        update, key = site_update(adapter, index), Ed25519PrivateKey.generate()
        for number in range(1, rounds + 3):
            kind: Kind = "train" if number <= rounds else "evaluate"
            asked, sent = (schema, update) if kind == "train" else (AdapterSchema(()), {})
            splits: tuple[Split, ...] = ("validation",) if number <= rounds + 1 else ("test",)
            answer = Reply(sent, 50, {"loss": 1.0}, dict.fromkeys(splits, evaluation_of()))
            content = sign_reply(wire.encode_answer(answer, asked), Asked(STUDY, RUN, number, kind), key)
            _store(folder / site_name(index), str(number), content)
        public[site_name(index)] = keys.public_text(key)
    return public


def _store(folder: Path, name: str, content: RecordDict) -> None:
    for object_id, each in get_all_nested_objects(content).items():
        path = folder / object_id
        if not path.exists():
            response = PullObjectResponse(object_found=True, object_available=True, object_content=each.deflate())
            write_bytes(path, response.SerializeToString(), durable=False)
    write_bytes(folder / name, get_object_tree(content).SerializeToString(), durable=False)


@dataclass
class StoredReplies:
    """What a ServerApp asks of a SuperLink; every reply is there as soon as the last site of a round has been asked."""

    folder: Path
    sites: int
    _asked: dict[str, tuple[str, str]] = field(default_factory=dict)
    _heads: dict[str, bytes] = field(default_factory=dict)
    _homes: dict[str, Path] = field(default_factory=dict)

    def GetNodes(self, _: GetNodesRequest) -> GetNodesResponse:  # Flower's name, as all below
        """Return all sites."""
        nodes = [NodeInfo(node_id=i + 1, public_key=site_name(i).encode()) for i in range(self.sites)]
        return GetNodesResponse(nodes=nodes)

    def PushMessages(self, request: PushAppMessagesRequest) -> PushAppMessagesResponse:
        """Take messages, and ask for their objects."""
        ids, wanted = [], []
        for message, tree in zip(request.messages_list, request.message_object_trees, strict=True):
            ids.append(tree.object_id)
            wanted += [each.object_id for each in _tree(tree)]
            site = site_name(message.metadata.dst_node_id - 1)
            self._asked[tree.object_id] = (site, message.metadata.group_id)
        return PushAppMessagesResponse(message_ids=ids, objects_to_push=wanted)

    def PushObject(self, _: PushObjectRequest) -> PushObjectResponse:
        """Take an object of a message."""
        return PushObjectResponse(stored=True)

    def PullMessages(self, request: PullAppMessagesRequest) -> PullAppMessagesResponse:
        """Return the replies, once the last site of their round has been asked."""
        if len(self._asked) % self.sites:
            return PullAppMessagesResponse()
        replies = [self._reply(each) for each in request.message_ids]
        return PullAppMessagesResponse(
            messages_list=[message for message, _ in replies], message_object_trees=[tree for _, tree in replies]
        )

    def PullObject(self, request: PullObjectRequest) -> PullObjectResponse:
        """Return an object."""
        head = self._heads.get(request.object_id)
        if head is not None:
            return PullObjectResponse(object_found=True, object_available=True, object_content=head)
        response = PullObjectResponse()
        response.ParseFromString((self._homes[request.object_id] / request.object_id).read_bytes())
        return response

    def ConfirmMessageReceived(self, _: Any) -> ConfirmMessageReceivedResponse:
        """Take note."""
        return ConfirmMessageReceivedResponse()

    def close(self) -> None:
        """Have nothing to close."""

    def _reply(self, message_id: str) -> tuple[Message, ObjectTree]:
        site, number = self._asked[message_id]
        content = ObjectTree.FromString((self.folder / site / number).read_bytes())
        node = int(site.rpartition("-")[2]) + 1
        metadata = MetadataProto(
            run_id=1, src_node_id=node, dst_node_id=1, reply_to_message_id=message_id, group_id=number, ttl=3600.0,
            message_type="train", created_at=time(),
        )  # fmt: skip
        body = Message(metadata=metadata).SerializeToString(deterministic=True)
        head = f"Message {content.object_id} {len(body)}".encode() + b"\0" + body
        tree = ObjectTree(object_id=hashlib.sha256(head).hexdigest(), children=[content])
        self._heads[tree.object_id] = head
        self._homes |= {each.object_id: self.folder / site for each in _tree(content)}
        metadata.message_id = tree.object_id
        return Message(metadata=metadata), tree


def _tree(tree: ObjectTree) -> Iterator[ObjectTree]:
    for child in tree.children:
        yield from _tree(child)
    yield tree


class StoredGrid(HttpGrid):
    """Flower's grid over HTTP with another client than one that sends requests."""

    def __init__(self, replies: StoredReplies) -> None:
        super().__init__(token="none")  # nobody is asked
        self._client = replies  # type: ignore[assignment] # the part of the client that is used
        self.set_run(Run.create_empty(1))
