"""NVFlare's simulator (https://github.com/NVIDIA/NVFlare): its FedAvg recipe, a process for each client.

Its clients stay as long as the simulation and so load the base model once; each computes with one thread.
Run by a Python that has nvflare (`simulations.bench.simulator`).
"""

import os
from contextlib import suppress
from itertools import count
from multiprocessing.connection import Listener
from pathlib import Path
from signal import SIGKILL
from tempfile import TemporaryDirectory
from threading import Thread

from nvflare.app_opt.pt.recipes.fedavg import FedAvgRecipe
from nvflare.recipe import SimEnv

from simulations.bench.process_tree import tree
from simulations.bench.rivals.nvflare_adapter import Adapter
from simulations.bench.rivals.nvflare_client import ADDRESS
from simulations.bench.rivals.work import Work
from simulations.bench.turns import Turns, serve

ROUNDS = 10**6
CLIENT = Path(__file__).with_name("nvflare_client.py")


def play(turns: Turns) -> None:
    """Play rounds until nobody asks for another."""
    clients = len(Work().rows)
    with TemporaryDirectory(prefix="nvflare-") as scratch:
        os.environ[ADDRESS] = str(Path(scratch) / "gate")
        os.environ["OMP_NUM_THREADS"] = "1"
        with Listener(os.environ[ADDRESS], backlog=clients) as listener:
            Thread(target=_simulate, args=(clients, scratch), daemon=True).start()
            gates = [listener.accept() for _ in range(clients)]
            try:
                for number in count():
                    for gate in gates:
                        gate.recv_bytes()
                    if number:
                        turns.done()
                    for gate in gates:
                        gate.send_bytes(b"train")
            finally:
                _end()


def _simulate(clients: int, scratch: str) -> None:
    recipe = FedAvgRecipe(
        name="bench", model=Adapter(), min_clients=clients, num_rounds=ROUNDS, train_script=str(CLIENT)
    )
    recipe.execute(SimEnv(num_clients=clients, num_threads=clients, workspace_root=scratch))


def _end() -> None:
    """End the simulation, which has rounds to play yet."""
    for pid in reversed(tree(os.getpid())[1:]):
        with suppress(ProcessLookupError):
            os.kill(pid, SIGKILL)


if __name__ == "__main__":
    serve(play)
