"""docs/study.md names every key of a study; docs/strategies.md has every strategy, and an example that works."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from common.command import main
from common.study import Study
from server.strategy_page import with_table

ROOT = Path(__file__).parent.parent
STUDY_PAGE = (ROOT / "docs" / "study.md").read_text(encoding="utf-8")
STRATEGIES_PAGE = (ROOT / "docs" / "strategies.md").read_text(encoding="utf-8")


def test_every_key_of_a_study_is_on_the_page() -> None:
    missing = []
    for name, field in Study.model_fields.items():
        kind = field.annotation
        inner = list(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else []
        missing += [f"{name}.{key}" for key in inner if f"`{key}`" not in STUDY_PAGE]
        if f"`{name}`" not in STUDY_PAGE and f"`[{name}]`" not in STUDY_PAGE:
            missing.append(name)

    assert missing == []


def test_the_table_of_strategies_is_up_to_date() -> None:
    assert with_table(STRATEGIES_PAGE) == STRATEGIES_PAGE, "run: python -m server.strategy_page"


@pytest.fixture
def own_strategy(tmp_path: Path) -> Path:
    """The page's example, in a folder of its own."""
    example = STRATEGIES_PAGE.partition("<!-- example: begin -->\n```python\n")[2].partition("```\n")[0]
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "sign_mean.py").write_text(example)
    return folder


def commands_of_the_page(folder: Path) -> list[list[str]]:
    block = STRATEGIES_PAGE.partition("```console\n")[2].partition("```")[0]
    return [[str(folder) if word == "mine" else word for word in shlex.split(line)] for line in block.splitlines()]


def test_the_example_of_a_strategy_is_listed_and_federates(own_strategy: Path, tmp_path: Path, capsys) -> None:
    listing, simulation, _ = commands_of_the_page(own_strategy)
    with pytest.raises(SystemExit, match=r"^0$"):
        main(listing[1:])
    assert "sign-mean: each number moves by a fixed step" in " ".join(capsys.readouterr().out.split()).replace(
        "Sign mean: ", ""
    )
    fast = ["--rounds", "2", "--no-comparison", "--out", str(tmp_path / "run"), "--set", "evaluation.resamples=5"]
    with pytest.raises(SystemExit, match=r"^0$"):
        main([*simulation[1:], *fast])
    found = json.loads((tmp_path / "run" / "results.json").read_text())
    assert found["study"]["aggregation"]["name"] == "sign-mean"
    assert all(entry["diagnostics"]["aggregation_error"] > 0 for entry in found["rounds"])


def test_the_example_of_a_strategy_passes_the_contract_tests(own_strategy: Path) -> None:
    command = commands_of_the_page(own_strategy)[2]
    words = [*command[1:], "-p", "no:cacheprovider", "-vv", "-k", "sign-mean"]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_order_does_not_matter[sign-mean] PASSED" in done.stdout
    assert "test_additive_means_that_one_client_split_in_two_changes_nothing[sign-mean] PASSED" in done.stdout


def test_a_wrong_claim_of_an_own_strategy_is_found(own_strategy: Path) -> None:
    file = own_strategy / "sign_mean.py"
    file.write_text(file.read_text().replace('{"shape_keeping", "additive"}', '{"shape_keeping", "exact"}'))
    words = [*commands_of_the_page(own_strategy)[2][1:], "-p", "no:cacheprovider", "-k", "sign-mean and exact"]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "test_exact_is_claimed_by_those_that_are[sign-mean]" in done.stdout
