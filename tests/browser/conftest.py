"""A real browser on a real server: what its tests share."""

from __future__ import annotations

import base64
import hashlib
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import platformdirs
import pytest

sync = pytest.importorskip("playwright.sync_api")
pytest.importorskip("uvicorn")

import neurotasks  # noqa: E402 - after the skip
from leaderboard.collect import collect, read  # noqa: E402
from leaderboard.pages import build  # noqa: E402
from leaderboard.store import Store, open_store  # noqa: E402
from neurotasks.results import write_atomically  # noqa: E402
from tests.conftest import ROOT  # noqa: E402
from tests.leaderboard.attacks import points  # noqa: E402
from tests.leaderboard.many import fill_store  # noqa: E402
from tests.leaderboard.stores import FIXED, GENERATED, Clock, House, make_manifest  # noqa: E402

LABEL = GENERATED.removeprefix("neurotasks/")
LONG = "A-recurrent-network-with-a-very-long-name-" + "w" * 58
AUTHOR = "Department of Computational Neuroscience"
LIMIT = 20_000  # milliseconds that the browser waits for anything
_CHROMIUM = "/usr/bin/chromium"
_AXE = "axe-core@4.14.1"
_AXE_SHA512 = (
    "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
)
_PATIENCE = 60.0  # seconds that the server may take to start
_REPORT = """addEventListener("securitypolicyviolation",
    (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`))"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("browser")


@dataclass(frozen=True)
class Served:
    """A running server with its boards.

    Attributes:
        url: Address.
        token: Of an account that may hand in to the board "upload".
        verified: Number of a submission.
        failed: Likewise.
    """

    url: str
    token: str
    verified: int
    failed: int


def filled(store: Store, folder: Path) -> tuple[str, int, int]:
    """Fill a store with boards of every kind; return what `Served` tells but its address."""
    drawn = [card for card in neurotasks.cards() if card.data == "generated"]
    fill_store(store, "autumn", [card for card in drawn if card.form != "stream"][:8], 24)
    store.boards.open("spring", "Spring course", tasks=f"{LABEL},ImageClassificationDigits-*")
    store.boards.open("upload", "Board of the upload", tasks=LABEL, closes=time.time() + 3600)
    house = House(store, Clock(), folder)
    verified = house.verify(0.91, LONG, AUTHOR)
    for level, agent, author in ((0.5, "ridge", "Bob"), (0.86, "mlp", "Ada")):
        house.verify(level, agent, author)
        house.verify(level - 0.2, agent, author, task=FIXED)
    house.verify(0.95, "hasty", seeds=2)
    failed = house.hand_in("broken").id
    store.queue.fail(store.queue.claim("worker"), "the graph loops for ever")
    told = replace(make_manifest(b"claim", agent="claim"), claimed={"test": (0.2,) * 5})
    store.submissions.report("spring", house.account(), told)
    return store.accounts.issue(store.accounts.create("Carol", "upload").id), verified, failed


@pytest.fixture(scope="session")
def served(tmp_path_factory) -> Iterator[Served]:
    """Return a server in a process of its own, with one worker."""
    folder = tmp_path_factory.mktemp("served")
    url = f"sqlite:///{folder / 'board.db'}"
    with open_store(url) as store:
        facts = filled(store, folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    words = ["-m", "leaderboard", "serve", "--db", url, "--port", port, "--workers", "1"]
    address, log = f"http://127.0.0.1:{port}", folder / "log"
    with log.open("w") as stream:
        process = subprocess.Popen([sys.executable, *words], stderr=stream, cwd=ROOT)  # noqa: S603 - our own words
    try:
        _await(address, process, log)
        yield Served(address, *facts)
    finally:
        process.terminate()
        code = process.wait(_PATIENCE)
    assert code == 0, log.read_text()


def _await(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            with urllib.request.urlopen(f"{address}/healthz", timeout=5):  # noqa: S310 - our own server
                return
        except urllib.error.URLError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.1)


@pytest.fixture(scope="session")
def exported(tmp_path_factory) -> str:
    """Return the address of the static pages of the reference results."""
    out = tmp_path_factory.mktemp("exported")
    board = collect(read(ROOT / "baselines" / "results"), neurotasks.cards())
    for name, content in build(board, "Reference results").items():
        write_atomically(out / name, content)
    return out.as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Return Chromium; it ends with the module, as an event loop runs in this thread until then."""
    if not Path(_CHROMIUM).exists():
        pytest.skip(f"there is no {_CHROMIUM}: install Debian's package `chromium`")
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=_CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


Visit = Callable[..., Any]


@pytest.fixture
def visit(browser, served, exported) -> Iterator[Visit]:
    """Return what opens an address in a page of its own.

    At the end no page may have asked another host, or have had anything to complain of.
    """
    asked: list[str] = []
    complaints: list[str] = []
    contexts = []

    def note(message: Any, page: Any) -> None:
        refused = message.location["url"] == page.url  # the page that the test asked for
        if message.type in ("error", "warning") and not refused:
            complaints.append(message.text)

    def opened(address: str, **options: Any) -> Any:
        context = browser.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(LIMIT)
        context.on("request", lambda request: asked.append(request.url))
        page = context.new_page()
        page.add_init_script(_REPORT)
        page.on("console", lambda message: note(message, page))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address if "://" in address else served.url + address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert asked
    assert complaints == []
    assert [url for url in asked if not url.startswith((served.url, exported, "data:,"))] == []


@pytest.fixture(scope="session")
def axe() -> str:
    """Return the script of axe-core, from the npm registry or from what was fetched before."""
    kept = platformdirs.user_cache_path("neurotasks-tests") / f"{_AXE}.js"
    if not kept.is_file():
        with tempfile.TemporaryDirectory() as folder:
            write_atomically(kept, _fetched(Path(folder)))
    return kept.read_text(encoding="utf-8")


def _fetched(folder: Path) -> bytes:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("there is no npm to fetch axe-core: install Debian's package `npm`")
    words = [npm, "pack", _AXE, "--silent", "--pack-destination", folder]
    told = subprocess.run(words, capture_output=True, text=True, check=False, cwd=folder)  # noqa: S603 - our own words
    found = list(folder.glob("*.tgz"))
    if not found:
        pytest.skip(f"npm could not fetch {_AXE}: {told.stderr.strip()[-300:]}")
    digest = hashlib.sha512(found[0].read_bytes()).digest()
    assert base64.b64encode(digest).decode() == _AXE_SHA512, f"{_AXE} is not what it was"
    with tarfile.open(found[0]) as archive:
        member = archive.extractfile("package/axe.min.js")
        assert member is not None
        return member.read()


@pytest.fixture
def graph() -> bytes:
    """Return an ONNX graph that can be handed in."""
    return points().SerializeToString()
