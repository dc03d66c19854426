"""A reply's signature: by one key, over every byte, for one question."""

from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from common import wire
from common.errors import SchemaError
from common.keys import public_text
from common.signed_reply import Asked, check_signature, sign_reply, without_signature

KEY = Ed25519PrivateKey.generate()
ASKED = Asked("sha256:" + "0" * 64, "run-1", 3, "train")


def content(data: bytes = b"abc", text: str = "{}", **shape: Any) -> RecordDict:
    array = Array(**{"dtype": "float32", "shape": (3,), "stype": "numpy.ndarray", "data": data, **shape})
    return RecordDict({"head": ConfigRecord({"json": text}), "update": ArrayRecord({"float32": array})})


def test_a_signed_reply_passes_and_gives_back_its_content() -> None:
    signed = sign_reply(content(), ASKED, KEY)
    check_signature(signed, ASKED, public_text(KEY))
    assert wire.digest_of(without_signature(signed)) == wire.digest_of(content())
    assert wire.digest_of(sign_reply(content(), ASKED, KEY)) == wire.digest_of(signed)  # the same bytes if asked again


def test_a_signature_survives_the_way_over_the_socket() -> None:
    check_signature(wire.from_frame(wire.to_frame(sign_reply(content(), ASKED, KEY))), ASKED, public_text(KEY))


@pytest.mark.parametrize(
    "asked",
    [
        replace(ASKED, study="sha256:" + "1" * 64),
        replace(ASKED, run="run-2"),
        replace(ASKED, round=2),
        replace(ASKED, kind="evaluate"),
    ],
)
def test_a_reply_is_of_one_question(asked: Asked) -> None:
    with pytest.raises(SchemaError, match="of another question"):
        check_signature(sign_reply(content(), ASKED, KEY), asked, public_text(KEY))


CHANGED = {
    "bytes": content(data=b"abd"),
    "text": content(text='{"x": 1}'),
    "shape": content(shape=(4,)),
    "dtype": content(dtype="float64"),
    "a record more": RecordDict({**content(), "extra": ConfigRecord({"json": ""})}),
    "a record less": RecordDict({"head": content()["head"]}),
}


@pytest.mark.parametrize("what", CHANGED)
def test_nothing_of_a_reply_can_be_changed(what: str) -> None:
    signature = sign_reply(content(), ASKED, KEY)["signature"]
    forged = RecordDict({**CHANGED[what], "signature": signature})
    with pytest.raises(SchemaError, match="not by the site's"):
        check_signature(forged, ASKED, public_text(KEY))


def test_another_key_does_not_do() -> None:
    signed = sign_reply(content(), ASKED, Ed25519PrivateKey.generate())
    with pytest.raises(SchemaError, match="not by the site's"):
        check_signature(signed, ASKED, public_text(KEY))


@pytest.mark.parametrize(
    "record",
    [
        None,
        ConfigRecord({}),
        ConfigRecord({"signature": 3}),
        ConfigRecord({"signature": "A" * 201}),
        ConfigRecord({"signature": "A", "more": "B"}),
        ArrayRecord({}),
    ],
)
def test_no_signature_is_said(record: Any) -> None:
    unsigned = content() if record is None else RecordDict({**content(), "signature": record})
    with pytest.raises(SchemaError, match="no signature"):
        check_signature(unsigned, ASKED, public_text(KEY))


@pytest.mark.parametrize("text", ["", "not base64!", "AAAA"])
def test_a_text_that_is_no_signature_is_not_by_the_site(text: str) -> None:
    with pytest.raises(SchemaError, match="not by the site's"):
        check_signature(
            RecordDict({**content(), "signature": ConfigRecord({"signature": text})}), ASKED, public_text(KEY)
        )
