"""The server's process: the web, workers beside it, and one graceful end for both."""

from __future__ import annotations

import logging
import signal
import threading
from pathlib import Path

import uvicorn

from leaderboard.log import log_as_json
from leaderboard.store import open_store
from leaderboard.web.app import create_app
from leaderboard.worker import run_workers

__all__ = ["serve", "work"]

_GRACE = 20  # seconds that open requests have to end
_CONNECTIONS = 500
_log = logging.getLogger(__name__)


def serve(  # noqa: PLR0913 - the options of a command
    url: str, artefacts: Path | None, *, host: str, port: int, workers: int, title: str,
    proxies: str = "",
) -> None:  # fmt: skip
    """Serve until SIGTERM or SIGINT: open requests end, workers give back what they have.

    Args:
        url: Address of the store.
        artefacts: Folder of the kept files, if not beside the database.
        host: Address to listen on.
        port: Likewise.
        workers: How many processes score submissions.
        title: Of the server.
        proxies: Addresses whose X-Forwarded-For is believed; empty for none.
    """
    log_as_json()
    stop = threading.Event()
    with open_store(url, artefacts) as store:
        config = uvicorn.Config(
            create_app(store, title), host=host, port=port, log_config=None, access_log=False,
            server_header=False, proxy_headers=bool(proxies), forwarded_allow_ips=proxies or None,
            limit_concurrency=_CONNECTIONS, timeout_graceful_shutdown=_GRACE,
        )  # fmt: skip
        for name in (signal.SIGINT, signal.SIGTERM):  # uvicorn raises them again at its end
            signal.signal(name, lambda *_: None)
        crew = threading.Thread(
            target=run_workers, args=(url, workers, stop, artefacts), name="workers"
        )
        if workers:
            crew.start()
        try:
            uvicorn.Server(config).run()
        finally:
            stop.set()
            if workers:
                crew.join()
    _log.info("ended")


def work(url: str, artefacts: Path | None, workers: int) -> None:
    """Score submissions until SIGTERM or SIGINT, without a server.

    Args:
        url: Address of the store.
        artefacts: Folder of the kept files, if not beside the database.
        workers: How many processes.
    """
    log_as_json()
    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    run_workers(url, workers, stop, artefacts)
