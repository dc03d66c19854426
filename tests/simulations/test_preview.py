import re
from pathlib import Path

import pytest

from simulations.preview import describe


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Two clinics of 40 patients each: one with both outcomes in turn, one with no event at all."""
    lines = ["site,patient,age,note,outcome"]
    lines += [f"mixed,m{i},50,text {i},{'yes' if i % 2 else 'no'}" for i in range(40)]
    lines += [f"quiet,q{i},50,text {i},no" for i in range(40)]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_site_whose_test_rows_have_one_class_is_named(rows: Path) -> None:
    lines = list(describe("quick", [f"simulation.data={rows}"]))
    mixed, quiet = (next(line for line in lines if line.startswith(site)) for site in ("mixed", "quiet"))
    assert "(no 20, yes 20)" in mixed
    assert "(no 40, yes 0)" in quiet
    assert "no AUROC" in quiet
    assert "no AUROC" not in mixed


def test_every_row_of_a_site_is_in_one_part(rows: Path) -> None:
    found = [
        re.search(r"train (\d+), validation (\d+), test (\d+)", line)
        for line in describe("quick", [f"simulation.data={rows}"])
    ]
    counts = [[int(text) for text in match.groups()] for match in found if match]
    assert [sum(parts) for parts in counts] == [40, 40]
    assert all(min(parts) > 0 for parts in counts)
