"""Keys: what one half signs the other checks, and a private half is its owner's alone."""

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import keys
from common.errors import UserError


def test_a_signature_is_over_these_bytes_by_this_key(tmp_path: Path) -> None:
    first, other = (keys.make_signing_key(tmp_path / name) for name in ("first", "other"))

    @given(content=st.binary(max_size=64), changed=st.binary(max_size=64))
    def check(content: bytes, changed: bytes) -> None:
        signature = keys.sign(first, content)
        keys.verify(keys.public_text(first), content, signature)
        for public, said in ((keys.public_text(other), content), (keys.public_text(first), changed + b".")):
            if said != content or public != keys.public_text(first):
                with pytest.raises(keys.SignatureError):
                    keys.verify(public, said, signature)

    check()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o660])
def test_a_signing_key_that_others_may_use_signs_nothing(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "signing.key"
    made = keys.make_signing_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(mode)
    with pytest.raises(UserError, match=rf"open to others \(mode {mode:04o}\): chmod 600"):
        keys.read_signing_key(path)
    path.chmod(0o400)
    assert keys.public_text(keys.read_signing_key(path)) == keys.public_text(made)


def test_a_key_is_never_written_over(tmp_path: Path) -> None:
    for make in (keys.make_signing_key, keys.make_transport_key):
        make(tmp_path / make.__name__)
        with pytest.raises(UserError, match="exists already"):
            make(tmp_path / make.__name__)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir() if path.suffix != ".pub"}
    assert set(modes.values()) == {0o600}


@pytest.mark.parametrize("content", [b"", b"text", b"-----BEGIN PRIVATE KEY-----\n"])
def test_what_is_no_key_is_said(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "signing.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(UserError, match="is not a PEM file"):
        keys.read_signing_key(path)
