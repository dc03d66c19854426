"""The Flower ClientApp: a thin border around a site. Whatever goes wrong inside, only a fixed word goes out."""

import logging
from collections.abc import Callable
from typing import Protocol

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp

from common import wire
from common.compression import Compression
from common.errors import RefusedError, SchemaError, UserError
from common.protocol import REASONS, Answer, Refusal, Request, asked_schema
from common.state import AdapterSchema

SITE_LOG = logging.getLogger("fedpeft.site")
"""The site's own log; the only place that ever sees an exception's text."""


class SiteEndpoint(Protocol):
    """What answers for a site of one study: its trainer."""

    @property
    def name(self) -> str:
        """The site's name in the study."""
        ...

    @property
    def schema(self) -> AdapterSchema:
        """The whole adapter of the site's study: which study a site is of, only the site knows."""
        ...

    @property
    def compression(self) -> Compression:
        """How the site's study has updates compressed."""
        ...

    def answer(self, request: Request) -> Answer:
        """Return the gated reply, or a refusal."""
        ...


Read = Callable[[RecordDict, AdapterSchema], Request]
"""Decodes a request, as `common.wire.decode_request`."""


def make_app(site_of: Callable[[Context], SiteEndpoint], read: Read = wire.decode_request) -> ClientApp:
    """Return the app that answers train, evaluate and query messages of a simulation.

    site_of: finds the site from Flower's context, when a message comes: by `node_config["partition-id"]`.
    read: may know a message that many sites are sent.
    """
    app = ClientApp()

    def work(message: Message, context: Context) -> Message:
        content = guarded(lambda: respond(message.content, site_of(context), read))
        return Message(content, reply_to=message)

    def query(message: Message, context: Context) -> Message:
        content = guarded(lambda: wire.encode_name(site_of(context).name))
        return Message(content, reply_to=message)

    app.train()(work)
    app.evaluate()(work)
    app.query()(query)
    return app


def respond(content: RecordDict, site: SiteEndpoint, read: Read = wire.decode_request) -> RecordDict:
    """Decode a request, have the site answer it, encode the answer. Raises whatever goes wrong."""
    try:
        request = read(content, site.schema)
        asked = asked_schema(site.schema, request.kind, request.plan)
    except SchemaError:
        SITE_LOG.warning("a message is not a request of this study", exc_info=True)
        raise RefusedError("MALFORMED_REQUEST") from None
    return wire.encode_answer(site.answer(request), site.compression.wire_schema(asked))


def guarded(work: Callable[[], RecordDict]) -> RecordDict:
    """Return what `work` makes; any failure becomes a refusal with a fixed word, its text stays in the site's log."""
    try:
        return work()
    except RefusedError as error:
        return _refusal(error.reason)
    except (UserError, OSError) as error:  # a mistake or a disk that the hospital can mend: one line says it all
        SITE_LOG.error("a message could not be answered: %s", error)
        return _refusal("TRAINING_FAILED")
    except Exception:  # noqa: BLE001 # the border: no text of any failure may leave the site
        SITE_LOG.exception("a message could not be answered")
        return _refusal("TRAINING_FAILED")


def _refusal(reason: str) -> RecordDict:
    known = reason if reason in REASONS else "TRAINING_FAILED"
    return wire.encode_answer(Refusal(known), AdapterSchema(()))
