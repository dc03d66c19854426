import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from common.web.hosts import hosts_of
from common.web.token import Token
from server.dashboard.folders import Source
from server.dashboard.live import Live
from server.dashboard.routes import dashboard_app
from simulations.bench.long_run import write_run

TOKEN = Token("the-token")
Ask = Callable[..., httpx.Response]


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 8 rounds over 5 sites; not to be written to."""
    folder = tmp_path_factory.mktemp("runs") / "long"
    write_run(folder, rounds=8, sites=5, seed=1)
    return folder


@pytest.fixture
def ask() -> Ask:
    """Return a function that asks the dashboard over a source for one page."""

    def once(source: Source, path: str, method: str = "GET", **headers: str) -> httpx.Response:
        app = dashboard_app(Live(source), hosts_of("127.0.0.1"), TOKEN)

        async def asked() -> httpx.Response:
            transport: Any = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.request(method, path, headers=headers)

        return asyncio.run(asked())

    return once
