"""Flower's simulation as its documentation has it: FedAvg, a ClientApp that trains, `run_simulation` over Ray.

The ClientApp follows FlowerTune's: it builds base model and adapter, sets the tensors that came, trains, and replies
with the adapter's. As there, Flower evaluates nothing; validation rows are scored within the train message, since one
of its own would load the base model again. Rows are tokenised once in each process.
"""

import logging
import os
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any  # Flower's backend configuration

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

from client.execution import Execution
from client.site_rows import SiteRows
from common.machine import usable_cores
from common.quiet import silence
from common.study import Study
from simulations.bench.bare_loop import BareLoop, load_of, tokenised
from simulations.bench.turns import Over, Turns
from simulations.catalogue import base_folder, load
from simulations.virtual import read_sites

client = ClientApp()
_ALONE = Execution(precision="fp32", threads=1)
"""A core for each of Ray's actors."""


@client.train()
def train(message: Message, context: Context) -> Message:
    """Train at the site of this partition."""
    config = message.content.config_records["config"]
    name, scratch = str(config["study"]), str(config["scratch"])
    study, rows, base = _work(name, scratch)
    site = sorted(rows)[int(context.node_config["partition-id"])]
    loop = _resident(name, scratch) if config["resident"] else BareLoop(base, study, _ALONE)
    loop.set_state(message.content.array_records["arrays"].to_torch_state_dict())
    own = {site: rows[site]}
    loop.round(load_of(study, own, round_number=int(str(config["server-round"]))))
    content: dict[str, ArrayRecord | MetricRecord | ConfigRecord] = {
        "arrays": ArrayRecord(loop.state()),
        "metrics": MetricRecord({"num-examples": len(rows[site].train)}),
    }
    return Message(RecordDict(content), reply_to=message)


@lru_cache
def _work(name: str, scratch: str) -> tuple[Study, dict[str, SiteRows], str]:
    """Return the study, its sites' rows and the folder of its base model, in this process for good.

    What is generated goes to a folder of this process's own in `scratch`.
    """
    silence(os.environ)
    study, own = load(name), Path(scratch) / f"process-{os.getpid()}"
    own.mkdir()
    base = base_folder(study, own)
    return study, tokenised(study, read_sites(study, own), base), str(base)


@lru_cache
def _resident(name: str, scratch: str) -> BareLoop:
    study, _, base = _work(name, scratch)
    return BareLoop(base, study, _ALONE)


def _check_moved(before: ArrayRecord, after: ArrayRecord) -> None:
    """Refuse a round in which nobody trained: Flower goes on without the clients that fail."""
    pairs = zip(before.to_numpy_ndarrays(), after.to_numpy_ndarrays(), strict=True)
    if all(np.array_equal(one, other) for one, other in pairs):
        raise RuntimeError("no client of Flower's simulation has trained")


def play(turns: Turns, name: str, *, resident: bool) -> None:
    """Play rounds until nobody asks for another."""
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as scratch:  # its sockets' paths have to be short
        _play(turns, name, scratch, resident=resident)


def _play(turns: Turns, name: str, scratch: str, *, resident: bool) -> None:
    study, rows, base = _work(name, scratch)
    server = ServerApp()

    @server.main()
    def main(grid: Grid, context: Context) -> None:  # noqa: ARG001 # Flower's signature
        rounds: list[ArrayRecord] = []

        def note(number: int, arrays: ArrayRecord) -> MetricRecord:
            if number:
                _check_moved(rounds.pop(), arrays)
                turns.done()
            rounds.append(arrays)
            return MetricRecord({"tensors": len(arrays)})

        strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=len(rows), min_available_nodes=len(rows))
        initial = ArrayRecord(BareLoop(base, study, _ALONE).state())
        config = ConfigRecord({"study": name, "scratch": scratch, "resident": resident})
        try:
            strategy.start(grid, initial, num_rounds=10**6, train_config=config, evaluate_fn=note)
        except Over:
            return

    for each in ("flwr", "ray"):
        logging.getLogger(each).setLevel(logging.CRITICAL + 1)
    backend: dict[str, Any] = {
        "init_args": {
            "num_cpus": usable_cores(),
            "include_dashboard": False,
            "log_to_driver": False,
            "logging_level": logging.CRITICAL,
            "_temp_dir": scratch,
        },
        "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
    }
    run_simulation(server, client, len(rows), backend_config=backend)
