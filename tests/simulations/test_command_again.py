"""The recorded command, read by the command line itself, is what the user gave."""

import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.main import get_command

from common.plugins import register_folder
from common.study import Study, replaced
from server.report.facts import command
from simulations.catalogue import load
from simulations.command_again import STRATEGIES, command_words
from simulations.commands import register
from simulations.stages import find_runtime

GIVEN: dict[str, Any] = {
    "runtime": "inprocess",
    "rounds": None,
    "seeds": 1,
    "threads": 1,
    "device": "cpu",
    "group_size": None,
    "overrides": (),
    "comparison": True,
}


def parsed(words: list[str] | None) -> dict[str, Any]:
    """Return the parameters that `fedpeft` reads in the words, after they went through the report and a shell."""
    app = typer.Typer()
    register(app)
    first, name, *rest = shlex.split(command({"command": words}))
    assert first == "fedpeft"
    group = get_command(app)
    found = group.commands[name].make_context(name, rest)  # type: ignore[attr-defined] # a group's
    many = {key: list(found.params[key] or ()) for key in ("overrides", "plugins")}
    return {**found.params, **many}


@given(
    st.fixed_dictionaries({
        "runtime": st.sampled_from(["inprocess", "ray"]),
        "rounds": st.none() | st.integers(1, 99),
        "seeds": st.integers(1, 9),
        "threads": st.integers(1, 64),
        "device": st.sampled_from(["cpu", "auto", "cuda:0"]),
        "group_size": st.none() | st.integers(1, 99),
        "overrides": st.lists(st.text(st.characters(exclude_characters="\0"))),
        "comparison": st.booleans(),
    }),
    st.sampled_from(["heart", "my study.toml", "../studies/a'b.toml"]),
    st.integers(0, 2**31),
)  # fmt: skip
def test_the_command_line_reads_what_was_given(options: dict[str, Any], study: str, seed: int) -> None:
    found = parsed(command_words(study, replaced(load("quick"), {"seed": seed}), **options))
    assert {name: found[name] for name in options} == options
    assert (found["study"], found["seed"], found["resume"], found["plugins"]) == (study, seed, False, [])


def test_a_file_is_named_as_it_was_given(make_study: Callable[..., Study]) -> None:
    assert parsed(command_words(Path("some/where.toml"), make_study(), **GIVEN))["study"] == "some/where.toml"


def test_what_no_command_line_started_has_none(make_study: Callable[..., Study]) -> None:
    study = make_study()
    assert command_words(study, study, **GIVEN) is None
    assert command_words("quick", study, **{**GIVEN, "runtime": find_runtime("inprocess")}) is None


@pytest.fixture
def own_folder(tmp_path: Path) -> Iterator[Path]:
    """A researcher's own folder with one strategy, registered; forgotten again afterwards."""
    source = Path(sys.modules[STRATEGIES].__path__[0]) / "fedavg.py"
    (tmp_path / "my_mean.py").write_text(source.read_text())
    register_folder(STRATEGIES, tmp_path)
    yield tmp_path
    del sys.modules[f"{STRATEGIES}.my_mean"]


@pytest.mark.parametrize("name", ["my-mean", "my_mean"])
def test_a_strategy_of_one_s_own_comes_with_its_folder(
    name: str, own_folder: Path, make_study: Callable[..., Study]
) -> None:
    study = make_study(f"aggregation.name='{name}'")
    assert parsed(command_words("quick", study, **GIVEN))["plugins"] == [str(own_folder)]
