"""`fedpeft journal`: exit 0 for what is as it was written, 2 and one line for anything else, never a traceback."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.command import main
from common.keys import fingerprint, public_text
from common.receipts import append

SITE, SERVER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
COMMANDS = ["common.journal_commands"]


def payload(number: int, **more: Any) -> dict[str, Any]:
    common = {"site": "east", "study": "s", "run": "r", "round": number, "kind": "train"}
    return {**common, "digest": f"sha256:{number:064x}", **more}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    path = tmp_path / "site.jsonl"
    for number in range(1, 4):
        append(path, payload(number, decision="released"), SITE, durable=False)
    return path


@pytest.fixture
def server(tmp_path: Path) -> Path:
    path = tmp_path / "server.jsonl"
    for number in range(1, 4):
        append(path, payload(number, status="accepted"), SERVER, durable=False)
    return path


def run(*arguments: object) -> int:
    """The exit code; click itself leaves with SystemExit."""
    try:
        return main(["journal", *map(str, arguments)], commands=COMMANDS)
    except SystemExit as stop:
        return int(stop.code or 0)


def drop(path: Path, *numbers: int) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line for number, line in enumerate(lines) if number not in numbers))


def test_a_sound_log_is_0_and_its_key_is_shown_to_be_compared(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", site) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert fingerprint(public_text(SITE)) in out
    assert "compare it" in out
    assert "3 receipts" in out
    assert run("verify", site, "--key", public_text(SITE)) == 0
    assert "compare it" not in capsys.readouterr().out


def test_another_key_than_the_given_one_is_2(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", site, "--key", public_text(SERVER)) == 2
    out, err = capsys.readouterr()
    assert f"line 1: another key: the log is signed by another key: {fingerprint(public_text(SITE))}" in out
    assert err == "fedpeft: site.jsonl is not as it was written: problems 1, the first in line 1\n"


def test_a_problem_is_2_with_its_line(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drop(site, 2)
    assert run("verify", site) == 2
    out, err = capsys.readouterr()
    assert "line 3: missing: before this line: receipt 2" in out
    assert err.count("\n") == 1


def test_a_log_without_its_start_can_be_checked_with_a_key(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drop(site, 0)
    assert run("verify", site) == 2
    assert "names the key" in capsys.readouterr().err
    assert run("verify", site, "--key", public_text(SITE)) == 2
    assert "the start is missing" in capsys.readouterr().out


def test_a_torn_line_is_told_and_is_0(site: Path, server: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with site.open("ab") as file:
        file.write(b'{"time"')
    assert run("verify", site) == 0
    assert "line 5: torn" in capsys.readouterr().out
    assert run("match", site, server) == 0


def test_logs_that_agree_are_0(site: Path, server: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("match", site, server) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "site east: 3 payloads are in both logs" in out
    for key in (SITE, SERVER):
        assert fingerprint(public_text(key)) in out


def test_an_end_that_was_cut_off_is_found_on_either_side(
    site: Path, server: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each log is sound by itself."""
    whole = site.read_bytes()
    drop(site, 3)
    assert run("verify", site) == 0
    capsys.readouterr()
    assert run("match", site, server) == 2
    out, err = capsys.readouterr()
    assert "run r  round 3  train" in out
    assert "not at the site" in out
    assert err == "fedpeft: the two logs differ; payloads not in both: 1\n"
    site.write_bytes(whole)
    drop(server, 2, 3)
    assert run("match", site, server) == 2
    assert capsys.readouterr().out.count("not at the server") == 2


def test_a_log_that_is_not_sound_is_not_compared(site: Path, server: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site.write_bytes(site.read_bytes().replace(b'"round": 2', b'"round": 5'))
    assert run("match", site, server) == 2
    assert "line 3: changed" in capsys.readouterr().err


@pytest.mark.parametrize("side", ["--site-key", "--server-key"])
def test_a_side_s_key_may_be_given(side: str, site: Path, server: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = {"--site-key": SITE, "--server-key": SERVER}
    assert run("match", site, server, side, public_text(keys.pop(side))) == 0
    assert run("match", site, server, side, public_text(*keys.values())) == 2
    assert "another key" in capsys.readouterr().err


def test_texts_of_the_other_side_do_not_reach_the_terminal_as_they_are(
    site: Path, server: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    append(server, payload(9, status="accepted", digest="\x1b[2J\nforged\ud800", kind="\x9b1m"), SERVER, durable=False)
    assert run("match", site, server) == 2
    out, _ = capsys.readouterr()
    assert not set(out) & {"\x1b", "\x9b", "\ud800"}
    assert "\nforged" not in out


@pytest.mark.parametrize("arguments", [("--key", "x"), ("--key", ""), ("--key", "ed25519:AAAA"), ("--key", "ä")])
def test_a_key_that_is_none_is_2(arguments: tuple[str, ...], site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", site, *arguments) == 2
    assert "not a public signing key" in capsys.readouterr().err


def test_a_file_that_is_not_there_and_a_folder_are_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (tmp_path / "none", tmp_path):
        assert run("verify", path) == 2
        assert run("match", path, path) == 2
    assert capsys.readouterr().err.count("cannot be read") == 4


GARBAGE = st.lists(st.tuples(st.integers(0, 5), st.binary(max_size=20)), max_size=4)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(GARBAGE)
def test_no_content_ends_in_a_traceback(site: Path, server: Path, garbage: list[tuple[int, bytes]]) -> None:
    """Lines of a true log with anything between and instead of them."""
    lines = site.read_bytes().splitlines(keepends=True)
    for at, text in garbage:
        lines[at % len(lines)] = text
    broken = site.with_name("broken")
    broken.write_bytes(b"".join(lines))
    assert run("verify", broken) in {0, 2}
    assert run("match", broken, server) in {0, 2}
    assert run("match", site, broken) == 2
