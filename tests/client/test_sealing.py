"""What is sealed says nothing, and comes back only whole, under its own name, with its own key."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.sealing import HEAD, KEY_BYTES, Seal, make_storage_key, read_storage_key
from common.errors import CheckpointError, UserError

SEAL = Seal(bytes(range(KEY_BYTES)))
CONTENT = b"of a patient" * 3
TAG, NONCE = 16, 12


@given(st.binary(), st.text().filter(str.isprintable))
def test_what_is_closed_opens_under_its_name(content: bytes, name: str) -> None:
    sealed = SEAL.close(content, name=name)
    assert len(sealed) == len(HEAD) + NONCE + len(content) + TAG
    assert SEAL.open(sealed, name=name) == content


@given(st.binary(max_size=50), st.data())
def test_every_change_of_one_byte_is_found(content: bytes, data: st.DataObject) -> None:
    sealed = bytearray(SEAL.close(content, name="a"))
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CheckpointError, match="file a "):
        SEAL.open(bytes(sealed), name="a")


def test_every_cut_is_found() -> None:
    sealed = SEAL.close(CONTENT, name="a")
    for length in range(len(sealed)):
        with pytest.raises(CheckpointError):
            SEAL.open(sealed[:length], name="a")
    with pytest.raises(CheckpointError):
        SEAL.open(sealed + b"\0", name="a")


def test_another_name_or_key_does_not_open() -> None:
    sealed = SEAL.close(CONTENT, name="a")
    for seal, name in ((SEAL, "b"), (SEAL, ""), (Seal(os.urandom(KEY_BYTES)), "a")):
        with pytest.raises(CheckpointError, match="changed or moved, or the storage key is another one"):
            seal.open(sealed, name=name)


def test_what_was_never_sealed_is_said() -> None:
    with pytest.raises(CheckpointError, match="not sealed"):
        SEAL.open(CONTENT, name="a")


def test_an_error_names_the_file_and_no_folder() -> None:
    with pytest.raises(CheckpointError) as error:
        SEAL.open(HEAD, name="ward-7/runs/a.safetensors")
    assert "a.safetensors" in str(error.value)
    assert "ward-7" not in str(error.value)


def test_the_same_content_is_sealed_otherwise_each_time() -> None:
    sealed = {SEAL.close(CONTENT, name="a") for _ in range(100)}
    assert len({text[len(HEAD) :][:NONCE] for text in sealed}) == 100
    assert not any(CONTENT[:4] in text for text in sealed)


def test_a_seal_does_not_show_its_key() -> None:
    key = b"k" * KEY_BYTES
    assert "kkkk" not in repr(Seal(key))


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_key_of_another_size_is_none(size: int, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="32 bytes"):
        Seal(bytes(size))
    (tmp_path / "key").write_bytes(bytes(size))
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(UserError, match="'key' is not a file of 32 bytes"):
        read_storage_key(tmp_path / "key")


def test_a_new_key_is_random_and_its_owner_s_only(tmp_path: Path) -> None:
    keys = [make_storage_key(tmp_path / name) for name in ("a", "b")]
    assert keys[0] != keys[1]
    assert [read_storage_key(tmp_path / name) for name in ("a", "b")] == keys
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    with pytest.raises(UserError, match="never written over"):
        make_storage_key(tmp_path / "a")
    assert read_storage_key(tmp_path / "a") == keys[0]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610, 0o601])
def test_a_key_that_others_can_use_is_refused(mode: int, tmp_path: Path) -> None:
    make_storage_key(tmp_path / "key")
    (tmp_path / "key").chmod(mode)
    with pytest.raises(UserError, match=r"open to others .*chmod 600"):
        read_storage_key(tmp_path / "key")


def test_a_key_that_is_not_there_is_said_without_its_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'key' cannot be read") as error:
        read_storage_key(tmp_path / "key")
    assert str(tmp_path) not in str(error.value)
