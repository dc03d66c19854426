"""Deadlines of a simulation: none, so that a result does not depend on how fast the machine is."""

from dataclasses import replace

from server.job import ServerJob

WORKERS_START_S = 600.0
"""For processes that each import torch and load the base model before the first site answers."""


def without_deadlines(job: ServerJob, *, connect_s: float | None = None) -> ServerJob:
    """Return the job with every reply waited for. connect_s: for sites to be there; None where they are at once."""
    return replace(job, deadline_s=None, connect_s=connect_s)
