"""The HTTP interface: predict, health, model and metrics, with OpenAPI from the study's columns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any  # JSON values

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from client.serving.batching import QueueClosedError, QueueFullError
from client.serving.columns import BadRowsError, request_model, sentence
from client.serving.limits import BearerToken, BodyLimit, KnownHost
from client.serving.service import Service
from client.serving.timing import Timed
from common.web.hosts import Hosts

RETRY_AFTER_S = 1


class Failure(BaseModel):
    """What is said of a request that was not answered, in one sentence; never a value of a row."""

    error: str


class PredictResponse(BaseModel):
    """Each row's prediction, in the rows' order, with probabilities where the task has such."""

    predictions: list[dict[str, Any]]
    adapter: str


FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"model": Failure, "description": text}
    for status, text in (
        (401, "No token, or a wrong one"),
        (404, "A site that the service does not have"),
        (413, "Too many bytes"),
        (421, "Asked by another name than the service has"),
        (422, "Rows that are not what the study's columns say"),
        (500, "The model failed"),
        (503, "Too many rows wait; Retry-After says when to come again"),
    )
}


def build_app(
    service: Service, *, when_ready: Callable[[], None] = lambda: None, hosts: Hosts | None = None
) -> FastAPI:
    """Return the application; it starts and ends the service's threads.

    hosts: the names that it may be asked by; None: any. Without a token a page of a foreign name that points to the
    loopback could else ask, and read the answers.
    """

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        when_ready()
        yield
        await asyncio.to_thread(service.close)

    study = service.resident.opened.study
    app = FastAPI(
        title=f"fedpeft serve: {study.name}",
        description=study.description,
        version=version("fedpeft"),
        lifespan=life,
        docs_url=None,  # its page would fetch scripts from elsewhere
        redoc_url=None,
    )
    app.add_middleware(BodyLimit, most_bytes=service.settings.most_bytes)
    if service.settings.token is not None:
        app.add_middleware(BearerToken, token=service.settings.token)
    if hosts is not None:
        app.add_middleware(KnownHost, hosts=hosts)
    app.add_middleware(Timed, count=service.metrics.request)  # the last that is added is the first to be asked
    _add_errors(app, service)
    _add_predict(app, service)
    _add_facts(app, service)
    return app


def _add_predict(app: FastAPI, service: Service) -> None:
    sites = service.resident.sites
    body: Any = request_model(service.section, most_rows=service.settings.most_rows, sites=sites)

    async def predict(request: BaseModel) -> Response:
        """Predict rows; those of several requests are computed together."""
        content: Mapping[str, Any] = request.model_dump(by_alias=True)
        site = _checked_site(content["site"], sites)
        loop = asyncio.get_running_loop()
        job = await loop.run_in_executor(service.reading, service.submit, content["rows"], site)
        try:
            predictions, digest = await asyncio.wrap_future(job.answer)
        except RuntimeError:
            raise HTTPException(500, "the model failed on a batch; the service's log says how") from None
        service.metrics.rows(len(predictions))
        return JSONResponse({"predictions": predictions, "adapter": digest})

    predict.__annotations__.update({"request": body, "return": Response})
    app.post("/v1/predict", response_model=PredictResponse, responses=FAILURES, tags=["predict"])(predict)


def _checked_site(site: str | None, sites: tuple[str, ...]) -> str | None:
    if not sites:
        return None
    if site is None:
        raise HTTPException(
            422, f"site: not there; expected one of {', '.join(sites)}, which have their own parameters"
        )
    if site not in sites:
        raise HTTPException(404, f"there is no such site here; there are: {', '.join(sites)}")
    return site


def _add_facts(app: FastAPI, service: Service) -> None:
    @app.get("/health", tags=["service"])
    def health() -> Response:
        """Whether the process lives, which an answer says, and whether it is ready to predict."""
        ready = service.is_ready
        return JSONResponse({"live": True, "ready": ready}, 200 if ready else 503)

    @app.get("/v1/model", tags=["service"])
    def model() -> dict[str, Any]:
        """What answers: study, digests, labels, columns and sites."""
        return {**service.describe(), "fedpeft": version("fedpeft")}

    @app.get("/metrics", tags=["service"])
    def metrics() -> Response:
        """Counters for Prometheus."""
        return Response(service.metrics.text(), media_type=service.metrics.content_type)


def _add_errors(app: FastAPI, service: Service) -> None:
    def failure(status: int, text: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
        return JSONResponse({"error": text}, status, headers)

    async def invalid(_: Request, error: Exception) -> Response:
        errors = error.errors() if isinstance(error, RequestValidationError) else []
        return failure(422, sentence(errors, service.section, most_rows=service.settings.most_rows))

    async def plain(_: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        return failure(error.status_code, str(error.detail), error.headers)

    async def bad_rows(_: Request, error: Exception) -> Response:
        return failure(422, str(error))

    async def busy(_: Request, error: Exception) -> Response:
        return failure(503, f"{error}; try again", {"Retry-After": str(RETRY_AFTER_S)})

    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, plain)
    app.add_exception_handler(BadRowsError, bad_rows)
    app.add_exception_handler(QueueFullError, busy)
    app.add_exception_handler(QueueClosedError, busy)
