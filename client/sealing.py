"""A site's own files, encrypted at rest: AES-256-GCM (NIST SP 800-38D, 2007) with a key in a file of the site's.

A sealed file is a head with the version, a random nonce of 96 bits, and the ciphertext with its tag. Its name is
authenticated with it, so that one file cannot stand in for another. What this does not show: that a file was put back
as it was earlier, or is gone. Nor does it help against who can read the key file: keep that one on another disk, or in
a secret store that is mounted when the trainer runs.
"""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from common.errors import CheckpointError, UserError
from common.files import write_bytes

KEY_BYTES: Final = 32
HEAD: Final = b"fedpeft sealed 1\n"
_NONCE_BYTES: Final = 12
_PRIVATE: Final = 0o600


@dataclass(frozen=True)
class Seal:
    """Encrypts and decrypts with one key of 32 bytes. With random nonces a key is good for 2^32 files."""

    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.key) != KEY_BYTES:
            raise UserError(f"a storage key has {KEY_BYTES} bytes, this one {len(self.key)}")

    def close(self, content: bytes, *, name: str) -> bytes:
        """Return `content` sealed under `name`; twice the same content gives two different texts."""
        nonce = os.urandom(_NONCE_BYTES)
        return HEAD + nonce + AESGCM(self.key).encrypt(nonce, content, _associated(name))

    def open(self, content: bytes, *, name: str) -> bytes:
        """Return what `close` was given under the same name.

        Raises:
            CheckpointError: not a sealed file, another key, another name, or any change.
        """
        file = PurePosixPath(name).name  # no folder of a hospital's in an error
        if not content.startswith(HEAD):
            raise CheckpointError(
                f"the site's file {file} is not sealed, and this site seals its files; was it written without the key?"
            )
        nonce, sealed = content[len(HEAD) :][:_NONCE_BYTES], content[len(HEAD) + _NONCE_BYTES :]
        try:
            return AESGCM(self.key).decrypt(nonce, sealed, _associated(name))
        except (InvalidTag, ValueError):
            raise CheckpointError(
                f"the site's file {file} cannot be opened: it was changed or moved, or the storage key is another one"
            ) from None


def _associated(name: str) -> bytes:
    return HEAD + name.encode()


def make_storage_key(path: Path) -> bytes:
    """Write a new key to `path` (32 random bytes, 0600) and return it; a file that is there is an error."""
    if path.exists():
        raise UserError(f"{path} exists already; a key is never written over: move it away first")
    key = os.urandom(KEY_BYTES)
    write_bytes(path, key, mode=_PRIVATE)
    return key


def read_storage_key(path: Path) -> bytes:
    """Return the key of a file. Raises UserError: unreadable, not 32 bytes, or others than its owner may use it."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            key = file.read(KEY_BYTES + 1)
    except OSError as error:
        raise UserError(f"storage key {path.name!r} cannot be read ({error.strerror})") from None
    if mode & 0o077:
        raise UserError(f"storage key {path.name!r} is open to others (mode {mode:04o}): chmod 600 it")
    if len(key) != KEY_BYTES:
        raise UserError(f"storage key {path.name!r} is not a file of {KEY_BYTES} bytes; `fedpeft site init` makes one")
    return key
