"""What a SuperNode runs: `client.flower_app:app`, a ClientApp that has the site of `node_config["settings"]` answer.

An app bundle needs to name this address only: all code is the one that the hospital installed.
"""

import os
from collections.abc import Callable

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp

from client.app import guarded, respond
from client.site import resident_site
from client.trainer import Trainer
from common import wire
from common.errors import UserError
from common.quiet import silence

Answering = Callable[[Message, Context], RecordDict]


def app_of(trainer_of: Callable[[Context], Trainer]) -> ClientApp:
    """Return an app over sites that are opened when the first message comes: what a study is, is not known before."""

    def work(message: Message, context: Context) -> RecordDict:
        trainer = trainer_of(context)
        return respond(message.content, trainer, trainer.bundle.schema)

    def name(message: Message, context: Context) -> RecordDict:  # noqa: ARG001 # same form as work
        return wire.encode_name(trainer_of(context).name)

    app = ClientApp()
    app.train()(_bordered(work))
    app.evaluate()(_bordered(work))
    app.query()(_bordered(name))
    return app


def _bordered(answering: Answering) -> Callable[[Message, Context], Message]:
    def handle(message: Message, context: Context) -> Message:
        return Message(guarded(lambda: answering(message, context)), reply_to=message)

    return handle


def site_of(context: Context) -> Trainer:
    """Return the site whose settings file the SuperNode was started with."""
    silence(os.environ)  # this process was not started by the fedpeft command
    path = context.node_config.get("settings")
    if not isinstance(path, str):
        raise UserError("the SuperNode lacks --node-config 'settings=\"PATH\"', the site's settings file")
    return resident_site(path)


app = app_of(site_of)
