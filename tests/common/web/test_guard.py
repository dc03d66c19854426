from collections.abc import Callable
from pathlib import Path

import httpx

from common.web.guard import CONTENT_POLICY

Ask = Callable[..., httpx.Response]


def test_every_answer_has_the_headers(ask: Ask) -> None:
    for path in ("/nowhere", "/static/web.css", "/static/nowhere"):
        headers = ask(path).headers
        assert headers["content-security-policy"] == CONTENT_POLICY
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "cache-control" in headers


def test_the_policy_lets_nothing_in_line_and_nothing_from_outside() -> None:
    assert "default-src 'none'" in CONTENT_POLICY
    assert "unsafe" not in CONTENT_POLICY
    assert "http" not in CONTENT_POLICY


def test_a_foreign_name_reads_nothing(ask: Ask) -> None:
    answer = ask("/static/web.css", host="evil.example")
    assert answer.status_code == 421
    assert "root" not in answer.text


def test_there_are_no_documentation_pages(ask: Ask) -> None:
    assert [ask(path).status_code for path in ("/docs", "/redoc", "/openapi.json")] == [404] * 3


def test_our_own_files_load_nothing_from_outside() -> None:
    own = Path(__file__).resolve().parents[3] / "common" / "web"
    for path in [*own.glob("static/*"), *own.glob("templates/*")]:
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text, path
        assert "https:" not in text, path
        assert " style=" not in text, path
