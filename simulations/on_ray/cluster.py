"""Ray itself: one of our own for a run, or the one that is there, which RAY_ADDRESS names."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final  # Ray has no types

import ray

from common.errors import UserError
from simulations.on_ray.room import Machine

CONNECT_S: Final = 10.0
QUIETLY: Final = {"logging_level": logging.CRITICAL, "log_to_driver": False}


def is_there() -> bool:
    """Whether a Ray is there already: in this process, as in a notebook, or where RAY_ADDRESS says."""
    return bool(ray.is_initialized() or os.environ.get("RAY_ADDRESS", "local") not in ("", "local"))


@contextmanager
def started(*, cores: int, gpus: int) -> Iterator[None]:
    """Run a Ray of our own while the block runs; it has no more than the workers need, and starts no more processes."""
    with _calm():
        ray.init(address="local", num_cpus=cores, num_gpus=gpus, include_dashboard=False, **QUIETLY)
        try:
            yield
        finally:
            ray.shutdown()


@contextmanager
def joined() -> Iterator[list[Machine]]:
    """Use the Ray that is there while the block runs; yield its machines. Raises UserError: it does not answer."""
    mine = not ray.is_initialized()
    with _calm():
        if mine:
            _join(os.environ["RAY_ADDRESS"])
        try:
            yield [_machine(node) for node in ray.nodes() if node["Alive"]]
        finally:
            if mine:
                ray.shutdown()


def _join(address: str) -> None:
    """Connect to a cluster; Ray itself would try for minutes where nobody listens."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    try:
        if colon:
            socket.create_connection((host, int(port)), timeout=CONNECT_S).close()
        ray.init(**QUIETLY)
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"RAY_ADDRESS {address!r} names no Ray that answers ({type(error).__name__})") from None


def _machine(node: dict[str, Any]) -> Machine:
    found = node["Resources"]
    return Machine(int(found.get("CPU", 0)), int(found.get("GPU", 0)))


@contextmanager
def _calm() -> Iterator[None]:
    """No line of Ray's loggers between ours."""
    logger = logging.getLogger("ray")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
