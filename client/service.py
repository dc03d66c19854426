"""The trainer's side of its socket: one message at a time is answered, by the hospital's own code.

A question that is asked again while it is being answered joins the first asking; another one meanwhile is BUSY. An
answer is finished and stored even where nobody waits for it any more. No text of a failure goes out.
"""

import hmac
import logging
import os
import re
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final, NoReturn, Protocol  # gRPC has no types

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from client.site_folder import SiteFolder
from client.trainer_socket import (
    ACTION_KEY,
    ANSWER,
    MAX_FRAME_BYTES,
    SERVICE,
    STATUS,
    TOKEN_KEY,
    give,
    new_token,
    prepare_folder,
    remove_stale,
    size_options,
    socket_address,
)
from common import wire
from common.errors import SchemaError, UserError
from common.files import canonical_json

SITE_LOG: Final = logging.getLogger("fedpeft.site")
_ACTION: Final = re.compile(r"[a-z][a-z._-]{0,31}")
_CALLS: Final = 16
_LOOK_S: Final = 0.5


class Responder(Protocol):
    """The hospital behind the socket."""

    def respond(self, action: str, content: wire.Content) -> wire.Content:
        """Return the gated answer to a message, or a refusal."""
        ...

    def status(self) -> Mapping[str, Any]:
        """Return how the site is, for the site itself."""
        ...


@dataclass
class Desk:
    """Where messages are worked on, one at a time."""

    hospital: Responder
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "answer"))
    _lock: Lock = field(default_factory=Lock)
    _question: str = ""
    _answer: "Future[bytes] | None" = None

    def ask(self, action: str, content: wire.Content) -> "Future[bytes] | None":
        """Return what will be the answer, the same for the same question; None while another one is answered."""
        question = f"{action} {wire.digest_of(content)}"
        with self._lock:
            if self.is_busy:
                return self._answer if question == self._question else None
            self._question = question
            self._answer = self._pool.submit(self._work, action, content)
            return self._answer

    def begin_with(self, work: Callable[[], None]) -> None:
        """Do some work before the first message is answered, in the same thread: what it prepares is that thread's."""
        self._pool.submit(work).add_done_callback(_note_failure)

    @property
    def is_busy(self) -> bool:
        """Whether a message is being answered."""
        return self._answer is not None and not self._answer.done()

    def finish(self, grace_s: float) -> bool:
        """Wait for the answer that is being made; say whether there is none any more."""
        with self._lock:  # a message that has just come may be worked on before it is noted
            coming = self._answer
        return coming is None or not wait([coming], timeout=grace_s).not_done

    def _work(self, action: str, content: wire.Content) -> bytes:
        return wire.to_frame(self.hospital.respond(action, content))


def _note_failure(done: "Future[None]") -> None:
    failure = done.exception()
    if failure is not None:
        SITE_LOG.error("what is done before the first message failed", exc_info=failure)


@dataclass(frozen=True)
class _Calls:
    """The two methods; what gRPC gives as context knows the caller."""

    desk: Desk
    token: str

    def answer(self, frame: bytes, context: Any) -> bytes:
        """Answer a message, once to whoever asks the same."""
        sent = self._admitted(context)
        action = sent.get(ACTION_KEY, "")
        if not _ACTION.fullmatch(action):
            _abort(context, grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_REQUEST")
        coming = self.desk.ask(action, _content(frame, context))
        if coming is None:
            _abort(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "BUSY")
        return _await(coming, context)

    def status(self, _: bytes, context: Any) -> bytes:
        """Say how the trainer is."""
        self._admitted(context)
        return canonical_json({**self.desk.hospital.status(), "busy": self.desk.is_busy})

    def _admitted(self, context: Any) -> dict[str, str]:
        sent = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        if not hmac.compare_digest(sent.get(TOKEN_KEY, "").encode(), self.token.encode()):
            _abort(context, grpc.StatusCode.UNAUTHENTICATED, "WRONG_TOKEN")
        return sent


def _abort(context: Any, code: grpc.StatusCode, word: str) -> NoReturn:
    context.abort(code, word)
    raise AssertionError("gRPC's abort raises")


def _content(frame: bytes, context: Any) -> wire.Content:
    try:
        return wire.from_frame(frame)
    except SchemaError:
        _abort(context, grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_REQUEST")


def _await(coming: "Future[bytes]", context: Any) -> bytes:
    """Return the answer; the wait ends when the caller has gone, the work does not."""
    while context.is_active() and wait([coming], timeout=_LOOK_S).not_done:
        continue
    if not coming.done():
        _abort(context, grpc.StatusCode.CANCELLED, "CALLER_GONE")
    failure = coming.exception()
    if failure is not None:
        SITE_LOG.error("a message could not be answered", exc_info=failure)
        _abort(context, grpc.StatusCode.INTERNAL, "TRAINING_FAILED")
    answer = coming.result()
    if len(answer) > MAX_FRAME_BYTES:
        _abort(context, grpc.StatusCode.OUT_OF_RANGE, "TOO_LARGE")
    return answer


@dataclass
class Service:
    """A running service; `stop` ends it."""

    desk: Desk
    server: Any
    health: Any
    _held: ExitStack

    def stop(self, grace_s: float) -> bool:
        """Take no more messages, and say whether the one that was being answered was finished within the grace."""
        self.health.set(SERVICE, health_pb2.HealthCheckResponse.NOT_SERVING)
        finished = self.desk.finish(grace_s)
        self.server.stop(1 if finished else 0).wait()
        self._held.close()
        return finished


def serve(
    hospital: Responder, folder: SiteFolder, *, group: str | None = None, max_bytes: int = MAX_FRAME_BYTES
) -> Service:
    """Serve the hospital on the site's socket; it is ready when this returns.

    Raises:
        UserError: a trainer of this site runs already, or the socket cannot be made.
    """
    held, desk = ExitStack(), Desk(hospital)
    held.callback(os.close, prepare_folder(folder, group=group))
    remove_stale(folder.socket)
    calls = _Calls(desk, new_token(folder.token, group=group))
    server = grpc.server(ThreadPoolExecutor(_CALLS, "call"), options=size_options(max_bytes))
    methods = {ANSWER: calls.answer, STATUS: calls.status}
    handlers = {name: _handler(method) for name, method in methods.items()}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    state = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(state, server)
    address = held.enter_context(socket_address(folder.socket))
    _bind(server, address)
    give(folder.socket, 0o660 if group else 0o600, group)
    server.start()
    state.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
    return Service(desk, server, state, held)


def _handler(method: Callable[[bytes, Any], bytes]) -> Any:
    return grpc.unary_unary_rpc_method_handler(method)


def _bind(server: Any, address: str) -> None:
    try:
        server.add_insecure_port(address)  # a file, not a port: its folder says who may connect
    except RuntimeError:
        raise UserError("the trainer's socket cannot be made; is the disk full, or its folder read-only?") from None
