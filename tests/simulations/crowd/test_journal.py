"""The journals of a crowd: every line says whose it is, and one that was torn is none."""

import json
from dataclasses import replace
from pathlib import Path

from client.journal import Entry
from simulations.crowd.journal import CrowdJournal, lines
from simulations.crowd.shelf import Shelf

ENTRY = Entry("released", "east", "s", "run-1", 1, "train", None, 2, 8, "sha256:0", ("validation auroc",), (), 5)


def test_lines_are_with_the_system_at_once_and_go_on_in_a_later_process(tmp_path: Path) -> None:
    first = CrowdJournal(Shelf(tmp_path))
    first.append(ENTRY)
    first.append(replace(ENTRY, site="west"))
    assert [site for site, _ in lines(tmp_path)] == ["east", "west"]
    killed = tmp_path / "0001" / "journal.jsonl"
    killed.write_bytes(killed.read_bytes() + b'{"site": "nor')
    second = CrowdJournal(Shelf(tmp_path))
    second.append(replace(ENTRY, round=2))
    found = [json.loads(line) for _, line in lines(tmp_path)]
    assert [(each["site"], each["round"]) for each in found] == [("east", 1), ("west", 1), ("east", 2)]
    assert set(found[0]) == {"time", *vars(ENTRY)}
    assert {name: found[0][name] for name in vars(ENTRY)} == json.loads(json.dumps(vars(ENTRY)))
