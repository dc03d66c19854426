"""What a SuperNode's Runtime API gives to who executes its tasks. The only file that knows these names of Flower.

They are private to Flower and move with its releases: `tests/client/test_flower_runtime.py` says which, and fails when
they have. Each call raises `httpx.HTTPError` where the SuperNode cannot be reached or refuses.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event
from typing import Final

from flwr.app import Context, Message
from flwr.common.constant import SubStatus
from flwr.proto.runtime_pb2 import AcquireTaskRequest, SendTaskHeartbeatRequest
from flwr.supercore.constant import TaskType
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supernode.cli import flower_supernode as flower_supernode
from flwr.supernode.runtime.run_clientapp import pull_task_input, push_message, push_task_output

_ACQUIRE: Final = "/flwr.proto.Runtime/AcquireTask"
_SETTLE_S: Final = 0.05
"""A SuperNode offers a task some milliseconds before it has stored its message, and only then gives the message."""
_LOOK_S: Final = 0.2


class GivenUpError(Exception):
    """A SuperNode will never have the whole of a message: its run ended while it was on its way."""


@dataclass(frozen=True)
class Task:
    """One message that a SuperNode wants answered, with the app bundle of its run."""

    client: RuntimeHttpClient
    context: Context
    message: Message
    fab: bytes

    def answer(self, reply: Message) -> None:
        """Give the reply to the SuperNode, and end the task."""
        push_message(self.client, reply, self.context)
        push_task_output(self.client, self.context, SubStatus.COMPLETED, "")


@dataclass(frozen=True)
class Runtime:
    """The Runtime API of one SuperNode, on the loopback."""

    address: str
    _client: RuntimeHttpClient

    def acquire(self) -> str | None:
        """Return the token of a task that waits, or None."""
        found = self._client.AcquireTask(AcquireTaskRequest(supported_task_types=[TaskType.CLIENT_APP]))
        return found.token if found.HasField("task") and found.token else None

    @contextmanager
    def task(self, token: str, *, is_given_up: Callable[[], bool]) -> Iterator[Task]:
        """Give the task of a token: its message and its bundle, of which nothing is unpacked.

        Raises:
            GivenUpError: `is_given_up`, which is asked while the message is not whole, says so.
        """
        client = _client(self.address, RuntimeTokenHttpInterceptor(token))
        try:
            Event().wait(_SETTLE_S)
            yield _pulled(client, is_given_up)
        finally:
            client.close()

    def beat(self, token: str) -> bool:
        """Tell the SuperNode that a task is being worked on; False where it no longer knows the task."""
        client = _client(self.address, RuntimeTokenHttpInterceptor(token))
        try:
            return bool(client.SendTaskHeartbeat(SendTaskHeartbeatRequest()).success)
        finally:
            client.close()


@contextmanager
def open_runtime(address: str, secret: bytes) -> Iterator[Runtime]:
    """Give the Runtime API at `HOST:PORT`, whether it answers now or only later; `secret` is shared with it."""
    client = _client(address, SuperExecAuthHttpInterceptor(master_secret=secret, protected_methods={_ACQUIRE}))
    try:
        yield Runtime(address, client)
    finally:
        client.close()


def _pulled(client: RuntimeHttpClient, is_given_up: Callable[[], bool]) -> Task:
    """Pull a message as its parts come; a SuperNode that drops one says nothing, and Flower asks on for minutes."""
    with ThreadPoolExecutor(1, "pull") as pool:
        coming = pool.submit(pull_task_input, client)
        try:
            while wait([coming], timeout=_LOOK_S).not_done:
                if is_given_up():
                    raise GivenUpError
        finally:
            if not coming.done():
                client.close()  # which ends the pull at its next request
    message, context, _, fab = coming.result()
    return Task(client, context, message, fab.content)


def _client(address: str, interceptor: RuntimeTokenHttpInterceptor | SuperExecAuthHttpInterceptor) -> RuntimeHttpClient:
    """A client that retries nothing: after a restart a SuperNode knows no task of before."""
    version = RuntimeVersionHttpInterceptor(component_name="flwr-clientapp")
    return RuntimeHttpClient.from_server_address(
        server_address=address, insecure=True, root_certificates=None, interceptors=[version, interceptor]
    )
