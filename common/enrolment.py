"""An enrolment: what a hospital gives the coordinator to become a site. Its name and its two public keys.

The file is signed with the site's own signing key, which proves that the sender has it. It proves nothing of who the
sender is: the fingerprints are compared on another channel, such as the telephone.
"""

import json
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common import keys
from common.errors import UserError
from common.files import canonical_json, write_json
from common.names import SiteName

MAX_BYTES = 64 * 1024


class Enrolment(BaseModel):
    """A site's name, its transport key (OpenSSH, EC P-384) and its signing key (`common.keys`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal[1] = 1
    site: SiteName
    transport_key: str = Field(max_length=1000)
    signing_key: str = Field(max_length=100)


class _Signed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    enrolment: Enrolment
    signature: str = Field(max_length=200)


def write_enrolment(path: Path, enrolment: Enrolment, key: Ed25519PrivateKey) -> None:
    """Write the file that the coordinator gets."""
    content = enrolment.model_dump()
    write_json(path, {"enrolment": content, "signature": keys.sign(key, _signed_bytes(enrolment))})


def read_enrolment(path: Path) -> Enrolment:
    """Return a checked enrolment. Raises UserError: not such a file, a wrong key, a signature by another key."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path} is larger than {MAX_BYTES} bytes; it is no enrolment file")
        signed = _Signed.model_validate(json.loads(path.read_bytes()))
    except OSError as error:
        raise UserError(f"enrolment file {path} cannot be read ({error.strerror})") from None
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise UserError(f"{path} is no enrolment file: {where}: {error.errors()[0]['msg']}") from None
    except (ValueError, RecursionError):
        raise UserError(f"{path} is no enrolment file; `fedpeft site init` makes one, SITE.enrol") from None
    keys.transport_pem(signed.enrolment.transport_key)
    keys.verify(signed.enrolment.signing_key, _signed_bytes(signed.enrolment), signed.signature)
    return signed.enrolment


def _signed_bytes(enrolment: Enrolment) -> bytes:
    return b"fedpeft enrolment\n" + canonical_json(enrolment.model_dump())
