"""A signature beside a bundle: by the key that it names, over this bundle, in a file that is one."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.bundle import Bundle
from common.endorsement import FILE, endorse, read_endorsement
from common.errors import BundleError, UserError
from common.keys import public_text


@pytest.fixture
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def test_what_was_signed_is_read_back(
    make_bundle: Callable[..., Bundle], tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    bundle = make_bundle()
    made = endorse(tmp_path, bundle, key)
    assert read_endorsement(tmp_path, bundle) == made
    assert made.coordinator == public_text(key)
    with pytest.raises(BundleError, match="its signature is of"):
        read_endorsement(tmp_path, make_bundle("training.learning_rate=0.5"))


@pytest.mark.parametrize("field", ["coordinator", "bundle", "signature"])
def test_no_field_can_be_changed(
    make_bundle: Callable[..., Bundle], tmp_path: Path, key: Ed25519PrivateKey, field: str
) -> None:
    endorse(tmp_path, make_bundle(), key)
    content = json.loads((tmp_path / FILE).read_text())
    content[field] = content[field][:-8] + content[field][-8:].swapcase()
    (tmp_path / FILE).write_text(json.dumps(content))
    with pytest.raises(UserError):
        read_endorsement(tmp_path, make_bundle())


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"3", b"\xff", b"[" * 100_000, b'{"coordinator": 3}'])
def test_another_content_cannot_be_read(make_bundle: Callable[..., Bundle], tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(BundleError, match="cannot be read"):
        read_endorsement(tmp_path, make_bundle())


def test_nobody_signed_and_a_pipe_are_no_signature(make_bundle: Callable[..., Bundle], tmp_path: Path) -> None:
    for make in (lambda: None, lambda: os.mkfifo(tmp_path / FILE)):
        make()
        with pytest.raises(BundleError, match="is not signed"):
            read_endorsement(tmp_path, make_bundle())
