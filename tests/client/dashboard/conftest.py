"""A real site on its disk, and its dashboard asked without a network."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from client.dashboard.routes import site_app
from client.journal import Entry, Journal
from client.site_folder import SiteFolder
from common.keys import read_signing_key
from common.web.hosts import hosts_of
from common.web.token import Token

Pages = Callable[..., httpx.Response]
STUDY = "sha256:" + "5" * 64
ENTRY = Entry("released", "east", STUDY, "run-1", 1, "train", None, 4, 1000, "sha256:d", ["validation auroc"], [], 9)


@pytest.fixture
def pages() -> Callable[..., Pages]:
    """`pages(folder, token=)`: a function that asks that site's dashboard for one address."""

    def of(folder: SiteFolder, token: Token | None = None) -> Pages:
        app: Any = site_app(folder, hosts_of("127.0.0.1"), token)

        def ask(path: str, **headers: str) -> httpx.Response:
            async def asked() -> httpx.Response:
                transport = httpx.ASGITransport(app)
                async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                    return await client.get(path, headers=headers)

            return asyncio.run(asked())

        return ask

    return of


@pytest.fixture
def note() -> Callable[..., None]:
    """`note(folder, decision=...)`: another line in the site's journal, signed as the trainer signs."""

    def append(folder: SiteFolder, **changes: Any) -> None:
        key = read_signing_key(folder.signing_key)
        Journal(folder.journal, durable=False, key=key).append(Entry(**{**vars(ENTRY), **changes}))

    return append


@pytest.fixture
def cells() -> Callable[[str, str], list[list[str]]]:
    """`cells(html, id)`: the texts of a table's body, a list for each row."""
    import re
    from html import unescape

    def read(html: str, name: str) -> list[list[str]]:
        body = html.split(f'id="{name}"')[1].split("<tbody>")[1].split("</tbody>")[0]
        rows = re.findall(r"<tr>(.*?)</tr>", body, re.S)
        found = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S) for row in rows]
        return [[unescape(re.sub(r"<small>.*?</small>", "", cell)).strip() for cell in row] for row in found]

    return read
