"""Flower's private names, in one place: what this file asks of them, they must still be."""

import inspect
from collections.abc import Callable, Iterable
from importlib.metadata import version
from threading import Event
from typing import Any

import pytest
from flwr.common.constant import SubStatus
from flwr.proto.runtime_pb2 import AcquireTaskRequest, AcquireTaskResponse, PullTaskInputResponse
from flwr.supercore.inflatable.inflatable_utils import ObjectUnavailableError, pull_objects
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supernode.runtime import run_clientapp

from client import flower_runtime
from client.flower_runtime import Runtime

ADVICE = "Flower moved a private name: mend client/flower_runtime.py, then the versions in this test"


def parameters(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_the_version_is_one_that_these_names_were_read_in() -> None:
    assert version("flwr").startswith(("1.41.", "1.42.")), ADVICE


@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        (run_clientapp.pull_task_input, ["client"]),
        (run_clientapp.push_message, ["client", "message", "context"]),
        (run_clientapp.push_task_output, ["client", "context", "sub_status", "details"]),
        (RuntimeTokenHttpInterceptor, ["token"]),
        (RuntimeVersionHttpInterceptor, ["component_name"]),
        (SuperExecAuthHttpInterceptor, ["master_secret", "protected_methods"]),
        (RuntimeHttpClient.AcquireTask, ["self", "request"]),
        (RuntimeHttpClient.SendTaskHeartbeat, ["self", "request"]),
        (RuntimeHttpClient.close, ["self"]),
        (
            RuntimeHttpClient.from_server_address,
            ["server_address", "insecure", "root_certificates", "interceptors", "retry_invoker"],
        ),
    ],
)
def test_the_names_take_what_they_are_given(function: Callable[..., Any], wanted: list[str]) -> None:
    assert parameters(function) == wanted, ADVICE


def fields(message: Any) -> Iterable[str]:
    return message.DESCRIPTOR.fields_by_name


def test_the_messages_have_the_fields_that_are_read() -> None:
    assert {"supported_task_types"} <= set(fields(AcquireTaskRequest)), ADVICE
    assert {"task", "token"} <= set(fields(AcquireTaskResponse)), ADVICE
    assert {"context", "run", "fab", "task_id"} <= set(fields(PullTaskInputResponse)), ADVICE
    assert SubStatus.COMPLETED == "completed", ADVICE


def test_the_executor_does_in_this_order_what_the_gateway_does() -> None:
    """The bundle is pulled apart from the message, and unpacked only by whoever calls for it."""
    pulled = inspect.getsource(run_clientapp.pull_task_input)
    assert "install_from_fab" not in pulled
    assert "install_from_fab(" in inspect.getsource(run_clientapp.run_clientapp)


class Dropping:
    """Flower's client at a SuperNode that offered a message and never gets its parts."""

    def __init__(self) -> None:
        self.is_closed, self.asked = False, Event()

    def pull(self, _object: str) -> bytes:
        """As `RuntimeHttpClient.PullObject` has it, also after `close`."""
        if self.is_closed:
            raise RuntimeError("Cannot send a request, as the client has been closed.")
        self.asked.set()
        raise ObjectUnavailableError(_object)

    def close(self) -> None:
        self.is_closed = True


def test_a_message_that_is_given_up_is_asked_for_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """By Flower's own pulling, which alone would go on for minutes."""
    client, seen = Dropping(), []
    monkeypatch.setattr(flower_runtime, "_client", lambda *_: client)
    monkeypatch.setattr(
        flower_runtime, "pull_task_input", lambda it: pull_objects(["it"], it.pull, initial_backoff=0.02)
    )

    def is_given_up() -> bool:
        seen.append(client.asked.is_set())
        return len(seen) == 3

    with pytest.raises(flower_runtime.GivenUpError), Runtime("", client).task("t", is_given_up=is_given_up):  # type: ignore[arg-type]
        raise AssertionError("there is no task")
    assert seen == [True, True, True]
    assert client.is_closed


def test_a_closed_client_of_flower_s_asks_for_nothing() -> None:
    client = RuntimeHttpClient.from_server_address(
        server_address="127.0.0.1:9", insecure=True, root_certificates=None, interceptors=[]
    )
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.AcquireTask(AcquireTaskRequest())
