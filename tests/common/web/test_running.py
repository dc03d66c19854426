import os
import signal
import threading

import httpx
import pytest

from common.errors import UserError
from common.web.assets import collect
from common.web.base import base_app
from common.web.hosts import hosts_of
from common.web.running import address, listen, serve, serving

APP = base_app(collect([]), hosts_of("127.0.0.1"))


def test_it_serves_beside_other_work_and_ends_with_it() -> None:
    with serving(APP, listen("127.0.0.1", 0)) as url:
        assert httpx.get(f"{url}/static/web.css").status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/static/web.css")


def test_it_serves_until_a_signal_and_leaves_the_handlers_as_they_were() -> None:
    before = signal.getsignal(signal.SIGTERM)
    said: list[str] = []

    def ask_and_end() -> None:
        said.append(str(httpx.get(f"{said[0]}/static/web.css").status_code))
        os.kill(os.getpid(), signal.SIGTERM)

    def say(url: str) -> None:
        said.append(url)
        threading.Thread(target=ask_and_end).start()

    serve(APP, listen("127.0.0.1", 0), say)
    assert said[1:] == ["200"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_taken_port_is_said() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert address(taken) == f"http://127.0.0.1:{port}"
        with pytest.raises(UserError, match=rf"port {port}: Address already in use; choose another port"):
            listen("127.0.0.1", port)
