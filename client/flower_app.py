"""What a SuperNode runs: `client.flower_app:app`, a ClientApp that has the site of `node_config["site"]` answer.

An app bundle needs to name this address only: all code is the one that the hospital installed.
"""

import os
from functools import cache
from pathlib import Path

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from client.hospital import Hospital
from client.site_folder import SiteFolder
from common.errors import UserError
from common.quiet import silence

app = ClientApp()


def site_of(context: Context) -> Hospital:
    """Return the hospital whose folder the SuperNode was started with."""
    silence(os.environ)  # this process was not started by the fedpeft command
    path = context.node_config.get("site")
    if not isinstance(path, str):
        raise UserError("the SuperNode lacks --node-config 'site=\"PATH\"', the site's folder")
    return _resident(path)


@cache
def _resident(path: str) -> Hospital:
    return Hospital(SiteFolder(Path(path)))


@app.train()
@app.evaluate()
@app.query()
def answer(message: Message, context: Context) -> Message:
    """Have the site answer."""
    content = site_of(context).respond(message.metadata.message_type, message.content)
    return Message(content, reply_to=message)
