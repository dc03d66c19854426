"""The dashboard of one site: its pages, the parts that take longer, and what is new as a stream. It writes nothing."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import HTMLResponse, Response

from client.approval import approvals
from client.dashboard import leaving, overview, training
from client.dashboard.access import TokenOnly
from client.dashboard.cells import Note
from client.dashboard.chain import ChainCheck, said
from client.dashboard.condition import condition
from client.dashboard.data_report import Reports
from client.dashboard.journal_reading import JournalReader
from client.dashboard.policy_words import policy_table
from client.dashboard.privacy import LedgerReader, privacy_page
from client.dashboard.studies import Bundles, study_cards, study_names, used_text
from client.dashboard.watching import look
from client.policy import read_policy
from client.settings import read_settings
from client.site_folder import SiteFolder
from common.errors import UserError
from common.web.assets import Assets, collect
from common.web.base import base_app
from common.web.event_stream import last_id, news, stream
from common.web.hosts import Hosts
from common.web.pages import Pages
from common.web.token import Token

HERE: Final = Path(__file__).parent
PAGES: Final = (
    ("/", "Overview"),
    ("/left", "What left"),
    ("/studies", "Approved studies"),
    ("/privacy", "Privacy spent"),
    ("/training", "Training"),
    ("/data", "Data report"),
    ("/policy", "Policy"),
)
GONE: Final = Note("The site's folder is not there. This page goes on as soon as it is back.", "bad")
_WORTH_PACKING: Final = 2000
Values = Callable[[], Mapping[str, object]]


@dataclass
class Board:
    """What the routes answer from."""

    folder: SiteFolder
    pages: Pages
    site: str
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.journal = JournalReader(self.folder.journal)
        self.chain = ChainCheck(self.folder)
        self.ledger = LedgerReader(self.folder)
        self.reports = Reports()
        self.bundles = Bundles()

    def overview(self) -> Response:
        """`/`."""

        def values() -> Mapping[str, object]:
            settings, reading, now = read_settings(self.folder), self.journal.now(), datetime.now().astimezone()
            policy, notes = overview.try_policy(self.folder)
            notes += [*overview.state_notes(self.folder, policy, now), *overview.reading_notes(reading)]
            found = overview.cards(self.folder, reading, policy, now)
            return {"cards": found, "notes": notes, "facts": overview.facts(settings)}

        return self._page("/", "overview.html", values)

    def left(self, page: int = 1) -> Response:
        """`/left?page=N`: every line of the journal, the newest first."""

        def values() -> Mapping[str, object]:
            reading, names = self.journal.now(), study_names(self.folder)
            days = leaving.bytes_by_day(reading.lines)
            found = leaving.page_of(reading.lines, page)
            drawing = {"x": list(days), "lines": [{"name": "Bytes", "y": list(days.values())}], "days": True}
            return {
                "notes": overview.reading_notes(reading),
                "page": found,
                "lines": leaving.lines_table(found, names) if reading.lines else None,
                "totals": leaving.totals_table(leaving.totals(reading.lines), names) if reading.lines else None,
                "drawing": {**drawing, "yTitle": "Bytes that left", "xTitle": "Day, UTC"} if days else None,
            }

        return self._page("/left", "left.html", values)

    def studies(self) -> Response:
        """`/studies`: what is approved, in plain words."""

        def values() -> Mapping[str, object]:
            policy, notes = overview.try_policy(self.folder)
            site = read_settings(self.folder).site
            found = list(study_cards(self.folder, site, policy, self.bundles))
            return {"notes": notes, "studies": found, "used_text": used_text}

        return self._page("/studies", "studies.html", values)

    def training(self) -> Response:
        """`/training`: loss from the site's own log of steps."""

        def values() -> Mapping[str, object]:
            steps = training.read_steps(self.folder.step_log)
            rounds = training.rounds_of(steps)
            return {
                "rounds": training.rounds_table(rounds) if rounds else None,
                "by_round": training.round_drawing(rounds),
                "by_step": training.step_drawing(steps),
                "is_kept": read_settings(self.folder).step_log,
            }

        return self._page("/training", "training.html", values)

    def policy(self) -> Response:
        """`/policy`: every rule as it is in force."""

        def values() -> Mapping[str, object]:
            found = read_policy(self.folder.policy)
            return {"rules": policy_table(found), "digest": found.digest}

        return self._page("/policy", "policy.html", values)

    def privacy(self) -> Response:
        """`/privacy`: the frame of a part that takes seconds."""
        return self._page("/privacy", "privacy.html", dict)

    def data(self) -> Response:
        """`/data`: the frame of the part that reads the rows."""
        return self._page("/data", "data.html", dict)

    def condition_part(self) -> Response:
        """`/parts/condition`: the processes."""
        return self._part("condition", lambda: {"found": condition(self.folder)})

    def chain_part(self) -> Response:
        """`/parts/chain`: whether the receipts hold."""
        return self._part("chain", lambda: {"notes": self.chain.notes()})

    def privacy_part(self) -> Response:
        """`/parts/privacy`: the ledger."""

        def values() -> Mapping[str, object]:
            found = self.ledger.overview(read_policy(self.folder.policy))
            return {"found": privacy_page(found, study_names(self.folder))}

        return self._part("privacy", values)

    def data_part(self) -> Response:
        """`/parts/data`: counts of the site's rows, for each approved study."""

        def values() -> Mapping[str, object]:
            rows = read_settings(self.folder).rows
            studies = [self.bundles.read(each).bundle.study for each in reversed(approvals(self.folder))]
            return {"reports": [self.reports.of(rows, study) for study in studies], "file": rows.name}

        return self._part("data", values)

    async def events(self, request: Request, position: int = 0, version: str = "") -> Response:
        """`/events`: what is new, from the last id that the browser had."""
        begin = last_id(request.headers.get("last-event-id"))
        if begin is not None:
            position, version = begin, ""
        return stream(news(partial(look, self.folder), position, self.closing, version=version))

    def _page(self, here: str, template: str, values: Values) -> Response:
        seen = look(self.folder)
        frame = {"site": self.site, "nav": PAGES, "here": here, "title": dict(PAGES)[here], "seen": seen}
        template, found = self._tried(template, values, is_there=seen.is_there)
        return HTMLResponse(self.pages.render(template, **frame, **found))

    def _part(self, name: str, values: Values) -> Response:
        is_there = look(self.folder).is_there
        template, found = self._tried(f"part_{name}.html", values, is_there=is_there, problem="part_problem.html")
        return HTMLResponse(self.pages.render(template, **found))

    def _tried(
        self, template: str, values: Values, *, is_there: bool, problem: str = "problem.html"
    ) -> tuple[str, Mapping[str, object]]:
        """Return template and values, or those of a page that says what is in the way in one line."""
        if not is_there:
            return problem, {"notes": [GONE]}
        try:
            return template, values()
        except (UserError, OSError) as error:
            return problem, {"notes": [Note(said(error), "bad")]}


def site_app(folder: SiteFolder, hosts: Hosts, token: Token | None) -> FastAPI:
    """Return the app over a site; with a token only who has it may read. Raises UserError: it is no site."""
    assets: Assets = collect([HERE / "static"])
    board = Board(folder, Pages(HERE / "templates", assets), read_settings(folder).site)
    app = base_app(assets, hosts)
    app.add_middleware(GZipMiddleware, minimum_size=_WORTH_PACKING, compresslevel=4)
    if token is not None:
        app.user_middleware.append(Middleware(TokenOnly, token=token))  # innermost: the guard stands before it
    routes: Mapping[str, Callable[..., object]] = {
        "/": board.overview,
        "/left": board.left,
        "/studies": board.studies,
        "/privacy": board.privacy,
        "/training": board.training,
        "/data": board.data,
        "/policy": board.policy,
        "/parts/condition": board.condition_part,
        "/parts/chain": board.chain_part,
        "/parts/privacy": board.privacy_part,
        "/parts/data": board.data_part,
        "/events": board.events,
    }
    for path, answer in routes.items():
        app.add_api_route(path, answer, methods=["GET"], response_model=None)
    return app
