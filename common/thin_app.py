"""The thin app: Flower's app bundle (FAB) without code, which only names modules that both sides have installed.

A coordinator submits it, and a site computes from its own installation which hash it must have; whatever else comes is
refused before anything of it is unpacked. The bundle is stored, not compressed, with fixed dates: the same bytes
wherever it is built.
"""

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

from flwr.cli.build import build_fab_from_files  # the only place that knows Flower's builder

from common.files import write_bytes

SERVER_APP: Final = "server.flower_app:app"
CLIENT_APP: Final = "client.gateway_app:app"

# The version counts bundles, not releases of fedpeft: it changes only when this text does.
_PROJECT: Final = f"""\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "fedpeft-thin"
version = "1.0.0"
description = "No code: names the modules of the installed fedpeft"
license = {{ file = "LICENSE" }}
dependencies = ["flwr>=1.41.0"]

[tool.flwr.app]
publisher = "fedpeft"
fab-format-version = 1
flwr-version-target = "1.41.0"

[tool.flwr.app.components]
serverapp = "{SERVER_APP}"
clientapp = "{CLIENT_APP}"

[tool.flwr.app.config]
folder = ""
"""
_LICENSE: Final = """\
fedpeft, Copyright the fedpeft authors. Licensed under the Apache License, Version 2.0.
You may obtain a copy of the licence at http://www.apache.org/licenses/LICENSE-2.0
"""
_FILES: Final = {"pyproject.toml": _PROJECT.encode(), "LICENSE": _LICENSE.encode()}


def thin_app(folder: Path) -> Path:
    """Write the thin app, which `flwr run FOLDER` submits, and return its folder."""
    for name, content in _FILES.items():
        write_bytes(folder / name, content, durable=False)
    return folder


@cache
def expected_fab_hash() -> str:
    """Return the hash that the thin app's bundle has: what this installation would submit, or accept."""
    with _without_advice():
        return fab_hash(build_fab_from_files(_FILES)[0])


def fab_hash(fab: bytes) -> str:
    """Return the hash by which SuperLink and SuperNodes know a bundle: SHA-256 of its bytes, 64 hex digits."""
    return hashlib.sha256(fab).hexdigest()


@contextmanager
def _without_advice() -> Iterator[None]:
    """Flower's builder uses what a newer pathspec advises against."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield
