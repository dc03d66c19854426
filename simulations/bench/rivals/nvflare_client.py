"""What NVFlare's simulator runs for each client: the base model is loaded once, each task trains it.

Before it trains, a client says that the task is here, and waits: so the round that led to the task is over.
"""

import os
from multiprocessing.connection import Client

import nvflare.client as flare

from simulations.bench.rivals.nvflare_adapter import received, sent
from simulations.bench.rivals.work import Work

ADDRESS = "FEDPEFT_BENCH_GATE"
"""The variable that names the socket of whoever lets clients train."""


def main() -> None:
    """Train whenever the server asks and the gate opens."""
    flare.init()
    work = Work()
    site = sorted(work.rows)[int(flare.get_site_name().rpartition("-")[2]) - 1]
    loop = work.loop(threads=1)
    with Client(os.environ[ADDRESS]) as gate:
        while flare.is_running():
            task = flare.receive()
            if task is None:
                return
            gate.send_bytes(b"here")
            gate.recv_bytes()
            loop.set_state(received(task.params))
            loop.round(work.load(site, 1))
            meta = {"NUM_STEPS_CURRENT_ROUND": len(work.rows[site].train)}
            flare.send(flare.FLModel(params=sent(loop.state()), meta=meta))


if __name__ == "__main__":
    main()
