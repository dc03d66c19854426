"""What every web server of ours starts from: an app without documentation pages, with guard and static files."""

import asyncio

from fastapi import FastAPI, Request, Response

from common.web.assets import PREFIX, Assets
from common.web.guard import Guard
from common.web.hosts import Hosts


def base_app(assets: Assets, hosts: Hosts) -> FastAPI:
    """Return an app that answers `/static/NAME` to whom asks it by one of its names; routes are added to it.

    Its `state.closing` is an `asyncio.Event` that is set when the server ends: whatever streams must look at it.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.closing = asyncio.Event()
    app.add_middleware(Guard, hosts=hosts)

    def static(name: str, request: Request) -> Response:
        return assets.answer(name, request)

    app.add_api_route(PREFIX + "/{name}", static, methods=["GET", "HEAD"], include_in_schema=False)
    return app
