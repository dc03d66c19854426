"""A real site's signature over its reply, which nobody between its trainer and the server can change or make.

Flower signs only the time of a SuperNode's requests, and a SuperLink does not tie a reply to the node that was asked.
The site's own key (Ed25519, enrolled) signs the digest of the content with the question that it answers, so that
neither gateway, front door nor SuperLink can pass off a reply as another site's, or as one of another round or run. So
are a refusal and what is said before round 1: nobody else can say no in a site's name.
"""

from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import ConfigRecord, RecordDict

from common import keys, wire
from common.errors import SchemaError
from common.files import canonical_json
from common.preflight import Question
from common.protocol import AskedQuestion, Kind

_RECORD: Final = "signature"
_MAX_CHARACTERS: Final = 200


@dataclass(frozen=True)
class Asked:
    """A question by its values."""

    study: str
    run: str
    round: int
    kind: Kind


def sign_reply(content: RecordDict, question: AskedQuestion, key: Ed25519PrivateKey) -> RecordDict:
    """Return the content of a reply with the site's signature beside it."""
    return _signed(content, _reply_bytes(content, question), key)


def sign_readiness(content: RecordDict, question: Question, key: Ed25519PrivateKey) -> RecordDict:
    """Return the content of an answer before round 1 with the site's signature beside it."""
    return _signed(content, _readiness_bytes(content, question), key)


def without_signature(content: RecordDict) -> RecordDict:
    """Return the content that `sign_reply` was given, whether or not it is signed."""
    return RecordDict({name: record for name, record in content.items() if name != _RECORD})


def check_signature(content: RecordDict, question: AskedQuestion, public: str) -> None:
    """Raise SchemaError unless the reply is signed by the key `public`, and as the answer to this question."""
    _check(content, _reply_bytes(without_signature(content), question), public)


def check_readiness(content: RecordDict, question: Question, public: str) -> None:
    """Raise SchemaError unless the answer is signed by the key `public`, and to this very question."""
    _check(content, _readiness_bytes(without_signature(content), question), public)


def _signed(content: RecordDict, signed: bytes, key: Ed25519PrivateKey) -> RecordDict:
    return RecordDict({**content, _RECORD: ConfigRecord({_RECORD: keys.sign(key, signed)})})


def _check(content: RecordDict, signed: bytes, public: str) -> None:
    record = content.get(_RECORD)
    signature = record.get(_RECORD) if isinstance(record, ConfigRecord) and len(record) == 1 else None
    if not isinstance(signature, str) or len(signature) > _MAX_CHARACTERS:
        raise SchemaError("the reply has no signature; a site signs with its enrolled key")
    try:
        keys.verify(public, signed, signature)
    except keys.SignatureError:
        raise SchemaError("the reply's signature is not by the site's enrolled key, or of another question") from None


def _reply_bytes(content: RecordDict, question: AskedQuestion) -> bytes:
    asked = [question.study, question.run, question.round, question.kind]
    return b"fedpeft reply\n" + canonical_json([*asked, wire.digest_of(content)])


def _readiness_bytes(content: RecordDict, question: Question) -> bytes:
    return b"fedpeft preflight\n" + canonical_json([question.model_dump(), wire.digest_of(content)])
