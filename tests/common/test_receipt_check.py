"""Whatever is done to a log of receipts shows, with its line; but for a cut off end, which one file cannot show."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UserError
from common.keys import SignatureError, fingerprint, public_text
from common.receipt_check import Problem, read_log, verify
from common.receipts import MAX_LINE, append, link, signed_line

KEY = Ed25519PrivateKey.generate()
OTHER = Ed25519PrivateKey.generate()
PUBLIC = public_text(KEY)


def log_of(path: Path, key: Ed25519PrivateKey, count: int, word: str = "n") -> list[bytes]:
    """Return the lines of a log: line 0 and `count` receipts."""
    for number in range(1, count + 1):
        append(path, {word: number}, key, durable=False)
    return path.read_bytes().splitlines(keepends=True)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    return log_of(tmp_path_factory.mktemp("sound") / "log", KEY, 6)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    return log_of(tmp_path_factory.mktemp("foreign") / "log", OTHER, 6)


@pytest.fixture
def check(tmp_path: Path) -> "type[Check]":
    Check.path = tmp_path / "log"
    return Check


class Check:
    """Writes lines and says what is wrong with them: (line, kind) each."""

    path: Path

    @classmethod
    def of(cls, *lines: bytes) -> list[tuple[int, str]]:
        cls.path.write_bytes(b"".join(lines))
        return [(problem.line, problem.kind) for problem in verify(cls.path, PUBLIC)]


def test_a_sound_log_has_no_problem(sound: list[bytes], check: type[Check]) -> None:
    assert check.of(*sound) == []


@pytest.mark.parametrize("count", range(1, 7))
def test_a_log_without_its_end_is_sound_only_shorter(count: int, sound: list[bytes], check: type[Check]) -> None:
    """Why `fedpeft journal match` is there."""
    assert check.of(*sound[:count]) == []


def test_a_changed_line_is_named_and_no_other(sound: list[bytes], check: type[Check]) -> None:
    changed = sound[3].replace(b'"n": 3', b'"n": 8')
    assert changed != sound[3]
    assert check.of(*sound[:3], changed, *sound[4:]) == [(4, "changed")]
    (problem,) = verify(check.path, PUBLIC)
    assert problem.what == "receipt 3 was changed, or is signed by another key"


@pytest.mark.parametrize("at", range(1, 6))
def test_a_missing_line_is_named_where_it_was(at: int, sound: list[bytes], check: type[Check]) -> None:
    assert check.of(*sound[:at], *sound[at + 1 :]) == [(at + 1, "missing")]
    (problem,) = verify(check.path, PUBLIC)
    assert problem.what == f"before this line: receipt {at}"


def test_several_missing_lines_are_one_gap(sound: list[bytes], check: type[Check]) -> None:
    check.of(*sound[:2], *sound[5:])
    assert verify(check.path, PUBLIC) == [Problem(3, "missing", "before this line: receipts 2 to 4")]


@pytest.mark.parametrize("count", range(1, 6))
def test_a_missing_start_is_named(count: int, sound: list[bytes], check: type[Check]) -> None:
    assert check.of(*sound[count:]) == [(1, "missing")]
    assert "the start is missing" in verify(check.path, PUBLIC)[0].what


def test_a_moved_line_is_named(sound: list[bytes], check: type[Check]) -> None:
    a, b, c, d, *rest = sound
    assert check.of(a, b, d, c, *rest) == [(4, "out of order")]
    assert check.of(a, b, *rest, c, d) == [(6, "out of order"), (7, "out of order")]


def test_a_repeated_line_is_named(sound: list[bytes], check: type[Check]) -> None:
    assert check.of(*sound[:4], sound[2], *sound[4:]) == [(5, "duplicate")]
    assert verify(check.path, PUBLIC)[0].what == "receipt 2 stands in line 3 already"


def test_a_line_of_another_key_is_named(sound: list[bytes], foreign: list[bytes], check: type[Check]) -> None:
    assert check.of(*sound[:3], foreign[3], *sound[4:]) == [(4, "changed")]


def test_a_whole_log_of_another_key_is_one_problem(foreign: list[bytes], check: type[Check]) -> None:
    assert check.of(*foreign) == [(1, "another key")]
    assert fingerprint(public_text(OTHER)) in verify(check.path, PUBLIC)[0].what
    assert check.of(*foreign[:3], *foreign[4:]) == [(1, "another key"), (4, "missing")]


def test_two_histories_of_one_key_do_not_fit(tmp_path: Path, sound: list[bytes], check: type[Check]) -> None:
    """As from a backup that was put back: the same key signs another receipt 4."""
    (tmp_path / "other").write_bytes(b"".join(sound[:4]))
    other = log_of(tmp_path / "other", KEY, 2, "other")
    assert check.of(*sound[:5], other[4], *sound[5:]) == [(6, "duplicate")]
    assert verify(check.path, PUBLIC)[0].what == "another receipt 4 than in line 5: two logs in one"
    assert check.of(*sound[:4], other[4], *sound[5:]) == [(6, "changed")]
    assert verify(check.path, PUBLIC)[0].what == "receipt 5 does not continue receipt 4"


@pytest.mark.parametrize("text", [b"\n", b"x\n", b"{}\n", b"\xff\0\n", b"a\nb\n", b"x" * (3 * MAX_LINE) + b"\n"])
@pytest.mark.parametrize("at", [0, 3, 7])
def test_what_was_written_in_is_foreign(text: bytes, at: int, sound: list[bytes], check: type[Check]) -> None:
    assert check.of(*sound[:at], text, *sound[at:]) == [(at + 1, "foreign")]


def test_a_last_line_that_is_not_finished_is_torn(sound: list[bytes], check: type[Check]) -> None:
    assert check.of(*sound, b'{"time": "20') == [(8, "torn")]
    assert check.of(*sound[:-1], sound[-1].removesuffix(b"\n")) == []


def test_what_the_writer_set_aside_is_torn_only_as_it_was(sound: list[bytes], check: type[Check]) -> None:
    check.of(*sound, b"frag")
    append(check.path, {"n": 7}, KEY, durable=False)
    last = check.path.read_bytes().splitlines(keepends=True)[-1]
    assert check.of(*sound, b"frag\n", last) == [(8, "torn")]
    assert check.of(*sound, b"fragment\n", last) == [(8, "foreign")]
    assert check.of(*sound, last) == [(8, "missing")]


@given(st.data())
def test_no_change_of_one_byte_is_overlooked(
    tmp_path_factory: pytest.TempPathFactory, sound: list[bytes], data: st.DataObject
) -> None:
    """But for the last line's end, which says nothing."""
    content = bytearray(b"".join(sound))
    at = data.draw(st.integers(0, len(content) - 2))
    content[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[at]))
    path = tmp_path_factory.mktemp("log") / "log"
    path.write_bytes(content)
    assert [p for p in verify(path, PUBLIC) if p.kind != "torn"]


@given(st.permutations(range(7)), st.integers(0, 7))
def test_only_a_sound_log_or_its_beginning_passes(
    tmp_path_factory: pytest.TempPathFactory, sound: list[bytes], order: list[int], count: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    path.write_bytes(b"".join(sound[i] for i in order[: max(count, 1)]))
    chosen = order[: max(count, 1)]
    assert (verify(path, PUBLIC) == []) == (chosen == list(range(len(chosen))))


def test_a_huge_number_costs_nothing(check: type[Check]) -> None:
    line = signed_line(link({}, time="now", seq=10**18, previous=""), KEY)
    assert check.of(line + b"\n") == [(1, "missing")]


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_an_error_of_the_user_s(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    path.write_bytes(content)
    with pytest.raises(UserError, match="log holds no receipt"):
        verify(path, PUBLIC)
    with pytest.raises(UserError, match="log holds no receipt"):
        read_log(path)


def test_a_file_that_is_not_there_and_a_key_that_is_none_are_said(tmp_path: Path, sound: list[bytes]) -> None:
    with pytest.raises(UserError, match="log cannot be read"):
        verify(tmp_path / "log", PUBLIC)
    (tmp_path / "log").write_bytes(b"".join(sound))
    with pytest.raises(SignatureError):
        verify(tmp_path / "log", "ed25519:AAAA")


def test_the_log_s_key_is_that_of_line_0(tmp_path: Path, sound: list[bytes]) -> None:
    (tmp_path / "log").write_bytes(b"".join(sound))
    log = read_log(tmp_path / "log")
    assert log.key == PUBLIC
    assert [receipt.entry for receipt in log.receipts] == [{"n": number} for number in range(1, 7)]
    (tmp_path / "log").write_bytes(b"".join(sound[1:]))
    with pytest.raises(UserError, match="names the key"):
        read_log(tmp_path / "log")
