"""Who may read a dashboard that others can reach: whoever gives the token as the password that a browser asks for."""

import base64
import binascii

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from common.web.token import SCHEME, Token

_ASK = {"WWW-Authenticate": 'Basic realm="fedpeft site", charset="UTF-8"'}


class TokenOnly:
    """Answers 401 to whoever lacks the token (RFC 7617, 2015: any user name, the token as the password)."""

    def __init__(self, app: ASGIApp, token: Token) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        if scope["type"] == "http" and not knows(self._token, Headers(scope=scope).get("authorization")):
            text = (
                "This page asks for the token that was written when the dashboard started; give it as the password.\n"
            )
            await PlainTextResponse(text, status_code=401, headers=_ASK)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def knows(token: Token, header: str | None) -> bool:
    """Whether an `Authorization` header, Basic or Bearer, carries the token.

    >>> knows(Token("abc"), "Basic " + base64.b64encode(b"any:abc").decode()), knows(Token("abc"), "Basic abc")
    (True, False)
    """
    scheme, _, given = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return token.matches(header)
    try:
        _, _, password = base64.b64decode(given.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return False
    return token.matches(f"{SCHEME} {password}")
