"""What a SuperNode runs: `client.flower_app:app`, a ClientApp that has the site of `node_config["settings"]` answer.

An app bundle needs to name this address only: all code is the one that the hospital installed.
"""

import os

from flwr.app import Context

from client.app import make_app
from client.site import resident_site
from client.trainer import Trainer
from common.errors import UserError
from common.quiet import silence


def site_of(context: Context) -> Trainer:
    """Return the site whose settings file the SuperNode was started with."""
    silence(os.environ)  # this process was not started by the fedpeft command
    path = context.node_config.get("settings")
    if not isinstance(path, str):
        raise UserError("the SuperNode lacks --node-config 'settings=\"PATH\"', the site's settings file")
    return resident_site(path)


app = make_app(site_of)
