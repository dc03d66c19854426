"""A connection to the trainer's socket: for the gateway, which forwards messages, and for whoever asks how it is.

What goes wrong becomes one of `common.failures.GATEWAY_FAILURES`, never the text of a failure.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event
from time import monotonic
from typing import Any, Final  # JSON values, and gRPC has no types

import grpc

from client.site_folder import SiteFolder
from client.trainer_socket import (
    ACTION_KEY,
    ANSWER,
    MAX_FRAME_BYTES,
    SERVICE,
    STATUS,
    TOKEN_KEY,
    size_options,
    socket_address,
)
from common.errors import FedpeftError

LOOK_S: Final = 10.0
"""How often a waiting caller looks whether the trainer still lives, and how long that look may take."""
MISSED_LOOKS: Final = 6
"""So many looks in a row that got no answer, and the trainer hangs."""

_READY_LOOK_S: Final = 2.0
_READY_POLL_S: Final = 0.1

_CHANNEL: Final = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),  # else a restarted trainer is found only after 11 s and more
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
]
_WORDS: Final = {
    grpc.StatusCode.UNAVAILABLE: "TRAINER_UNAVAILABLE",
    grpc.StatusCode.DEADLINE_EXCEEDED: "DEADLINE",
    grpc.StatusCode.CANCELLED: "DEADLINE",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "BUSY",
    grpc.StatusCode.OUT_OF_RANGE: "TOO_LARGE",
    grpc.StatusCode.PERMISSION_DENIED: "REFUSED_BY_POLICY",
    grpc.StatusCode.UNAUTHENTICATED: "TRAINER_UNAVAILABLE",
    grpc.StatusCode.INVALID_ARGUMENT: "MALFORMED_REQUEST",
    grpc.StatusCode.INTERNAL: "TRAINING_FAILED",
    grpc.StatusCode.UNKNOWN: "TRAINING_FAILED",
}


class TrainerFailure(FedpeftError):
    """The trainer gave no answer; `word` is one of a fixed set."""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


@dataclass(frozen=True)
class TrainerConnection:
    """A channel to the trainer of a site, which outlives restarts of it."""

    folder: SiteFolder
    channel: Any
    look_s: float = LOOK_S

    def answer(self, action: str, frame: bytes, *, deadline_s: float) -> bytes:
        """Return the trainer's answer to a message. Raises TrainerFailure."""
        if len(frame) > MAX_FRAME_BYTES:
            raise TrainerFailure("TOO_LARGE")
        metadata = ((ACTION_KEY, action), *self._credentials())
        call = self._method(ANSWER).future(frame, timeout=deadline_s, metadata=metadata)
        return self._result(call)

    def await_ready(self, patience_s: float) -> None:
        """Wait for a trainer that is being started. Raises TrainerFailure where it does not come."""
        end = monotonic() + patience_s
        while not self._lives(timeout_s=_READY_LOOK_S):
            if monotonic() >= end:
                raise TrainerFailure("TRAINER_UNAVAILABLE")
            Event().wait(_READY_POLL_S)

    def status(self, *, timeout_s: float = 2.0) -> dict[str, Any]:
        """Return what the trainer says of itself. Raises TrainerFailure."""
        call = self._method(STATUS).future(b"", timeout=timeout_s, metadata=self._credentials())
        found: dict[str, Any] = json.loads(_bytes_of(call))
        return found

    def _result(self, call: Any) -> bytes:
        """Wait for a call; a trainer that hangs is not waited for until the deadline, which may be hours away."""
        done = Event()
        call.add_done_callback(lambda _: done.set())
        missed = 0
        while not done.wait(self.look_s):
            missed = 0 if self._lives(timeout_s=self.look_s) else missed + 1
            if missed == MISSED_LOOKS:
                call.cancel()
                raise TrainerFailure("DEADLINE")
        return _bytes_of(call)

    def _lives(self, *, timeout_s: float) -> bool:
        try:
            self.status(timeout_s=timeout_s)
        except TrainerFailure:
            return False
        return True

    def _method(self, name: str) -> Any:
        return self.channel.unary_unary(f"/{SERVICE}/{name}")

    def _credentials(self) -> tuple[tuple[str, str], ...]:
        """Read the token anew: a trainer that was restarted has another."""
        try:
            return ((TOKEN_KEY, self.folder.token.read_text(encoding="ascii")),)
        except OSError:
            raise TrainerFailure("TRAINER_UNAVAILABLE") from None


def _bytes_of(call: Any) -> bytes:
    try:
        content: bytes = call.result()
        return content
    except grpc.RpcError as error:
        raise TrainerFailure(_WORDS.get(error.code(), "GATEWAY_ERROR")) from None
    except grpc.FutureCancelledError:
        raise TrainerFailure("DEADLINE") from None


@contextmanager
def connect(folder: SiteFolder, *, look_s: float = LOOK_S) -> Iterator[TrainerConnection]:
    """Give a connection to the trainer of a site, whether it runs now or only later."""
    with (
        socket_address(folder.socket) as address,
        grpc.insecure_channel(address, options=[*_CHANNEL, *size_options(MAX_FRAME_BYTES)]) as channel,
    ):
        yield TrainerConnection(folder, channel, look_s)
