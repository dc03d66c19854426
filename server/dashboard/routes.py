"""The dashboard of runs: pages, their numbers as JSON, and what is new as a stream. It reads, and writes nothing."""

import asyncio
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final  # JSON values

from fastapi import FastAPI, HTTPException, Request
from starlette.concurrency import run_in_threadpool
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import HTMLResponse, JSONResponse, Response

from common.errors import UserError
from common.web.assets import Assets, collect
from common.web.base import base_app
from common.web.event_stream import last_id, news, stream
from common.web.hosts import Hosts
from common.web.pages import Pages
from common.web.token import Token
from server.dashboard.columns import columns
from server.dashboard.live import Live, Snapshot
from server.dashboard.page import list_rows, run_page
from server.dashboard.streaming import look
from server.dashboard.writing import ACTIONS, NotAllowedError, act, check_token

HERE: Final = Path(__file__).parent
_WORTH_PACKING: Final = 2000


@dataclass(frozen=True)
class Dashboard:
    """What the routes answer from; `token`: who may cancel and resume, None: nobody."""

    live: Live
    pages: Pages
    token: Token | None
    closing: asyncio.Event

    def run_list(self) -> Response:
        """`/`: the runs."""
        return HTMLResponse(self.pages.render("runs.html", rows=list_rows(self.live.overview())))

    def run(self, name: str, part: bool = False, rounds: str = "") -> Response:
        """`/runs/NAME`: one run; with `part`, only what a page that is open already shows anew."""
        page = run_page(self._snapshot(name), everything=rounds == "all")
        can_write = self.token is not None and self.live.source.kind == "coordinator"
        template = "run_parts.html" if part else "run.html"
        return HTMLResponse(self.pages.render(template, page=page, can_write=can_write, everything=rounds == "all"))

    def runs_json(self) -> Response:
        """`/api/runs`: the runs and where they are."""
        rows = list_rows(self.live.overview())
        return JSONResponse(
            {"runs": [{"run": r.name, "state": r.standing.word, "rounds": r.progress, "time": r.time} for r in rows]}
        )

    def run_json(self, name: str, metric: str | None = None, since: int = 0) -> Response:
        """`/api/runs/NAME`: a run's numbers by round, in columns."""
        found = self._snapshot(name)
        view = found.reading.view
        content: dict[str, Any] = {
            "run": name,
            "state": found.standing.word,
            "done": view.done,
            "planned": view.rounds,
            "position": found.reading.position,
            "skipped": found.reading.skipped,
            **columns(view, metric, since=max(0, since)),
        }
        return JSONResponse(content)

    async def events(self, name: str, request: Request, position: int | None = None) -> Response:
        """`/api/runs/NAME/events`: what is new, from the last id that the browser had."""
        begin = last_id(request.headers.get("last-event-id"))
        found = await run_in_threadpool(self._snapshot, name)
        known = begin if begin is not None else found.reading.position if position is None else position
        return stream(news(partial(look, self.live, name), known, self.closing))

    def act(self, name: str, action: str, request: Request) -> Response:
        """`POST /api/runs/NAME/cancel`, `/resume`: for whom has the token."""
        try:
            check_token(self.token, request.headers.get("authorization"))
            folder = self.live.folder(name)
            if folder is None or action not in ACTIONS:
                raise HTTPException(404)
            return JSONResponse({"said": act(self.live.source, folder, action)})
        except NotAllowedError as error:
            return JSONResponse({"error": str(error)}, status_code=401, headers={"WWW-Authenticate": "Bearer"})
        except UserError as error:
            return JSONResponse({"error": " ".join(str(error).split())}, status_code=409)

    def _snapshot(self, name: str) -> Snapshot:
        found = self.live.snapshot(name)
        if found is None:
            raise HTTPException(404, "there is no such run here")
        return found


def dashboard_app(live: Live, hosts: Hosts, token: Token | None) -> FastAPI:
    """Return the app over these runs."""
    assets: Assets = collect([HERE / "static"])
    app = base_app(assets, hosts)
    board = Dashboard(live, Pages(HERE / "templates", assets), token, app.state.closing)
    board.pages.prepare("run.html", "parts.html", "tables.html", "shell.html")
    app.add_middleware(GZipMiddleware, minimum_size=_WORTH_PACKING, compresslevel=4)
    routes = (
        ("/", board.run_list, "GET"),
        ("/runs/{name}", board.run, "GET"),
        ("/api/runs", board.runs_json, "GET"),
        ("/api/runs/{name}", board.run_json, "GET"),
        ("/api/runs/{name}/events", board.events, "GET"),
        ("/api/runs/{name}/{action}", board.act, "POST"),
    )
    for path, answer, method in routes:
        app.add_api_route(path, answer, methods=[method], response_model=None)
    return app
