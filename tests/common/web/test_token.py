from pathlib import Path

import pytest

from common.errors import UserError
from common.web.token import Token, new_token, write_token


def test_only_the_bearer_of_the_token_matches() -> None:
    token = new_token()
    assert token.matches(f"Bearer {token.text}")
    assert token.matches(f"bearer {token.text}")
    for header in (None, "", "Bearer ", token.text, f"Basic {token.text}", f"Bearer {token.text}x", "Bearer é"):
        assert not token.matches(header)


def test_every_token_is_another() -> None:
    assert new_token().text != new_token().text
    assert len(new_token().text) >= 43


def test_a_token_is_not_shown_by_accident() -> None:
    assert "secret" not in repr(Token("secret"))


def test_the_file_is_the_users_alone(tmp_path: Path) -> None:
    write_token(Token("abc"), tmp_path / "token")
    assert (tmp_path / "token").read_text() == "abc\n"
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="--token-file"):
        write_token(Token("abc"), tmp_path / "file" / "token")
