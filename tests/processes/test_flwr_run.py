"""`flwr run .` in the clone, as users of Flower know it: the study over Flower's own simulation.

The local SuperLink is started here with the options that `flwr run` would give it: one that it starts by itself would
stay after the test.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simulations.run import run

pytestmark = [pytest.mark.processes, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ["--insecure", "--simulation", "--isolation", "subprocess", "--database", "state.db"]


def test_flwr_run_plays_the_study_of_a_simulation(
    tmp_path: Path, processes: Any, free_port: Callable[[], int], is_healthy: Callable[..., bool]
) -> None:
    """Two SuperNodes, Flower's default, play the first two of the three sites."""
    port, out = free_port(), tmp_path / "out"
    processes.environ["FLWR_LOCAL_SUPERLINK_HTTP_API_PORT"] = str(port)
    processes.start("superlink", "flower-superlink", *LOCAL, "--host", "127.0.0.1", "--port", str(port))
    processes.wait_until(lambda: is_healthy(f"http://127.0.0.1:{port}"), what="SuperLink", deadline_s=60)
    config = ["-c", f'out="{out}" overrides="federation.rounds=1"']
    resources = ["--federation-config", "client-resources-num-cpus=1"]
    log = processes.call("flwr", "run", str(ROOT), "--stream", *config, *resources, deadline_s=200)

    sites = 'federation.sites=["east","north"]'
    simulated = tmp_path / "simulated"
    expected = run("quick", out=simulated, rounds=1, overrides=[sites], comparison=False, group_size=1).content
    assert (out / "results.json").exists(), log
    found = json.loads((out / "results.json").read_text())
    assert found["digests"] == expected["digests"]
    assert found["digests"]["adapter"] in log
    assert (out / "report.html").exists()
