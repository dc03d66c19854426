from collections.abc import Callable

import httpx

from common.web.assets import PLOTLY, collect, plotly_script, plotly_style_ids, style_ids

Ask = Callable[..., httpx.Response]


def test_plotly_comes_packed_and_is_the_installed_file(ask: Ask) -> None:
    answer = ask(f"/static/{PLOTLY}", accept_encoding="gzip")
    assert answer.headers["content-encoding"] == "gzip"
    assert int(answer.headers["content-length"]) < 2_000_000
    assert answer.content == plotly_script().read_bytes()


def test_a_file_comes_whole_to_whom_cannot_unpack(ask: Ask) -> None:
    answer = ask(f"/static/{PLOTLY}", accept_encoding="identity")
    assert "content-encoding" not in answer.headers
    assert int(answer.headers["content-length"]) == plotly_script().stat().st_size


def test_an_address_with_the_digest_is_kept_and_another_is_asked_again(ask: Ask) -> None:
    address = collect([]).address("web.css")
    assert "immutable" in ask(address).headers["cache-control"]
    for other in ("/static/web.css", "/static/web.css?v=0"):
        assert ask(other).headers["cache-control"] == "no-cache"


def test_a_file_that_has_not_changed_is_not_sent_again(ask: Ask) -> None:
    etag = ask("/static/web.css").headers["etag"]
    answer = ask("/static/web.css", if_none_match=etag)
    assert (answer.status_code, answer.content) == (304, b"")


def test_nothing_but_the_named_files_is_served(ask: Ask) -> None:
    for path in ("/static/../assets.py", "/static/%2e%2e%2fassets.py", "/static/assets.py", "/static/"):
        assert ask(path).status_code in (404, 405), path


def test_packing_loses_nothing(ask: Ask) -> None:
    packed = ask("/static/web.css", accept_encoding="gzip")
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.text == ask("/static/web.css", accept_encoding="identity").text


def test_style_ids_are_those_of_style_elements() -> None:
    name = "9f" * 32
    assert style_ids(f'x(document.getElementById("{name}"));getElementById("short")'.encode()) == [name]
    assert plotly_style_ids(), "plotly's script has changed: does it still add styles to the page?"
