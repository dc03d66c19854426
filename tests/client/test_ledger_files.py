"""The ledger's files: nobody is named in them, and a lost, changed or older one is no fresh budget."""

import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client.ledger import Ledger, Limit
from client.ledger_files import BOOK, COHORT, ChargeKey, pseudonym_key, pseudonyms
from client.sealing import HEAD, KEY_BYTES, Seal
from common.errors import CheckpointError
from common.privacy._accounting import Spending

STORAGE_KEY = os.urandom(KEY_BYTES)
DELTA = 1e-5
ROUND = Spending(1.3, 0.2, 15)
EVERYBODY = [f"patient-{number:03d}" for number in range(40)]


def ledger(folder: Path, storage_key: bytes = STORAGE_KEY) -> Ledger:
    return Ledger(folder / "privacy", Seal(storage_key), pseudonym_key(storage_key), durable=False)


def key(number: int) -> ChargeKey:
    return ChargeKey("sha256:aa", "run-1", number, "train", "sha256:bb")


def files_of(made: Ledger) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in made.folder.iterdir() if path.name != "lock"}


def look(made: Ledger) -> float:
    return made.spent(EVERYBODY, delta=DELTA, accountant="rdp")


def test_nobody_is_named_on_the_disk(tmp_path: Path) -> None:
    made = ledger(tmp_path)
    made.charge(key(1), EVERYBODY, ROUND)
    made.note_unprotected("sha256:open", EVERYBODY[:7])
    found = files_of(made)
    assert len(found) == 3
    hidden = [*EVERYBODY, *pseudonyms(EVERYBODY, made.pseudonym_key), "patient-", "run-1", "sha256", "noise", "settled"]
    for name, content in found.items():
        assert content.startswith(HEAD)
        assert not [text for text in hidden if text.encode() in content or text in name]
        assert not [text for text in hidden if len(text) == 32 and bytes.fromhex(text) in content]
        assert stat.S_IMODE((made.folder / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(made.folder.stat().st_mode) == 0o700
    plain = Ledger(tmp_path / "plain", None, b"", durable=False)
    plain.charge(key(1), EVERYBODY, ROUND)
    text = b"".join(files_of(plain).values()).decode()
    assert all(text_of in text for text_of in hidden[-4:]), "the test looks for what would be there"
    assert "patient-" not in text, "without a seal, too, patients are pseudonyms"


def test_another_site_s_pseudonyms_are_others(tmp_path: Path) -> None:
    keys = [pseudonym_key(os.urandom(KEY_BYTES)) for _ in range(2)]
    assert STORAGE_KEY not in keys
    assert not pseudonyms(EVERYBODY, keys[0]) & pseudonyms(EVERYBODY, keys[1])
    assert len(pseudonyms(EVERYBODY, keys[0])) == len(EVERYBODY)


def filled(folder: Path) -> Ledger:
    made = ledger(folder)
    made.charge(key(1), EVERYBODY, ROUND)
    made.charge(key(2), EVERYBODY[:30], ROUND)
    return made


USES: list[Callable[[Ledger], object]] = [
    lambda made: made.charge(key(3), EVERYBODY, ROUND, limit=Limit(99.0, DELTA)),
    look,
    lambda made: made.read(),
]


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("file", [BOOK, COHORT])
def test_a_lost_file_lets_nothing_out(tmp_path: Path, file: str, use: Callable[[Ledger], object]) -> None:
    made = filled(tmp_path)
    next(made.folder.glob(f"{file}*")).unlink()
    before = files_of(made)
    with pytest.raises(CheckpointError, match=r"put back the newest copy") as caught:
        use(made)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert files_of(made) == before


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(st.data())
def test_every_change_of_one_byte_is_found(tmp_path: Path, data: st.DataObject) -> None:
    made = filled(tmp_path / f"{len(list(tmp_path.iterdir()))}")
    path = made.folder / data.draw(st.sampled_from(sorted(files_of(made))))
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with pytest.raises(CheckpointError):
        look(made)


@pytest.mark.parametrize("content", ["", "{}x", "[]", '{"format": 2}', '{"charges": [{}]}', '{"spent": 0}', "\xff"])
def test_a_book_of_another_form_lets_nothing_out(tmp_path: Path, content: str) -> None:
    made = Ledger(tmp_path, None, b"", durable=False)
    (tmp_path / BOOK).write_bytes(content.encode("latin-1"))
    with pytest.raises(CheckpointError, match="charges is damaged"):
        made.charge(key(1), EVERYBODY, ROUND)


def test_cohorts_that_change_places_are_found(tmp_path: Path) -> None:
    for made in (filled(tmp_path), Ledger(tmp_path / "plain", None, b"", durable=False)):
        made.charge(key(8), EVERYBODY, ROUND)
        made.charge(key(9), EVERYBODY[:3], ROUND)
        one, two, *_ = sorted(made.folder.glob(f"{COHORT}*"))
        contents = one.read_bytes(), two.read_bytes()
        one.write_bytes(contents[1])
        two.write_bytes(contents[0])
        with pytest.raises(CheckpointError, match=COHORT):
            look(made)


def test_with_another_key_nothing_is_read(tmp_path: Path) -> None:
    filled(tmp_path)
    with pytest.raises(CheckpointError, match="the storage key is another one"):
        ledger(tmp_path, os.urandom(KEY_BYTES)).charge(key(1), EVERYBODY, ROUND)


def test_the_folder_may_move(tmp_path: Path) -> None:
    before = filled(tmp_path)
    total = look(before)
    before.folder.rename(tmp_path / "elsewhere")
    assert look(replace(before, folder=tmp_path / "elsewhere")) == total


def test_a_durable_ledger_counts_the_same(tmp_path: Path) -> None:
    made = replace(ledger(tmp_path), durable=True)
    made.charge(key(1), EVERYBODY, ROUND)
    made.charge(key(2), EVERYBODY[:30], ROUND)
    assert look(made) == look(filled(tmp_path / "another"))


@pytest.mark.parametrize("noise", ["0.0", "-1.0", "NaN", "1e999"])
def test_a_book_with_a_price_that_is_none_lets_nothing_out(tmp_path: Path, noise: str) -> None:
    made = Ledger(tmp_path, None, b"", durable=False)
    made.charge(key(1), EVERYBODY, ROUND)
    text = (tmp_path / BOOK).read_text()
    assert "1.3" in text
    (tmp_path / BOOK).write_text(text.replace("1.3", noise))
    with pytest.raises(CheckpointError, match="charges is damaged"):
        made.charge(key(2), EVERYBODY, ROUND)
