"""The lifespan for Starlette and FastAPI, with both, and under uvicorn."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Annotated, Any

import pytest
from pykka import ActorRegistry
from servers.ports import reserved_port
from servers.require import require_module
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import (
    MailerRef,
    Outcome,
    SendFailure,
    SendMail,
    SendSuccess,
    SmtpActor,
    smtp_send_success,
)
from pykka_smtp.testing import Server, record_mails
from pykka_smtp.testing.moods import defer, hold

require_module("starlette")
from starlette.applications import Starlette  # noqa: E402 - only where it is installed
from starlette.requests import Request  # noqa: E402
from starlette.responses import PlainTextResponse, Response  # noqa: E402
from starlette.routing import Route  # noqa: E402

from pykka_smtp.starlette import mail_lifespan, mailer_of, mailing  # noqa: E402


def mail(**given: Any) -> SendMail:
    return SendMail(sender="me@example.com", **{"recipients": "you@example.org"} | given)


async def tell(request: Request) -> Response:
    request.state.mailer.tell(mail())
    return PlainTextResponse("told")


async def ask(request: Request) -> Response:
    outcome = await mailer_of(request).ask(mail(), block=False)
    return PlainTextResponse(type(outcome).__name__)


def application(lifespan: Any) -> Starlette:
    return Starlette(routes=[Route("/tell", tell), Route("/ask", ask)], lifespan=lifespan)


def running(app: Any) -> Any:
    """Return the lifespan, as an ASGI server runs it; it gives the state."""
    return app.router.lifespan_context(app)


def test_a_receiver_that_is_refused_leaves_neither_a_mailer_nor_a_connection_to_a_signal() -> None:
    heard = len(smtp_send_success.receivers)

    async def serve() -> None:
        wrong: Any = 3
        with pytest.raises(TypeError, match="receiver: needs a callable"):
            async with mailing(url="record:", receivers=[print, wrong]):
                pass

    asyncio.run(serve())

    assert not ActorRegistry.get_all()
    assert len(smtp_send_success.receivers) == heard


async def get(app: Any, path: str, state: Any) -> str:
    """Make a request, as an ASGI server does; return its body."""
    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}
    body = b""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        nonlocal body
        body += message.get("body", b"")

    await app(scope | {"state": dict(state)}, receive, send)
    return body.decode()


def test_the_end_waits_until_everything_is_out_and_heard_on_the_applications_loop() -> None:
    go = threading.Event()
    heard: list[tuple[Outcome, object]] = []

    async def store(sender: str, outcome: Outcome, **extra: object) -> None:
        await asyncio.sleep(0)
        heard.append((outcome, asyncio.get_running_loop()))

    async def serve(server: Server) -> None:
        app = application(mail_lifespan(server.host, server.port, receivers=[store]))
        async with contextlib.AsyncExitStack() as exits:
            state = await exits.enter_async_context(running(app))
            assert await get(app, "/tell", state) == "told"
            SmtpActor.start(server.host, server.port).tell(mail())  # is waited for as well
            end = asyncio.ensure_future(exits.aclose())
            await asyncio.to_thread(server.wait_for, lambda: len(server.mails) == 2)
            assert not end.done()
            go.set()
            await asyncio.wait_for(end, PATIENCE)
        assert [loop for _, loop in heard] == [asyncio.get_running_loop()] * 2

    with Server(hold(".", go)) as server:
        asyncio.run(serve(server))

        assert server.accepted == 2
    assert all(isinstance(outcome, SendSuccess) for outcome, _ in heard)


def test_a_request_awaits_an_outcome(server: Any) -> None:
    async def serve() -> str:
        app = application(mail_lifespan(server.host, server.port))
        async with running(app) as state:
            return await get(app, "/ask", state)

    assert asyncio.run(serve()) == "SendSuccess"


def test_a_fastapi_function_is_given_the_mailer(server: Any) -> None:
    require_module("fastapi")
    from fastapi import Depends, FastAPI

    app = FastAPI(lifespan=mail_lifespan(server.host, server.port))

    @app.get("/invite")
    async def invite(mailer: Annotated[MailerRef, Depends(mailer_of)]) -> str:
        return str((await mailer.ask(mail(), block=False)).code)

    async def serve() -> str:
        async with running(app) as state:
            return await get(app, "/invite", state)

    assert asyncio.run(serve()) == '"250"'


def test_the_applications_own_lifespan_may_send_until_it_ends(server: Any) -> None:
    @contextlib.asynccontextmanager
    async def own(app: Starlette) -> AsyncGenerator[dict[str, object]]:
        yield {"pool": "a pool", "app": app}
        SmtpActor.start(server.host, server.port).tell(mail())

    async def serve() -> None:
        app = application(mail_lifespan(server.host, server.port, lifespan=own))
        async with running(app) as state:
            assert state["pool"] == "a pool"
            assert state["app"] is app
            state["mailer"].tell(mail())

    asyncio.run(serve())

    assert server.accepted == 2


def test_a_lifespan_without_a_state_of_its_own(server: Any) -> None:
    @contextlib.asynccontextmanager
    async def own(app: Starlette) -> AsyncGenerator[None]:
        yield

    async def serve() -> None:
        app = application(mail_lifespan(server.host, server.port, lifespan=own))
        async with running(app) as state:
            assert set(state) == {"mailer"}

    asyncio.run(serve())


@pytest.mark.parametrize("mood", [hold("RCPT", threading.Event()), defer("RCPT")])
def test_what_is_not_out_in_time_is_cancelled_and_heard(mood: Any) -> None:
    heard: list[Outcome] = []

    async def serve(server: Server) -> None:
        def note(sender: str, outcome: Outcome, **extra: object) -> None:
            heard.append(outcome)

        async with mailing(server.host, server.port, grace=0.2, receivers=[note]) as mailer:
            mailer.tell(mail())
            await asyncio.to_thread(server.wait_for, lambda: "RCPT" in str(server.lines))

    with Server(mood) as server:
        asyncio.run(asyncio.wait_for(serve(server), PATIENCE))

    [outcome] = heard
    assert isinstance(outcome, SendFailure)
    assert outcome.kind.name == "CANCELLED"


def test_an_application_that_fails_stops_its_mailer() -> None:
    async def serve() -> None:
        async with mailing(url="record:") as mailer:
            mailers.append(mailer)
            raise LookupError

    mailers: list[MailerRef] = []
    with pytest.raises(LookupError):
        asyncio.run(serve())

    assert not mailers[0].is_alive()


def test_a_mailer_that_the_application_has_stopped_is_no_error_at_the_end() -> None:
    async def serve() -> None:
        async with mailing(url="record:") as mailer:
            await mailer.stop(block=False)

    asyncio.run(serve())


def test_a_test_looks_at_what_was_sent() -> None:
    async def serve() -> None:
        app = application(mail_lifespan("mail.invalid"))
        async with running(app) as state:
            await get(app, "/tell", state)

    with record_mails() as outbox:
        asyncio.run(serve())

        assert outbox[0].recipients == ("you@example.org",)


def test_what_is_wrong_is_said_where_it_is_written() -> None:
    with pytest.raises(TypeError, match="prot is not an option of Mailer"):
        mail_lifespan("localhost", prot=25)  # type: ignore[call-arg]

    async def serve() -> None:
        await get(application(None), "/ask", {})

    with pytest.raises(RuntimeError, match="there is no Mailer in the state: give the application"):
        asyncio.run(serve())


APPLICATION = """
import os
from typing import Annotated
from fastapi import Depends, FastAPI
from pykka_smtp import MailerRef, SendMail
from pykka_smtp.starlette import mail_lifespan, mailer_of

async def note(sender, outcome, **extra):
    with open(os.environ["HEARD"], "a") as file:
        file.write(f"{type(outcome).__name__}\\n")

app = FastAPI(lifespan=mail_lifespan(url=os.environ["SMTP_URL"], receivers=[note]))

@app.get("/")
async def index(mailer: Annotated[MailerRef, Depends(mailer_of)]) -> str:
    mailer.tell(SendMail(sender="me@example.com", recipients="you@example.org", body="1 2 3"))
    return "told"
"""


@pytest.mark.long
@pytest.mark.timeout(120)
def test_an_email_on_its_way_is_not_lost_when_uvicorn_gets_sigterm(tmp_path: Path) -> None:
    for module in ("fastapi", "uvicorn"):
        require_module(module)
    (tmp_path / "web.py").write_text(APPLICATION)
    go, heard = threading.Event(), tmp_path / "heard"
    with Server(hold(".", go)) as server, reserved_port("127.0.0.1") as port:
        url = f"http://127.0.0.1:{port}/"
        environment = {"SMTP_URL": f"smtp://127.0.0.1:{server.port}", "HEARD": str(heard)}
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "uvicorn", "--port", str(port), "web:app"],
                cwd=tmp_path,
                stdout=log,
                stderr=log,
                env=os.environ | environment,
            )
        try:
            assert wait_until(lambda: _get(url), PATIENCE * 2), (tmp_path / "log").read_text()
            server.wait_for(lambda: server.mails)
            process.send_signal(signal.SIGTERM)
            closing = "Waiting for application shutdown"
            assert wait_until(lambda: closing in (tmp_path / "log").read_text(), PATIENCE)
            assert process.poll() is None
            go.set()
            # It ends in good order, and then as a program that knows nothing of the signal.
            assert process.wait(PATIENCE * 2) in {0, -signal.SIGTERM}
        finally:
            process.kill()
            process.wait()

        assert server.accepted == 1
    assert heard.read_text() == "SendSuccess\n"


def _get(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as reply:  # noqa: S310 - it is ours
            return str(reply.read().decode())
    except OSError:
        return ""
