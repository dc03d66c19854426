"""The token for what changes something: random at every start, in a header only, compared in constant time.

A browser sends no such header by itself, so another site's page cannot ask in the user's name.
"""

import hmac
import secrets
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError
from common.files import write_bytes

SCHEME = "bearer"


@dataclass(frozen=True, repr=False)
class Token:
    """Who knows it may write."""

    text: str

    def matches(self, header: str | None) -> bool:
        """Whether an `Authorization` header carries it.

        >>> Token("abc").matches("Bearer abc"), Token("abc").matches("Bearer abd"), Token("abc").matches(None)
        (True, False, False)
        """
        scheme, _, given = (header or "").partition(" ")
        return scheme.lower() == SCHEME and hmac.compare_digest(given.strip().encode(), self.text.encode())


def new_token() -> Token:
    """Return a fresh token of 256 random bits."""
    return Token(secrets.token_urlsafe(32))


def write_token(token: Token, path: Path) -> None:
    """Write the token where only this user can read it. Raises UserError."""
    try:
        write_bytes(path, token.text.encode() + b"\n", mode=0o600)
    except OSError as error:
        raise UserError(f"--token-file {path} cannot be written ({error.strerror}); choose another file") from None
