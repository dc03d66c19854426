"""Values reach supervisord as they were written, or are refused without being shown."""

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from supervisor.datatypes import dict_of_key_value_pairs
from supervisor.options import UnhosedConfigParser

from common.errors import UserError
from common.supervisor_file import Place, control_sections, environment_text, section

PLAIN = st.text(st.characters(min_codepoint=32, max_codepoint=0x17F, exclude_characters='"\x7f\x85\xa0'), max_size=30)


def read_back(text: str, name: str) -> dict[str, str]:
    """As supervisord reads a section, its own expansion of % included."""
    parser = UnhosedConfigParser()
    parser.read_string(text)
    return {key: value % {} for key, value in parser.items(name)}


@given(st.lists(PLAIN.filter(bool), min_size=1, max_size=4))
def test_a_command_arrives_as_it_was_or_is_refused(command: list[str]) -> None:
    try:
        text = section("program:it", {"command": " ".join(map(shlex.quote, command))})
    except UserError:
        assert any(part in shlex.join(command) for part in (" ;", " #"))
        return
    assert shlex.split(read_back(text, "program:it")["command"]) == command


@given(st.dictionaries(st.sampled_from(["A", "B_2", "C"]), PLAIN, min_size=1))
def test_an_environment_arrives_as_it_was_or_is_refused(variables: dict[str, str]) -> None:
    try:
        text = section("program:it", {"environment": environment_text(variables)})
    except UserError:
        joined = ",".join(f'"{value}"' for value in variables.values())
        assert " ;" in joined or " #" in joined or any(v.strip("'") != v for v in variables.values())
        return
    assert dict_of_key_value_pairs(read_back(text, "program:it")["environment"]) == variables


@pytest.mark.parametrize("value", ["s3cret ;", "s3cret #x", "s3cret\nuser = root", 's3cret"', "'s3cret", "s3cret\0"])
def test_what_cannot_be_written_is_refused_and_not_shown(value: str) -> None:
    with pytest.raises(UserError, match="supervisord cannot read") as error:
        section("program:it", {"environment": environment_text({"TOKEN": value})})
    assert "s3cret" not in str(error.value)


def test_files_are_named_from_the_supervisors_folder() -> None:
    place = Place(Path("/a/100% own/run"), Path("/a/100% own/run/it.sock"), Path("/a/100% own/logs"))
    assert read_back(control_sections(place), "supervisord")["logfile"] == "../logs/supervisord.log"
    assert "100%" not in control_sections(place)
