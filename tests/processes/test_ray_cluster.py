"""Ray itself, in processes of its own: what it makes of the share of a GPU, and whom it listens to."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes


def python(folder: Path, program: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=240)


SHARING = """
import os
import sys
from contextlib import closing

from simulations.ray_runtime import lock
lock(os.environ)
import ray
from common.errors import UserError
from simulations.on_ray.cluster import joined, started
from simulations.on_ray.crew import Crew, worker_of
from simulations.on_ray.letters import Parcel
from simulations.on_ray.room import plan


class Where:
    def gpu(self):
        return os.environ["CUDA_VISIBLE_DEVICES"]


with started(cores=4, gpus=2):
    with joined() as machines:
        need = plan(machines, threads=1, on_gpu=True, sites=9, asked=4, begun=None).need
    workers = [ray.remote(**need.options)(Where).remote() for _ in range(4)]
    print(sorted(ray.get([each.gpu.remote() for each in workers])))
    for each in workers:
        ray.kill(each)
    with closing(Crew(worker_of("/nowhere", {}, need), 1, print)) as crew:
        crew.give([Parcel((), ())])
        try:
            while True:
                crew.take(1.0)
        except UserError as error:
            print(error)
"""


@pytest.mark.slow
def test_workers_share_gpus_evenly_and_a_mistake_comes_back_as_one(tmp_path: Path) -> None:
    """Ray takes our word for two GPUs; whoever is given a part sees one of them only. Then a folder nobody sees."""
    done = python(tmp_path, SHARING)
    gpus, mistake = done.stdout.splitlines()
    assert (done.returncode, gpus, done.stderr) == (0, "['0', '0', '1', '1']", "")
    assert "does not see the run in /nowhere" in mistake


LISTENING = """
import os
from simulations.ray_runtime import lock
lock(os.environ)
import ray, subprocess, sys
from simulations.on_ray.cluster import started
with started(cores=1, gpus=0):
    address = ray.get_runtime_context().gcs_address
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    joining = f"import ray; ray.init(address={address!r}, log_to_driver=False); print('joined')"
    print(subprocess.run([sys.executable, "-c", joining], env=environ, capture_output=True, text=True).stdout)
"""


@pytest.mark.slow
def test_a_ray_of_our_own_takes_no_commands_of_others(tmp_path: Path) -> None:
    """Its ports are open to the network; without the secret of the process nobody joins."""
    done = python(tmp_path, LISTENING)
    assert (done.returncode, done.stdout.strip()) == (0, "")
