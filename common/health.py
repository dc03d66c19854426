"""Whether a server answers, not only lives: the standard health service of gRPC, and GET /health over TLS."""

import ssl
from pathlib import Path
from urllib.parse import urlsplit

PATIENCE_S = 3.0


def grpc_health(address: str, *, service: str = "", patience_s: float = PATIENCE_S) -> bool:
    """Whether the server at `address` (host:port, or unix:PATH), without TLS, says that `service` is being served."""
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    options = [("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(address, options=options) as channel:
        try:
            request = health_pb2.HealthCheckRequest(service=service)
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=patience_s, wait_for_ready=True)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def http_health(
    url: str, ca: Path, *, name: str | None = None, any_status: bool = False, patience_s: float = PATIENCE_S
) -> bool:
    """Whether GET `url` answers 200 with a certificate of the authority in the file `ca`.

    Args:
        name: of the certificate, where the URL has only the loopback's address.
        any_status: a proxy lives that answers at all, if only that the server behind it does not.
    """
    import httpx

    try:
        context = ssl.create_default_context(cafile=ca)
        extensions = {"sni_hostname": name or urlsplit(url).hostname or ""}
        with httpx.Client(verify=context, trust_env=False, timeout=patience_s) as client:
            answer = client.get(url, extensions=extensions)
            return any_status or answer.status_code == httpx.codes.OK
    except (httpx.HTTPError, OSError):
        return False
