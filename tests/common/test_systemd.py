"""Words as systemd reads them."""

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UserError
from common.systemd import command_line, paths

WORD = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc"]), min_size=1)


@given(st.lists(WORD, min_size=1))
def test_a_command_is_read_back_as_it_was(command: list[str]) -> None:
    read = [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(command_line(command))]
    assert read == command


def test_every_percent_sign_and_dollar_is_doubled() -> None:
    assert command_line(("5%", "$HOME")) == '"5%%" "$$HOME"'
    assert paths([Path("/a $x"), Path("/5%")]) == '"/a $x" "/5%%"'  # only a command has variables


@pytest.mark.parametrize("part", ["a\nExecStartPre=/bin/evil", "a\x1b"])
def test_a_control_character_is_refused(part: str) -> None:
    with pytest.raises(UserError, match="control character"):
        command_line((part,))
