from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from common.state import AdapterSchema
from server.aggregation.fedavg import FedAvg
from server.job import ServerJob
from simulations.deadlines import without_deadlines

SCHEMA = AdapterSchema.of({"x": np.zeros(1, np.float32)})
JOB = ServerJob("sha256:s", SCHEMA, 2, FedAvg(), ("a",), 1, 0, Path("out"), deadline_s=5.0, connect_s=7.0)


@pytest.mark.parametrize("connect_s", [None, 3.0])
def test_every_reply_is_waited_for_and_nothing_else_is_changed(connect_s: float | None) -> None:
    found = without_deadlines(JOB, connect_s=connect_s)
    assert (found.deadline_s, found.connect_s) == (None, connect_s)
    assert replace(found, deadline_s=5.0, connect_s=7.0) == JOB
