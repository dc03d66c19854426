"""An enrolment file comes from another house: what is no such file is said so, whatever it holds."""

import json
from pathlib import Path

import pytest

from common.enrolment import MAX_BYTES, Enrolment, read_enrolment, write_enrolment
from common.errors import UserError
from common.keys import make_signing_key, make_transport_key, public_text


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The enrolment of `north`."""
    key = make_signing_key(tmp_path / "signing.key")
    public = make_transport_key(tmp_path / "transport")
    path = tmp_path / "north.enrol"
    write_enrolment(path, Enrolment(site="north", transport_key=public, signing_key=public_text(key)), key)
    return path


def test_what_was_written_is_read(file: Path) -> None:
    assert read_enrolment(file).site == "north"


@pytest.mark.parametrize("site", ["../north", "north/..", ".", "", "north\n", "a" * 64, "\x1b[2Knorth"])
def test_a_name_is_one_part_of_a_path(file: Path, site: str) -> None:
    content = json.loads(file.read_text())
    content["enrolment"]["site"] = site
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"enrolment\.site"):
        read_enrolment(file)


def test_another_name_is_not_what_was_signed(file: Path) -> None:
    file.write_text(file.read_text().replace('"north"', '"south"'))
    with pytest.raises(UserError, match="signature"):
        read_enrolment(file)


@pytest.mark.parametrize("content", [b"", b"[]", b"3", b"\xff", b"[" * (MAX_BYTES - 1), b"9" * 5000])
def test_what_is_no_enrolment_is_said(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(UserError, match="is no enrolment file"):
        read_enrolment(file)
    file.write_bytes(bytes(MAX_BYTES + 1))
    with pytest.raises(UserError, match="larger than"):
        read_enrolment(file)
