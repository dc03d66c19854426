"""Reading what a search varies: the file, the short form, and mistakes, each in one line."""

from pathlib import Path

import pytest

from common.errors import StudyError
from simulations.tune.space import Choices, Range, joined, parameter_of, read_parameter, read_space

FILE = """
"training.learning_rate" = { low = 1e-4, high = 1e-1, log = true }
"peft.rank" = { choices = [2, 4, 8] }

[training]
batch_size = { low = 4, high = 16, step = 4 }
"""
WANTED = [
    Range("training.learning_rate", 1e-4, 1e-1, log=True),
    Choices("peft.rank", (2, 4, 8)),
    Range("training.batch_size", 4, 16, step=4),
]


def test_a_file_has_keys_quoted_or_in_sections(tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text(FILE)
    assert read_space(tmp_path / "space.toml") == WANTED


def test_the_short_form_says_the_same() -> None:
    texts = ["training.learning_rate=1e-4..1e-1:log", "peft.rank=[2, 4, 8]", "training.batch_size = 4..16:4"]
    assert [read_parameter(text) for text in texts] == WANTED


@pytest.mark.parametrize("parameter", WANTED)
def test_a_parameter_reads_what_it_wrote(parameter: Range | Choices) -> None:
    assert parameter_of(parameter.key, parameter.to_json()) == parameter


def test_numbers_are_whole_where_all_are_written_so() -> None:
    assert Range("k", 1, 8, step=1).is_whole
    assert not Range("k", 1, 8.0).is_whole
    assert not Range("k", 1, 8, step=0.5).is_whole


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("peft.rank", "expected KEY=LOW..HIGH"),
        ("peft.rank=8", "peft.rank = 8; expected a range or choices"),
        ("peft.rank=eight", "'eight' is neither LOW..HIGH nor a list"),
        ("peft.rank=8..2", "low = 8 is not below high = 2"),
        ("peft.rank=2..x", "high = 'x'; expected a finite number"),
        ("peft.rank=2..8:log2", "step = 'log2'; expected a finite number"),
        ("peft.rank=0..8:log", "log = true goes without step, and with low > 0"),
        ("peft.rank=2..8:-1", "step = -1; expected a number above 0"),
        ("peft.rank=[2]", r"choices = \[2\]; expected a list of at least two"),
        ("peft.rank=[2, 2]", "choices has a value twice"),
        ("peft.rank={low=2}", "peft.rank: has low; expected low and high"),
        ("peft.rank={low=2, high=4, steps=1}", "unknown key 'steps'"),
        ("peft.rank={low=true, high=4}", "low = True; expected a finite number"),
        ("peft.rank={low=2, high=4, log=1}", "log = 1; expected true or false"),
    ],
)
def test_a_mistake_is_named(text: str, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        read_parameter(text)


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="there is no search space"):
        read_space(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("= 1")
    with pytest.raises(StudyError, match=r"bad\.toml is no search space in TOML"):
        read_space(tmp_path / "bad.toml")


def test_nothing_and_a_key_twice_are_refused() -> None:
    with pytest.raises(StudyError, match="nothing to vary"):
        joined([])
    with pytest.raises(StudyError, match=r"peft\.rank is in the search space twice"):
        joined([Choices("peft.rank", (2, 4)), Range("peft.rank", 2, 4)])
