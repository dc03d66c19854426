"""The way to the SuperLink: TLS that is verified with the internal authority, and what its failures become."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx

from server.front_door.headers import Headers, downstream_headers
from server.front_door.settings import DoorSettings

KEPT_S = 2.0
"""An idle connection is dropped before the SuperLink, which does so after 5 s, could close it under a request."""


class UpstreamError(Exception):
    """The SuperLink gave no answer that may be passed on; `status` is one that a SuperNode survives."""

    def __init__(self, status: int, cause: str) -> None:
        super().__init__(cause)
        self.status = status


def verified(authority: Path) -> ssl.SSLContext:
    """Return a context that trusts this authority and no other."""
    context = ssl.create_default_context(cafile=str(authority))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def connect(settings: DoorSettings) -> httpx.AsyncClient:
    """Return the one client of a door: no proxy, netrc or redirect, and no more connections than sites may hold."""
    limits = httpx.Limits(max_connections=settings.limits.connections, keepalive_expiry=KEPT_S)
    timeout = settings.limits.upstream_timeout_s
    return httpx.AsyncClient(
        verify=verified(settings.upstream_ca), trust_env=False, follow_redirects=False, timeout=timeout, limits=limits
    )


class Upstream:
    """The SuperLink as the door sees it."""

    def __init__(self, client: httpx.AsyncClient, origin: str) -> None:
        self._client, self._origin = client, origin

    async def ask(self, method: str, path: str, headers: Headers, body: bytes | AsyncIterator[bytes]) -> httpx.Response:
        """Return the answer, its body unread; the caller closes it. Raises UpstreamError."""
        # Built here, not by the client, which would add an Accept-Encoding that the site did not send.
        named = {"sni_hostname": "localhost"}
        content = None if method == "GET" else body
        request = httpx.Request(method, self._origin + path, headers=headers, content=content, extensions=named)
        try:
            response = await self._client.send(request, stream=True)
        except httpx.TransportError as error:
            raise failure(error) from None
        if response.is_redirect or response.status_code < 200:
            await response.aclose()
            raise UpstreamError(502, f"status {response.status_code}")
        return response


def failure(error: httpx.TransportError) -> UpstreamError:
    """Return what a failed exchange is to a site: 504 after a time-out, 503 where the door is full, else 502."""
    if isinstance(error, httpx.PoolTimeout):
        return UpstreamError(503, type(error).__name__)
    return UpstreamError(504 if isinstance(error, httpx.TimeoutException) else 502, type(error).__name__)


async def read(response: httpx.Response) -> bytes:
    """Return the whole body as it was sent, and close the answer. Raises UpstreamError."""
    try:
        return b"".join([piece async for piece in response.aiter_raw()])
    except httpx.TransportError as error:
        raise failure(error) from None
    finally:
        await response.aclose()


def answer_headers(response: httpx.Response) -> Headers:
    """Return the headers that go back to the site."""
    return downstream_headers(response.headers.raw)
