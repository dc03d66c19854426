import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.budget import Budget
from common.errors import CheckpointError, RefusedError


@given(st.lists(st.integers(0, 50), max_size=20), st.integers(1, 300))
def test_what_is_spent_is_the_sum_of_what_fitted(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], limit: int
) -> None:
    path = tmp_path_factory.mktemp("budget") / "spent.json"
    total = 0
    for size in sizes:
        budget = Budget(path, durable=False)  # as after a restart each time
        if total + size > limit:
            with pytest.raises(RefusedError, match="STUDY_BUDGET_SPENT"):
                budget.spend(size, limit=limit)
        else:
            budget.spend(size, limit=limit)
            total += size
        assert budget.spent() == total <= limit


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"bytes": -1}', '{"bytes": true}', '{"bytes": 1.5}', "\xff"])
def test_a_damaged_count_lets_nothing_out(tmp_path: Path, content: str) -> None:
    path = tmp_path / "spent.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(CheckpointError, match=r"spent\.json"):
        Budget(path).spend(1, limit=100)


def test_the_file_is_its_owner_s(tmp_path: Path) -> None:
    Budget(tmp_path / "spent.json").spend(1, limit=1)
    assert stat.S_IMODE((tmp_path / "spent.json").stat().st_mode) == 0o600
