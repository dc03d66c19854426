"""A strategy's file says all that the list and the page show of it."""

import json
from pathlib import Path

import pytest

from common import plugins
from common.command import main
from server.strategy_facts import StrategyFacts, described, facts_of, markdown

SAMPLE = '''"""Tilted mean: a mean that | leans, as e.g. A.B. do. It has more to say.

Further down.
"""

from dataclasses import dataclass
from typing import ClassVar

from server.aggregation.fedavg import FedAvg


@dataclass(frozen=True)
class Tilted:
    tilt: float = 0.5
    pattern: str | None = None
    needs_individual_updates: ClassVar[bool] = True
    needs_lora: ClassVar[bool] = True
    claims: ClassVar[frozenset[str]] = frozenset({"exact", "ranks"})
    up: ClassVar[str] = "r*(m+n)"
    down: ClassVar[str] = "K*r*(m+n)"


build = Tilted
'''


def test_a_strategy_is_described_by_its_file() -> None:
    facts = facts_of("fedavg")
    assert facts.summary == "FedAvg: the next adapter is the weighted mean of the clients' adapters."
    assert (facts.exact, facts.linear, facts.ranks, facts.needs_lora, facts.options) == (False, True, False, False, ())
    lines = described(facts)
    assert lines[0] == "fedavg: the next adapter is the weighted mean of the clients' adapters."
    assert "exact: no; linear, and so goes with secure aggregation: yes" in lines[1]
    assert lines[2].strip() == "up 4*(r*(m+n)) and down 4*(r*(m+n)) bytes per LoRA layer and site"
    assert lines[3].strip() == "options: none"


def test_promises_that_hang_on_options_are_those_of_the_defaults() -> None:
    assert [(facts_of(name).exact, facts_of(name).ranks) for name in ("fedex-lora", "flora", "hetlora")] == [
        (True, False),
        (True, True),
        (False, True),
    ]


@pytest.mark.parametrize("name", plugins.available("server.aggregation"))
def test_every_strategy_has_a_sentence_and_formulas_that_can_be_read(name: str) -> None:
    facts = facts_of(name)
    assert facts.summary.endswith(".")
    assert len(facts.summary) > 20
    sizes = {"r": 2, "m": 3, "n": 5, "K": 7, "t": 2}
    assert all(eval(formula, {"__builtins__": {}, "min": min}, sizes) > 0 for formula in (facts.up, facts.down))


def test_an_own_folder_is_listed_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tilted_for_a_list.py").write_text(SAMPLE)
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["strategies", "--plugins", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    shipped = plugins.available("server.aggregation")
    assert [line.partition(":")[0] for line in lines if not line.startswith(" ")] == [*shipped, "tilted-for-a-list"]
    assert lines[-4:] == [
        "tilted-for-a-list: Tilted mean: a mean that | leans, as e.g.",
        "    exact: yes; linear, and so goes with secure aggregation: no; goes with federation.ranks: yes; "
        "needs LoRA: yes",
        "    up 4*(r*(m+n)) and down 4*(K*r*(m+n)) bytes per LoRA layer and site",
        "    options: tilt (0.5), pattern (unset)",
    ]


def test_machines_get_json(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["strategies", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in found] == plugins.available("server.aggregation")
    fedavg = next(each for each in found if each["name"] == "fedavg")
    assert (fedavg["secure_aggregation"], fedavg["up"], fedavg["options"]) == (True, "r*(m+n)", [])


def test_a_folder_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["strategies", "--plugins", "nowhere"]) == 2
    assert capsys.readouterr().err.startswith("fedpeft: --plugins: nowhere is not a folder")


def test_the_table_keeps_its_columns_whatever_a_docstring_says() -> None:
    facts = StrategyFacts("x", "a | b.", True, False, False, True, "r*n", "r*n", ('sign ("|")',))
    header, rule, row = markdown([facts]).splitlines()
    assert header.count("|") == rule.count("|") == row.count("|") - row.count("\\|")
