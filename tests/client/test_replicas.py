"""Where the processes of one site listen: on the loopback, whatever the machine's surroundings ask for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from client.replicas import INTERFACES

MEET = """
import sys
from pathlib import Path

import psutil

from client.replicas import join

with join(0, 1, meeting=Path(sys.argv[1]), backend="gloo"):
    for found in psutil.Process().net_connections():
        print(found.laddr.ip)
"""


@pytest.mark.processes
def test_gradients_stay_on_the_loopback_where_a_cluster_chose_its_network(tmp_path: Path) -> None:
    """On a network they would travel in clear; here the chosen interface is not even there."""
    chosen = dict.fromkeys(INTERFACES, "fabric0")
    done = subprocess.run(
        [sys.executable, "-c", MEET, str(tmp_path / "meeting")],
        env={**os.environ, **chosen},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-500:]
    assert set(done.stdout.split()) == {"127.0.0.1"}
