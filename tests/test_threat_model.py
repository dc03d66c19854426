"""The threat model names tests: each of them is there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_every_test_that_the_threat_model_names_is_there() -> None:
    text = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", text))
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert len(named) > 40
    assert {name for name in named if f"def {name}(" not in sources} == set()
    assert all((ROOT / path).exists() for path in re.findall(r"`(tests/[\w/.]+)`", text))


def test_every_row_names_a_test_or_says_that_there_is_none() -> None:
    text = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
    actors = text[text.index("## Actors") : text.index("## What a hospital should still do")]
    rows = [line.split("|") for line in actors.splitlines() if line.startswith("|")]
    rows = [row for row in rows if row[3].strip() not in {"test", "---"}]
    assert len(rows) > 25
    for row in rows:
        assert "`test_" in row[3] or (row[3].strip() == "-" and "**not stopped" in row[2]), row
