"""A runtime whose sites are late, away or failing by a virtual clock: the rounds, their deadlines and retries are real.

The server runs as on real sites, with a deadline, over a grid that hands a reply over when its time has come; where the
server would wait, the clock goes on to what happens next. A site does its work when it is asked, so that replies lie
here until their time: memory grows with the sites that are at work. The closing evaluation is the experimenter's and
finds every site that is not at an earlier round.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import inf

from flwr.proto.node_pb2 import NodeInfo

from common import wire
from common.wire import FlowerMessage
from server.closing import Outcome
from server.events import Progress
from server.exchange import Clock
from server.job import ServerJob
from server.rounds import run_rounds
from server.state import ServerState
from simulations.availability import Availability, SiteTime
from simulations.inprocess import InProcessGrid, task_identity
from simulations.stages import Runtime
from simulations.virtual import VirtualSites

_BEGIN = datetime(2000, 1, 1, tzinfo=UTC)
"""Of the calendar, which only messages for people read."""


class VirtualTime:
    """Seconds since the run began; they pass only where somebody waits."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def wait(self, seconds: float) -> None:
        """Let virtual seconds pass."""
        self.now_s += seconds

    def clock(self) -> Clock:
        """Return it as the server's clock."""
        return Clock(lambda: self.now_s, self.wait, lambda: _BEGIN + timedelta(seconds=self.now_s))


@dataclass(frozen=True)
class _Coming:
    """A reply that is there for the server at `at`."""

    at: float
    reply: FlowerMessage


class VirtualGrid:
    """A grid over another one, whose replies take virtual time; `sites` by name."""

    def __init__(self, inner: InProcessGrid, sites: Mapping[str, SiteTime], time: VirtualTime) -> None:
        self._inner, self._time = inner, time
        self._sites = {node.node_id: sites[node.name] for node in inner.get_nodes()}
        self._coming: dict[str, _Coming] = {}

    def get_nodes(self) -> Iterable[NodeInfo]:
        """Return all nodes: whether one is up is known when it is asked."""
        return self._inner.get_nodes()

    def push_messages(self, messages: Iterable[FlowerMessage]) -> Iterable[str]:
        """Ask sites; return the ids of messages to those that are up."""
        return [pushed for message in messages if (pushed := self._push(message)) is not None]

    def _push(self, message: FlowerMessage) -> str | None:
        site, now = self._sites[message.metadata.dst_node_id], self._time.now_s
        training = message.metadata.message_type == "train"
        if training and site.next_up_s(now) > now:
            return None
        (pushed,) = self._inner.push_messages([message])
        self._coming[pushed] = self._worked(site, pushed, message) if training else _Coming(now, self._reply(pushed))
        return pushed

    def _worked(self, site: SiteTime, pushed: str, message: FlowerMessage) -> _Coming:
        number, size = int(message.metadata.group_id), wire.array_bytes(message.content)
        reply = self._inner.fail(pushed) if site.fails(number) else self._reply(pushed)
        size += wire.array_bytes(reply.content) if reply.has_content() else 0
        return _Coming(site.next_up_s(self._time.now_s + site.work_s(number, size_bytes=size)), reply)

    def _reply(self, pushed: str) -> FlowerMessage:
        (reply,) = self._inner.pull_messages([pushed])
        return reply

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[FlowerMessage]:
        """Return the replies whose time has come, the earliest first."""
        there = [i for i in message_ids if i in self._coming and self._coming[i].at <= self._time.now_s]
        return [self._coming.pop(i).reply for i in sorted(there, key=lambda i: self._coming[i].at)]

    def next_reply_s(self, message_ids: Iterable[str]) -> float:
        """Return when the first of the replies to these messages comes."""
        return min((self._coming[i].at for i in message_ids if i in self._coming), default=inf)

    def forget(self, message_ids: Iterable[str]) -> None:
        """Drop replies that nobody waits for any more."""
        for message_id in message_ids:
            self._coming.pop(message_id, None)


def virtual_runtime(model: Availability) -> Runtime:
    """Return what plays the rounds of a run over sites that are as `model` says, for `simulations.stages.play`."""

    def play(
        sites: VirtualSites,
        job: ServerJob,
        state: ServerState,
        deliver: Callable[[Outcome], None],
        progress: Progress,
    ) -> None:
        from client.app import make_app

        client = make_app(lambda context: sites.trainer(job.sites[int(context.node_config["partition-id"])]))
        times = {site: SiteTime(model, job.seed, site) for site in job.sites}
        with task_identity():
            time = VirtualTime()
            grid = VirtualGrid(InProcessGrid(client, job.sites), times, time)
            job = replace(job, deadline_s=model.deadline_s, connect_s=None)
            deliver(run_rounds(grid, job, state, progress=progress, clock=time.clock()))

    return play
