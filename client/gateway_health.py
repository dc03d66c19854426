"""Whether the gateway answers, not only lives: gRPC's standard health service, on a loopback port of its own.

The gateway only asks others, so a gateway that hangs would be missed by nobody but the coordinator.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from grpc_health.v1 import health, health_pb2_grpc

from common.errors import UserError
from common.loopback import LOOPBACK


@contextmanager
def serving_health(port: int) -> Iterator[None]:
    """Answer questions after the gateway's health while the block runs. Raises UserError where the port is taken."""
    # so_reuseport: else a second gateway would share the port, and answer for one that hangs.
    server = grpc.server(ThreadPoolExecutor(1, "health"), options=[("grpc.so_reuseport", 0)])
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    try:
        server.add_insecure_port(f"{LOOPBACK}:{port}")
    except RuntimeError:
        raise UserError(
            f"port {port} of this machine, where the gateway says how it is, is taken; stop and start the site: new "
            "ports are chosen then"
        ) from None
    server.start()
    try:
        yield
    finally:
        server.stop(None)
