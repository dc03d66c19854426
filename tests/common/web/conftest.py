import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from common.web.assets import collect
from common.web.base import base_app
from common.web.hosts import hosts_of

Ask = Callable[..., httpx.Response]


@pytest.fixture
def ask() -> Ask:
    """Return a function that asks an app of nothing but the shared files for one page."""

    def once(path: str, host: str = "localhost", **headers: str) -> httpx.Response:
        async def asked() -> httpx.Response:
            transport: Any = httpx.ASGITransport(base_app(collect([]), hosts_of("127.0.0.1")))
            async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
                return await client.get(path, headers={name.replace("_", "-"): text for name, text in headers.items()})

        return asyncio.run(asked())

    return once
