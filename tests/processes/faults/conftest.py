"""One live deployment for all fault tests of a session: see deployment.py."""

import runpy
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def deployment() -> Iterator[Any]:
    """A started federation; its folder has a short path, for the sockets in it."""
    program = runpy.run_path(str(Path(__file__).with_name("deployment.py")))
    with tempfile.TemporaryDirectory(prefix="fp-", ignore_cleanup_errors=True) as folder, ExitStack() as stack:
        yield program["live_federation"](Path(folder), stack)


@pytest.fixture
def federation(deployment: Any) -> Iterator[Any]:
    """The federation, with all of its sites there and honest when the test begins."""
    deployment.west.behaviour = None
    deployment.wire.mend()
    deployment.wait(deployment.all_online, what="three sites online", deadline_s=120)
    yield deployment
    deployment.west.behaviour = None
    deployment.wire.mend()
