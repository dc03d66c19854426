"""The SuperNode's app: each message goes to the site that the context names, and no failure says more than a word."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, Message, RecordDict

from client.flower_app import app, site_of
from common import wire
from common.errors import UserError
from common.protocol import Refusal, Reply, Request
from common.state import AdapterSchema
from simulations.inprocess import task_identity


def context(**node_config: Path) -> Context:
    config = {key: str(path) for key, path in node_config.items()}
    return Context(run_id=1, node_id=2, node_config=config, state=RecordDict(), run_config={})  # type: ignore[arg-type]


def sent(content: RecordDict, kind: str) -> Message:
    message = wire.message(content, kind=kind, node=2, round_number=1)
    message.metadata.__dict__["_message_id"] = "1"
    return message


def test_the_site_of_the_context_answers(make_site: Callable[..., Any], ask_closing: Callable[..., Request]) -> None:
    site = make_site()
    site.approve()
    request = ask_closing(site.bundle)
    content = wire.encode_request(request, wire.pack_adapter(request.shared, site.bundle.schema))
    with task_identity():
        name = app(sent(wire.encode_query(), "query"), context(site=site.folder.path))
        reply = app(sent(content, "evaluate"), context(site=site.folder.path))
    assert wire.decode_name(name.content) == "east"
    assert isinstance(site.read(reply.content, request), Reply)


def test_no_text_of_a_failure_leaves(tmp_path: Path) -> None:
    with task_identity():
        reply = app(sent(wire.encode_query(), "query"), context(site=tmp_path / "p-1"))
    assert wire.decode_answer(reply.content, AdapterSchema(()), classes=2) == Refusal("TRAINING_FAILED")
    assert "p-1" not in str(reply.content)


def test_a_supernode_without_a_site_is_told_what_it_lacks() -> None:
    with pytest.raises(UserError, match="--node-config"):
        site_of(context())
