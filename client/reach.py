"""Whether this site reaches its coordinator: the front door's health, over TLS with the authority of join.toml.

The SuperNode tries for ever and says so in its log only; this says it to whoever starts the site or asks how it is.
"""

import ssl
from datetime import UTC, datetime

import httpx

from client.clock import clock_error
from client.settings import read_settings
from client.site_folder import SiteFolder

PATIENCE_S = 5.0
ANSWERS = "the coordinator answers"
TRYING = "the site goes on trying"


def coordinator_state(folder: SiteFolder) -> str:
    """Return ANSWERS, or what stands in the way and what to do."""
    address = read_settings(folder).coordinator.address
    try:
        context = ssl.create_default_context(cafile=folder.coordinator_ca)
        asked = datetime.now(UTC)
        answer = httpx.get(f"https://{address}/health", verify=context, timeout=PATIENCE_S, trust_env=False)
    except httpx.HTTPError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return _foreign_certificate(address, str(error))
        return (
            f"the coordinator at {address} cannot be reached ({type(error).__name__}); {TRYING}. Has it "
            "been started, and may this machine open a TCP connection to that port?"
        )
    except OSError:  # of ssl too
        return "coordinator/ca.crt is no certificate that can be read; copy it out of the coordinator's join.toml again"
    if answer.status_code != httpx.codes.OK:
        return f"the coordinator at {address} answers with status {answer.status_code}; {TRYING}. Is its SuperLink up?"
    return clock_error(answer.headers.get("date"), asked, datetime.now(UTC)) or ANSWERS


def _foreign_certificate(address: str, text: str) -> str:
    reason = text.partition("certificate verify failed: ")[2].partition(" (_ssl")[0] or "not trusted"
    return (
        f"the certificate that {address} shows is refused ({reason}): another coordinator's join.toml, an address or a "
        "clock that is wrong, or something in between that opens TLS; nothing is sent there"
    )
