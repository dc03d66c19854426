"""A clock that Flower's own SuperLink refuses: the border is where we say it is, and the door tells whose it is."""

from base64 import b64encode
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.node_pb2 import Node
from flwr.supercore.primitives.asymmetric import public_key_to_bytes, sign_message
from flwr.supernode.fleet_http_client import FleetHttpClient

from client.clock import AHEAD, BEHIND
from server.coordinator.folder import CoordinatorFolder
from server.coordinator.roster import read_roster
from server.coordinator.views import transport_name
from server.front_door import clocks

pytestmark = [pytest.mark.processes, pytest.mark.slow]


@dataclass(frozen=True)
class ShiftedClock:
    """Signs as a SuperNode does, by a clock that is `ahead`."""

    key: Any
    ahead: timedelta

    def intercept(self, context: Any, call_next: Callable[[Any], httpx.Response]) -> httpx.Response:
        moment = (datetime.now(UTC) + self.ahead).isoformat()
        context.request.headers.update(
            {
                "flwr-public-key": b64encode(public_key_to_bytes(self.key.public_key())).decode(),
                "flwr-timestamp": moment,
                "flwr-signature": b64encode(sign_message(self.key, moment.encode())).decode(),
            }
        )
        return call_next(context)


def is_let_in(federation: Any, ahead: timedelta) -> bool:
    """Whether a heartbeat of the site by such a clock is taken."""
    key = serialization.load_ssh_private_key(federation.site.transport_key.read_bytes(), password=None)
    own: Any = ShiftedClock(key, ahead)
    request = SendNodeHeartbeatRequest(node=Node(node_id=federation.node_id), heartbeat_interval=30)
    with closing(
        FleetHttpClient(f"https://{federation.door}", interceptors=[own], verify=federation.trust())
    ) as client:
        try:
            return bool(client.SendNodeHeartbeat(request).success)
        except httpx.HTTPStatusError as error:
            if error.response.status_code != httpx.codes.UNAUTHORIZED:
                raise
            return False


def test_the_border_is_where_site_and_door_say(federation: Any) -> None:
    assert (AHEAD, BEHIND) == (clocks.AHEAD, clocks.BEHIND)
    second = timedelta(seconds=1)
    shifts = (AHEAD - 2 * second, AHEAD + 2 * second, -BEHIND + 5 * second, -BEHIND - second)
    assert [is_let_in(federation, shift) for shift in shifts] == [True, False, True, False]


def test_the_door_says_that_it_is_the_clock_and_whose(federation: Any) -> None:
    assert not is_let_in(federation, timedelta(minutes=10))
    folder = CoordinatorFolder(federation.coordinator)
    name = transport_name(read_roster(folder).sites[0].transport_key)
    log = (folder.logs / "door.log").read_text()
    assert "a site was refused since its clock is" in log
    assert f"transport_name {name} in" in log
