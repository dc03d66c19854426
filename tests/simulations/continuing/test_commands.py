"""`fedpeft continue`: the recorded command is what was given, and mistakes are one line."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.main import get_command
from typer.testing import CliRunner

from server.report.facts import command
from simulations.command_again import continue_words
from simulations.commands import register as register_others
from simulations.continuing.commands import register
from simulations.continuing.wish import Wish
from simulations.run import run

WEIGHTS = st.floats(1e-6, 1e6)


def app() -> typer.Typer:
    made = typer.Typer()
    register_others(made)
    register(made)
    return made


def parsed(words: list[str]) -> dict[str, Any]:
    first, name, *rest = shlex.split(command({"command": words}))
    assert (first, name) == ("fedpeft", "continue")
    found: dict[str, Any] = get_command(app()).commands[name].make_context(name, rest).params  # type: ignore[attr-defined] # a group's
    return {
        **found,
        "overrides": list(found["overrides"] or ()),
        "run": Path(found["run"]),
        "data": found["data"] and Path(found["data"]),
    }


@given(
    st.fixed_dictionaries({
        "rounds": st.none() | st.integers(1, 99),
        "seed": st.none() | st.integers(0, 99),
        "threads": st.integers(1, 64),
        "device": st.sampled_from(["cpu", "auto", "cuda:0"]),
        "comparison": st.booleans(),
    }),
    st.sampled_from(["runs/heart", "registry/heart@3", "a désk/run"]),
    st.none() | st.just(Path("new rows.csv")),
    st.booleans(),
    st.none() | st.tuples(st.sampled_from(["ewc", "distillation"]), WEIGHTS),
    st.lists(st.text(st.characters(exclude_characters="\0"))),
)  # fmt: skip
def test_the_command_line_reads_what_was_given(
    options: dict[str, Any],
    named: str,
    rows: Path | None,
    replay: bool,
    held: tuple[str, float] | None,
    keys: list[str],
) -> None:
    regulariser = None if held is None else {"kind": held[0], "weight": held[1]}
    found = parsed(continue_words(Path(named), Wish(rows, replay, regulariser, keys), **options))
    assert {name: found[name] for name in options} == options
    assert (found["run"], found["data"], found["replay"], found["overrides"]) == (Path(named), rows, replay, keys)
    weights = {"ewc": found["ewc"], "distillation": found["distill"]}
    assert weights == {"ewc": None, "distillation": None, **({} if held is None else {held[0]: held[1]})}


def test_two_ways_to_hold_on_are_one_too_many(tmp_path: Path) -> None:
    done = CliRunner().invoke(app(), ["continue", str(tmp_path), "--ewc", "1", "--distill", "1"])
    assert done.exit_code == 2
    assert "give one" in done.output


def test_a_phase_is_played_and_a_bundle_prepared_from_the_command_line(tmp_path: Path) -> None:
    fast = ["--set", "evaluation.resamples=0", "--set", "training.local_epochs=1", "--rounds", "1"]
    sites = 'federation.sites=["east","north"]'
    run("quick", out=tmp_path / "one", rounds=1, overrides=["evaluation.resamples=0", sites], comparison=False)
    done = CliRunner().invoke(app(), ["continue", str(tmp_path / "one"), "--out", str(tmp_path / "two"), *fast])
    assert done.exit_code == 0, done.output
    assert "Forgetting, on validation rows of the phases before" in done.output
    words = ["continue", str(tmp_path / "one"), "--bundle", "--out", str(tmp_path / "bundle")]
    done = CliRunner().invoke(app(), words)
    assert done.exit_code == 0, done.output
    assert "fedpeft server sign COORD" in done.output
    assert (tmp_path / "bundle" / "initial.safetensors").is_file()


@pytest.mark.parametrize("words", [["continue"], ["continue", "x", "--rounds", "0"]])
def test_wrong_usage_exits_2(words: list[str]) -> None:
    assert CliRunner().invoke(app(), words).exit_code == 2
