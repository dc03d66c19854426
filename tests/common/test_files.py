import hashlib
import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.files import (
    append_json_line,
    canonical_json,
    digest_bytes,
    digest_file,
    digest_json,
    write_bytes,
    write_json,
)

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)


@given(VALUES)
def test_canonical_json_is_json_of_the_same_value(value: Any) -> None:
    assert json.loads(canonical_json(value)) == value


@given(st.dictionaries(st.text(), VALUES, min_size=2))
def test_canonical_json_forgets_the_order_of_keys(value: dict[str, Any]) -> None:
    other = {key: value[key] for key in reversed(list(value))}
    assert canonical_json(other) == canonical_json(value)
    assert digest_json(other) == digest_json(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [-float("inf")]])
def test_a_number_that_is_not_finite_has_no_json(value: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(value)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", value)
    assert list(tmp_path.iterdir()) == []


@given(st.binary())
def test_a_digest_is_sha256_in_hex(content: bytes) -> None:
    assert digest_bytes(content) == "sha256:" + hashlib.sha256(content).hexdigest()


def test_a_file_has_the_digest_of_its_bytes(tmp_path: Path) -> None:
    content = os.urandom(300_000)
    write_bytes(tmp_path / "deep" / "er" / "file", content)
    assert digest_file(tmp_path / "deep" / "er" / "file") == digest_bytes(content)


@pytest.mark.parametrize("durable", [True, False])
def test_writing_replaces_the_whole_file_and_leaves_nothing_beside(durable: bool, tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"long before", durable=durable)
    write_bytes(path, b"after", durable=durable)
    assert path.read_bytes() == b"after"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_who_holds_the_old_file_keeps_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"before")
    with path.open("rb") as file:
        write_bytes(path, b"after!")
        assert file.read() == b"before"


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    (target / "inside").mkdir(parents=True)  # a folder that is not empty cannot be replaced by a file
    with pytest.raises(OSError, match="folder"):
        write_bytes(target, b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_site_s_own_file_is_for_its_user_only(tmp_path: Path) -> None:
    write_bytes(tmp_path / "own", b"", mode=0o600)
    assert (tmp_path / "own").stat().st_mode & 0o777 == 0o600


TABLES = st.dictionaries(st.text().filter(lambda key: key != "time"), VALUES)


@given(tables=st.lists(TABLES, min_size=1, max_size=4))
def test_lines_are_added_in_order_whatever_stands_in_them(
    tables: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    for durable in (True, False):  # of the same tables: they take longer to draw than to write
        assert_added_in_order(tables, tmp_path_factory.mktemp("lines") / "deep" / "er.jsonl", durable=durable)


def assert_added_in_order(tables: list[dict[str, Any]], path: Path, *, durable: bool) -> None:
    seen = b""
    for table in tables:
        append_json_line(path, table, durable=durable)
        content = path.read_bytes()
        assert content.startswith(seen)
        seen = content
    found = [json.loads(line) for line in seen.split(b"\n")[:-1]]
    assert [{key: value for key, value in line.items() if key != "time"} for line in found] == tables
    times = [datetime.fromisoformat(line["time"]) for line in found]
    assert times == sorted(times)
    assert abs((datetime.now(UTC) - times[-1]).total_seconds()) < 60


@given(cut=st.integers(min_value=0))
def test_a_line_cut_anywhere_spoils_no_other(cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("lines") / "x.jsonl"
    append_json_line(path, {"n": 1}, durable=False)
    first = path.read_bytes()
    append_json_line(path, {"n": 2}, durable=False)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(first) + cut % (len(whole) - len(first))])
    left = path.read_bytes()
    append_json_line(path, {"n": 3}, durable=False)
    *before, last = path.read_bytes().splitlines()
    assert b"\n".join(before) == left.removesuffix(b"\n")
    assert json.loads(last)["n"] == 3


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_the_mode_is_that_of_a_new_file_only(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    for later in (mode, 0o666):
        append_json_line(path, {}, durable=False, mode=later)
        assert stat.S_IMODE(path.stat().st_mode) == mode
    assert len(path.read_text().splitlines()) == 2


def test_a_line_that_is_no_json_is_not_begun(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        append_json_line(tmp_path / "x.jsonl", {"n": float("nan")}, durable=False)
    assert list(tmp_path.iterdir()) == []


def test_json_is_readable_utf8(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"hospital": "Zürich", "n": None})
    assert (tmp_path / "x.json").read_text(encoding="utf-8") == '{\n  "hospital": "Zürich",\n  "n": null\n}\n'


@pytest.mark.parametrize(("count", "is_indented"), [(10, True), (1 << 18, False)])
def test_small_files_are_for_people_and_large_ones_are_the_same_value(
    count: int, is_indented: bool, tmp_path: Path
) -> None:
    value = {"å": list(range(count))}
    write_json(tmp_path / "f.json", value, durable=False)
    text = (tmp_path / "f.json").read_text()
    assert json.loads(text) == value
    assert ("\n  " in text) is is_indented
    assert "å" in text
