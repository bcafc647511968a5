"""A caller of the application, without a server between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
from starlette.types import ASGIApp


class Client:
    """Sends requests one after the other; what the application raises becomes its answer.

    Args:
        app: What answers.
        token: Bearer token of every request.
    """

    def __init__(self, app: ASGIApp, token: str = "") -> None:
        self._app, self._token = app, token

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.ask("GET", path, **options)

    def head(self, path: str, **options: Any) -> httpx.Response:
        return self.ask("HEAD", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.ask("POST", path, **options)

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        headers |= options.pop("headers", {})

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
            base = "http://testserver"
            async with httpx.AsyncClient(transport=transport, base_url=base) as client:
                return await client.request(method, path, headers=headers, **options)

        return asyncio.run(send())


async def parts(content: bytes, size: int = 1 << 16, pause: float = 0.0) -> AsyncIterator[bytes]:
    """Yield a body part by part, with pauses."""
    for start in range(0, len(content), size):
        yield content[start : start + size]
        await asyncio.sleep(pause)
