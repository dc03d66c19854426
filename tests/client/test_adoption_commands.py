"""`fedpeft site adopt` and `site adapter`: one table, one verdict, and exit codes that a script can rely on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from client.site_commands import register
from common.adapter_folder import write_adapter
from common.errors import UserError

Call = Callable[..., Result]


@pytest.fixture
def site(make_site: Callable[..., Any]) -> Any:
    return make_site("evaluation.validation_fraction=0.4")


@pytest.fixture
def adapters(site: Any, tmp_path: Path) -> list[Path]:
    """Two adapters of which one loses to the other: it says the opposite."""
    rng = np.random.default_rng(3)
    state = {t.name: rng.normal(size=t.shape).astype(np.float32) for t in site.bundle.schema.shared.tensors}
    for name, sign in (("one", 1), ("other", -1)):
        signed = {n: sign * array if n.startswith("head.") else array for n, array in state.items()}
        write_adapter(tmp_path / name, site.bundle, signed, card="")
    return [tmp_path / "one", tmp_path / "other"]


@pytest.fixture
def call(site: Any) -> Call:
    def run(command: str, *arguments: object) -> Result:
        app = typer.Typer(pretty_exceptions_enable=False)
        register(app)
        return CliRunner().invoke(app, ["site", command, str(site.folder.path), *map(str, arguments)])

    return run


def test_a_verdict_is_a_table_and_a_sentence(call: Call, adapters: list[Path]) -> None:
    done = call("adopt", adapters[0], "--strict")
    assert done.exit_code == 0, done.output
    assert "accepted: no version was in use" in done.output
    assert "this site uses quick@1" in done.output
    done = call("adopt", adapters[1], "--max-loss", 0)
    assert done.exit_code == 0, done.output
    assert "accepted: AUROC is 0." in done.output
    assert "(compared with quick@1)" in done.output


def test_strict_exits_3_where_the_site_keeps_what_it_has(call: Call, adapters: list[Path]) -> None:
    call("adopt", adapters[0])
    if json.loads(call("adopt", adapters[1], "--json").output)["accepted"]:
        adapters.reverse()
    done = call("adopt", adapters[1], "--strict", "--json")
    assert done.exit_code == 3
    found = json.loads(done.output)
    assert not found["accepted"]
    assert found["compared"]["gain"]["value"] < -0.02
    assert found["in_use"] == found["against"]
    assert call("adopt", adapters[1]).exit_code == 0  # a decision is no mistake
    assert call("adopt", adapters[1], "--max-loss", 1, "--strict").exit_code == 0


def test_what_is_in_use_and_how_it_came_to_that(call: Call, adapters: list[Path], site: Any) -> None:
    assert "uses no global adapter" in call("adapter").output
    call("adopt", adapters[0])
    call("adopt", adapters[1], "--max-loss", 1)
    said = call("adapter").output
    assert "promoted quick@2" in said
    assert f"use it: fedpeft predict --adapter {site.folder.adapters / 'quick'}" in said
    assert "quick@1 again" in call("adopt", "--rollback").output
    found = json.loads(call("adapter", "--json").output)["quick"]
    assert (found["in_use"], len(found["versions"]), found["problems"]) == (1, 2, [])
    assert found["history"][-1]["event"] == "rolled back"


@pytest.mark.parametrize("extra", [[], ["ADAPTER", "--rollback"]])
def test_an_adapter_or_rollback_not_both(call: Call, extra: list[str]) -> None:
    done = call("adopt", *extra)
    assert isinstance(done.exception, UserError)
    assert "either an ADAPTER to use, or --rollback" in str(done.exception)
