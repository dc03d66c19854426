"""The coordinator's signature over a bundle, in a file beside it: `endorsement.json`.

A bundle's digest covers the study, the adapter and the base model's manifest; the signature covers that digest, so that
a site which trusts the coordinator's key knows what it agrees to. The bundle's digest also binds the roster of sites.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common import keys
from common.bundle import Bundle, content_of
from common.errors import BundleError
from common.files import write_json

FILE = "endorsement.json"


@dataclass(frozen=True)
class Endorsement:
    """Who signed which bundle: the coordinator's public signing key, and the bundle's digest."""

    coordinator: str
    bundle: str


def endorse(folder: Path, bundle: Bundle, key: Ed25519PrivateKey) -> Endorsement:
    """Sign the bundle that was read from `folder`, and leave the signature there."""
    made = Endorsement(keys.public_text(key), bundle.digest)
    write_json(folder / FILE, {**vars(made), "signature": keys.sign(key, _signed_bytes(made))})
    return made


def read_endorsement(folder: Path, bundle: Bundle) -> Endorsement:
    """Return the checked endorsement of `bundle`; whether its coordinator is trusted is the caller's matter.

    Raises:
        BundleError: there is none, or it is not of this bundle. SignatureError: it is not by the key that it names.
    """
    try:
        content = json.loads(content_of(folder, FILE))
        found, signature = Endorsement(content["coordinator"], content["bundle"]), str(content["signature"])
    except BundleError:
        raise BundleError(
            f"bundle {folder} is not signed; the coordinator signs it: fedpeft server sign {folder}"
        ) from None
    except (ValueError, TypeError, KeyError, RecursionError):
        raise BundleError(f"bundle {folder}: {FILE} cannot be read; ask the coordinator for it again") from None
    keys.verify(str(found.coordinator), _signed_bytes(found), signature)
    if found.bundle != bundle.digest:
        raise BundleError(f"bundle {folder} has digest {bundle.digest}, its signature is of {found.bundle}")
    return found


def _signed_bytes(endorsement: Endorsement) -> bytes:
    return f"fedpeft bundle\n{endorsement.coordinator}\n{endorsement.bundle}\n".encode()
