"""What the service answers: `fedpeft predict`'s numbers, each client its own, and errors without a patient's words."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from client.exporting import export_to
from client.opening import Place
from client.serving.batching import Sizes
from common.errors import UserError
from common.web.hosts import hosts_of

Make = Callable[..., Any]
PRIVATE = "peft.private=['head.*', '*lora_B*']"


def ask(client: Any, rows: list[dict[str, Any]], **more: Any) -> list[dict[str, Any]]:
    answer = client.post("/v1/predict", json={"rows": rows, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]


@pytest.mark.parametrize("peft", ["method='lora'", "method='prefix', virtual_tokens=5", "method='bitfit'"])
def test_predictions_are_those_of_the_command(
    peft: str, make_adapter: Make, serve: Make, are_close: Make, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    adapter = make_adapter(f"peft={{{peft}}}")
    client, _ = serve(adapter)
    assert are_close(ask(client, rows), adapter.predicted(rows, tmp_path))
    assert are_close(ask(client, rows[:1]), adapter.predicted(rows[:1], tmp_path))


def test_numbers_may_be_numbers_texts_or_missing(
    make_adapter: Make, serve: Make, are_close: Make, tmp_path: Path
) -> None:
    adapter = make_adapter()
    client, _ = serve(adapter)
    rows: list[dict[str, Any]] = [
        {"age": 63, "note": "rash"},
        {"age": 63.0, "note": "rash"},
        {"age": "63.0", "note": "rash"},
    ]
    found = ask(client, [*rows, {"age": None, "note": "rash"}])
    assert found[0] == found[1] == found[2] != found[3]
    assert are_close(found, adapter.predicted([*rows, {"age": "", "note": "rash"}], tmp_path))


def test_many_clients_get_their_own_answers(
    make_adapter: Make, serve: Make, are_close: Make, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    adapter = make_adapter(PRIVATE, sites=("east", "west"))
    client, service = serve(adapter, sizes=Sizes(max_batch=8, max_wait_s=0.02))
    wanted = {site: adapter.predicted(rows, tmp_path, site) for site in ("east", "west")}
    asked = [(start, start % 7 + 1, ("east", "west")[start % 2]) for start in range(60)]

    def one(start: int, count: int, site: str) -> bool:
        return are_close(ask(client, rows[start : start + count], site=site), wanted[site][start : start + count])

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(lambda each: one(*each), asked))
    assert wanted["east"] != wanted["west"]
    counted = service.metrics.text().decode()
    assert f"fedpeft_serve_rows_total {float(sum(count for _, count, _ in asked))}" in counted
    batches = float(counted.partition("fedpeft_serve_batch_rows_count ")[2].split()[0])
    assert batches < len(asked)  # several went together


def test_a_foreign_name_that_points_to_the_loopback_is_not_answered(make_adapter: Make, serve: Make) -> None:
    client, _ = serve(make_adapter(), hosts=hosts_of("127.0.0.1"))
    for name, status in (("127.0.0.1:8000", 200), ("localhost", 200), ("evil.example:8000", 421), ("", 421)):
        for path in ("/v1/model", "/metrics", "/openapi.json"):
            assert client.get(path, headers={"Host": name}).status_code == status
    assert client.post("/v1/predict", json={"rows": []}, headers={"Host": "evil.example"}).status_code == 421


def test_no_page_of_ours_fetches_a_script_from_elsewhere(make_adapter: Make, serve: Make) -> None:
    client, _ = serve(make_adapter())
    assert [client.get(path).status_code for path in ("/docs", "/redoc")] == [404, 404]


def test_strange_numbers_and_texts_are_errors_without_their_value(
    make_adapter: Make, serve: Make, caplog: pytest.LogCaptureFixture
) -> None:
    client, _ = serve(make_adapter())
    bodies = [
        '{"rows": [{"age": 1%s, "note": "SECRET"}]}' % ("0" * 400),
        '{"rows": [{"age": 1%s, "note": "SECRET"}]}' % ("0" * 5000),
        '{"rows": [{"age": NaN, "note": "SECRET"}]}',
        '{"rows": [{"age": 1, "note": "SECRET\\ud800"}]}',
        '{"rows": [{"age": "SECRET", "note": "x"}]}',
        '{"rows": [{"age": {"SECRET": 1}, "note": "x"}]}',
        '{"rows": ' + "[" * 100_000 + '"SECRET"' + "]" * 100_000 + "}",
        '{"rows": [{"age": 1, "note": "\\u0000"}]}',
    ]
    for body in bodies:
        answer = client.post("/v1/predict", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in (200, 400, 422), (body[:60], answer.status_code, answer.text)
        assert "SECRET" not in answer.text + caplog.text


def test_a_site_is_asked_for_and_must_be_known(make_adapter: Make, serve: Make, rows: list[dict[str, Any]]) -> None:
    client, _ = serve(make_adapter(PRIVATE, sites=("east", "west")))
    missing = client.post("/v1/predict", json={"rows": rows[:1]})
    assert (missing.status_code, missing.json()["error"]) == (
        422,
        "site: not there; expected one of east, west, which have their own parameters",
    )
    unknown = client.post("/v1/predict", json={"rows": rows[:1], "site": "north"})
    assert (unknown.status_code, unknown.json()["error"]) == (404, "there is no such site here; there are: east, west")
    assert client.get("/v1/model").json()["sites"] == ["east", "west"]


def test_sites_are_needed_where_tensors_are_their_own_and_only_there(make_adapter: Make, serve: Make) -> None:
    with pytest.raises(UserError, match=r"keeps \d+ tensors at each site .* --site NAME=DIR"):
        serve(make_adapter(PRIVATE))
    with pytest.raises(UserError, match="no tensor of this study is a site's own"):
        serve(make_adapter(), sites={"east": Path("nowhere")})
    with pytest.raises(UserError, match=r"--site east=nowhere: there is no private.safetensors"):
        serve(make_adapter(PRIVATE), sites={"east": Path("nowhere")})


SECRET = "Jane-Roe-4711"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"rows": [{"age": 1}]}, "row 1, column 'note': not there; expected a text or number, or null where missing"),
        ({"rows": [{"age": SECRET, "note": SECRET}]}, "row 1, column 'age': found a text of 13 characters, expected a"),
        ({"rows": [{"age": [SECRET], "note": "a"}]}, "row 1, column 'age': found a list, expected a number, or null"),
        ({"rows": [{"age": True, "note": "a"}]}, "row 1, column 'age': found true or false, expected a number"),
        (
            {"rows": [{"age": 1, "note": "a"}, {"age": 1, "note": "a", "name": SECRET}]},
            "row 2, column 'name': the study has no such column; send only age, note",
        ),
        ({"rows": []}, "rows: found 0, expected 1 to 4 in each request"),
        ({"rows": [{"age": 1, "note": SECRET}] * 5}, "rows: found 5, expected 1 to 4 in each request"),
        ({"rows": SECRET}, "rows: found a text, expected a list of tables"),
        ({"rows": [SECRET]}, "row 1: found a text, expected a table"),
        ({"patients": SECRET}, "rows: not there; expected a list of tables"),
        ([SECRET], "the body is no JSON object"),
    ],
)
def test_a_wrong_request_gets_one_sentence_without_its_values(
    body: Any, message: str, make_adapter: Make, serve: Make, caplog: pytest.LogCaptureFixture
) -> None:
    client, _ = serve(make_adapter(), most_rows=4)
    answer = client.post("/v1/predict", json=body)
    assert (answer.status_code, list(answer.json())) == (422, ["error"])
    assert answer.json()["error"].startswith(message)
    assert SECRET not in answer.text + caplog.text


def test_a_body_that_is_too_large_is_not_read(make_adapter: Make, serve: Make) -> None:
    client, _ = serve(make_adapter(), most_bytes=1000)
    said = "the body is larger than 1000 bytes; send fewer rows in each request"
    for content in (b"x" * 1001, iter([b"x" * 600, b"x" * 600])):  # announced, and in pieces
        answer = client.post("/v1/predict", content=content)
        assert (answer.status_code, answer.json()["error"]) == (413, said)


def test_a_full_queue_says_when_to_come_again(make_adapter: Make, serve: Make, rows: list[dict[str, Any]]) -> None:
    client, service = serve(make_adapter(), sizes=Sizes(max_batch=100, max_wait_s=60, most_waiting=3))
    waiting = service.submit(rows[:3], None)
    answer = client.post("/v1/predict", json={"rows": rows[:1]})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["error"] == "3 rows wait, at most 3 may; try again"
    service.queue.close()
    assert len(waiting.answer.result()[0]) == 3  # what waited is answered at the end
    assert client.post("/v1/predict", json={"rows": rows[:1]}).json()["error"] == "the service is ending; try again"


TOKEN = "0123456789abcdef"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": f"Bearer {TOKEN}x"}, 401),
        ({"authorization": f"Basic {TOKEN}"}, 401),
        ({"authorization": f"bearer {TOKEN}"}, 200),
    ],
)
def test_a_token_is_asked_for(headers: dict[str, str], status: int, make_adapter: Make, serve: Make) -> None:
    client, _ = serve(make_adapter(), token=TOKEN)
    for path in ("/v1/model", "/metrics", "/openapi.json"):
        assert client.get(path, headers=headers).status_code == status
    assert client.get("/health").status_code == 200


def test_the_description_has_the_study_s_columns(make_adapter: Make, serve: Make) -> None:
    client, _ = serve(make_adapter(), most_rows=9)
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert schemas["Row"]["required"] == ["age", "note"]
    assert schemas["Row"]["properties"]["age"]["description"] == "a number, or null where missing"
    assert schemas["PredictRequest"]["properties"]["rows"]["maxItems"] == 9


def test_a_whole_model_answers_too(
    make_adapter: Make, serve: Make, are_close: Make, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    adapter = make_adapter()
    list(export_to("int8", Place(adapter.folder, adapter.base), tmp_path / "int8"))
    whole = type(adapter)(tmp_path / "int8", tmp_path / "int8", {})
    client, _ = serve(whole, base_model=None)
    assert are_close(ask(client, rows[:20]), whole.predicted(rows[:20], tmp_path))


def test_images_are_refused_at_the_start(make_adapter: Make, serve: Make) -> None:
    from client.serving.columns import section_of
    from simulations.catalogue import load

    with pytest.raises(UserError, match="no files; use fedpeft predict"):
        section_of(load("quick-images"))


def test_a_request_that_is_at_an_end_is_counted(make_adapter: Make, serve: Make, rows: list[dict[str, Any]]) -> None:
    client, _ = serve(make_adapter())
    ask(client, rows[:2])
    client.post("/v1/predict", json={})
    text = client.get("/metrics").text
    for line in ('fedpeft_serve_requests_total{status="200"} 1.0', 'status="422"} 1.0', "fedpeft_serve_rows_total 2.0"):
        assert line in text
