"""`client.gateway_app:app`, the ClientApp that a thin app names: it hands each message to the trainer's socket.

The resident gateway (`client.gateway`) does the same without loading any app. This one is for Flower's own executor,
which starts a process per message; the site's folder is then in the environment, `FEDPEFT_SITE`.
"""

import os
from pathlib import Path
from time import time
from typing import Final

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from client.site_folder import SiteFolder
from client.trainer_connection import TrainerConnection, TrainerFailure, connect
from common import wire
from common.errors import UserError
from common.failures import failure_reply

SITE: Final = "FEDPEFT_SITE"
"""The environment variable with the site's folder."""

PATIENCE_S: Final = 30.0
"""A trainer is up again some 10 s after it was killed."""

_MAX_WAIT_S: Final = 24 * 3600.0

app = ClientApp()


def forward(message: Message, trainer: TrainerConnection, *, patience_s: float = PATIENCE_S) -> Message:
    """Return the trainer's answer to a message, or a failure in a fixed word.

    A trainer that is killed at work is told at once; a message that comes while it starts waits for `patience_s`, since
    a coordinator asks again at once, and only a few times.
    """
    left_s = message.metadata.created_at + message.metadata.ttl - time()
    frame = wire.to_frame(message.content)
    try:
        trainer.await_ready(patience_s)
        answer = trainer.answer(message.metadata.message_type, frame, deadline_s=min(max(left_s, 1.0), _MAX_WAIT_S))
        return Message(wire.from_frame(answer), reply_to=message)
    except TrainerFailure as failure:
        return failure_reply(failure.word, message)


def site_of_environment() -> SiteFolder:
    """Return the folder of the site that this process is of."""
    path = os.environ.get(SITE)
    if not path:
        raise UserError(f"the environment lacks {SITE}, the site's folder; start the site by fedpeft site start DIR")
    return SiteFolder(Path(path))


def _forward(message: Message, _: Context) -> Message:
    with connect(site_of_environment()) as trainer:
        return forward(message, trainer)


app.train()(_forward)
app.evaluate()(_forward)
app.query()(_forward)
