"""Many virtual sites in one process: Flower's `Grid`, with real messages and apps and nothing else of Flower running.

No thread, port, file or telemetry. `push_messages` only queues; each `pull_messages` has one message handled and
returns its reply, so that memory does not grow with the number of sites. A handler cannot be interrupted: deadlines do
not apply here, which also keeps results independent of the machine's speed. What a ClientApp raises passes through:
that of `client.app` raises nothing.

The private names of flwr that this needs are all in this file: `TaskIdentity`, which `Message(...)` reads; `Run`;
`NodeInfo`; `make_message`; `SUPERLINK_NODE_ID`, `ErrorCode`; and `_message_id`, which has no setter.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from copy import copy
from typing import Protocol

from flwr.app import Context, Error, Message, RecordDict, UserConfigValue
from flwr.app.message.message import make_message
from flwr.clientapp import ClientApp
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid, ServerApp
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

_FIRST_NODE = SUPERLINK_NODE_ID + 1
_RUN_ID = 1


@contextmanager
def task_identity() -> Iterator[None]:
    """Give this process the identity that Flower's messages are made with, and take it back: one run at a time."""
    before = (TaskIdentity._task_id, TaskIdentity._run_id, TaskIdentity._node_id)
    TaskIdentity._task_id, TaskIdentity._run_id, TaskIdentity._node_id = 1, _RUN_ID, SUPERLINK_NODE_ID
    try:
        yield
    finally:
        TaskIdentity._task_id, TaskIdentity._run_id, TaskIdentity._node_id = before


class Ahead(Protocol):
    """What computes for several sites at once, before each of them is asked."""

    def arranged(self, waiting: Mapping[str, tuple[str, Message]]) -> Sequence[str]:
        """Return the ids of messages in the order in which to handle them; waiting: {id: (site, message)}."""
        ...

    def done(self, site: str) -> None:
        """Forget a site: it has answered."""
        ...


class InProcessGrid(Grid):
    """A grid whose nodes are calls of one ClientApp.

    `sites[i]` is the node with `node_config["partition-id"] = i`. `named = False` hides the names, as grids of other
    runtimes do. ahead: is shown the messages that wait, before the first of them is handled.
    """

    def __init__(
        self, client_app: ClientApp, sites: Sequence[str], *, named: bool = True, ahead: Ahead | None = None
    ) -> None:
        self._ahead = ahead
        self._sites = {_FIRST_NODE + i: site for i, site in enumerate(sites)}
        self._is_arranged = True
        self._client_app = client_app
        self._contexts = {_FIRST_NODE + i: _context(_FIRST_NODE + i, i, len(sites)) for i in range(len(sites))}
        self._names = dict(zip(self._contexts, sites, strict=True)) if named else {}
        self._pending: dict[str, Message] = {}
        self._count = 0
        self._run = Run.create_empty(_RUN_ID)

    def set_run(self, run: Run) -> None:
        """Store Flower's description of the run."""
        self._run = run

    @property
    def run(self) -> Run:
        """Flower's description of the run."""
        return self._run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Make a message."""
        return Message(content, dst_node_id=dst_node_id, message_type=message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """Return the node ids."""
        return list(self._contexts)

    def get_nodes(self) -> Iterable[NodeInfo]:
        """Return the nodes with their sites' names."""
        return [NodeInfo(node_id=node, name=self._names.get(node, "")) for node in self._contexts]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Queue messages; nothing is handled yet. Raises ValueError for an unknown node."""
        return [self._queue(message) for message in messages]

    def _queue(self, message: Message) -> str:
        if message.metadata.dst_node_id not in self._contexts:
            raise ValueError(f"no node {message.metadata.dst_node_id} among {len(self._contexts)} nodes")
        self._count += 1
        message_id = number(message, self._count)
        self._pending[message_id] = message
        self._is_arranged = False
        return message_id

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Handle the first queued message among these, as they were pushed or are arranged, and return its reply."""
        if self._ahead is not None and not self._is_arranged:
            waiting = {i: (self._site(message), message) for i, message in self._pending.items()}
            self._pending = {i: self._pending[i] for i in self._ahead.arranged(waiting)}
        self._is_arranged = True
        wanted = message_ids if isinstance(message_ids, Set) else set(message_ids)
        first = next((i for i in self._pending if i in wanted), None)
        return [] if first is None else [self._handle(first, self._pending.pop(first))]

    def fail(self, message_id: str) -> Message:
        """Return what comes back for a queued message where its site fails at it, and has not seen it."""
        return self._named(message_id, error_reply(self._pending.pop(message_id)))

    def _handle(self, message_id: str, message: Message) -> Message:
        try:
            return self._named(message_id, self._call(message))
        finally:
            if self._ahead is not None:
                self._ahead.done(self._site(message))

    def _site(self, message: Message) -> str:
        return self._sites[message.metadata.dst_node_id]

    def _named(self, message_id: str, reply: Message) -> Message:
        reply.metadata.__dict__["_message_id"] = f"{message_id}r"
        return reply

    def _call(self, message: Message) -> Message:
        """Call the site with copies, and keep its state only if it answers: what other runtimes do."""
        kept = self._contexts[message.metadata.dst_node_id]
        work = _copied(kept)
        reply = self._client_app(make_message(copy(message.metadata), _copied_records(message.content)), work)
        if not isinstance(reply, Message) or reply.metadata.reply_to_message_id != message.metadata.message_id:
            return error_reply(message)
        kept.state = work.state
        return reply

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:  # noqa: ARG002 # Flower's signature
        """Handle all messages and return their replies; `timeout` cannot interrupt a handler and is not used."""
        ids = set(self.push_messages(messages))
        return [reply for _ in ids for reply in self.pull_messages(ids)]


def run_inprocess(server_app: ServerApp, client_app: ClientApp, sites: Sequence[str], *, named: bool = True) -> None:
    """Run a ServerApp over virtual sites to its end; what it raises passes through."""
    run_over(InProcessGrid(client_app, sites, named=named), server_app)


def run_over(grid: Grid, server_app: ServerApp) -> None:
    """Run a ServerApp over a grid in this process to its end; what it raises passes through."""
    with task_identity():
        server_app(grid, _context(SUPERLINK_NODE_ID, 0, 1))


def number(message: Message, count: int) -> str:
    """Give a message its id and return it: before a site sees it, for a reply copies the id of what it answers."""
    message_id = f"{count:016x}"
    message.metadata.__dict__["_message_id"] = message_id
    return message_id


def nodes_of(sites: Sequence[str]) -> dict[int, NodeInfo]:
    """Return the nodes of these sites, by their ids."""
    return {_FIRST_NODE + i: NodeInfo(node_id=_FIRST_NODE + i, name=site) for i, site in enumerate(sites)}


def _context(node: int, partition: int, partitions: int) -> Context:
    config: dict[str, UserConfigValue] = {"partition-id": partition, "num-partitions": partitions}
    return Context(run_id=_RUN_ID, node_id=node, node_config=config, state=RecordDict(), run_config={})


def _copied(context: Context) -> Context:
    return Context(
        run_id=context.run_id,
        node_id=context.node_id,
        node_config=dict(context.node_config),
        state=_copied_records(context.state),
        run_config=dict(context.run_config),
    )


def _copied_records(content: RecordDict) -> RecordDict:
    return RecordDict({name: record.copy() for name, record in content.items()})


def error_reply(message: Message) -> Message:
    """Return what comes back where a site fails at a message."""
    return Message(Error(code=ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason="APP_FAILED"), reply_to=message)
