"""What docs/flask.md, docs/fastapi.md and docs/celery.md show runs."""

import re
from pathlib import Path
from typing import Any

import pytest
from servers.python import printed
from servers.require import require_module

from pykka_smtp.testing import Server
from pykka_smtp.testing.moods import defer, refuse

ROOT = Path(__file__).parents[1]
PAGES = {
    name: (ROOT / "docs" / f"{name}.md").read_text() for name in ("flask", "fastapi", "celery")
}
BLOCKS = {
    name: re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    for name, page in PAGES.items()
}
ASGI = """
import asyncio

async def get(app, path, state):
    async def receive():
        return {"type": "http.request", "body": b""}
    async def send(message):
        if "body" in message:
            print(message["body"].decode())
    scope = {"type": "http", "method": "POST", "path": path, "headers": [], "query_string": b""}
    await app(scope | {"state": dict(state)}, receive, send)

async def serve(path):
    async with app.router.lifespan_context(app) as state:
        if path:
            await get(app, path, state)
        else:
            state["mailer"].tell(SendMail(sender="me@example.com", recipients="you@example.org"))

"""


def run(page: str, number: int, server: Server, more: str, **env: str) -> list[str]:
    code = BLOCKS[page][number]
    code = code.replace('MAIL_SERVER="localhost", MAIL_PORT=25', f"MAIL_PORT={server.port}")
    code = code.replace('"localhost", 25', f'"{server.host}", {server.port}')
    return printed("-W", "error", "-c", code + more, env=env).splitlines()


def url(server: Server) -> str:
    return f"smtp://{server.host}:{server.port}"


# Flask


def test_flasks_first_email(server: Any) -> None:
    require_module("flask")

    answer = run("flask", 0, server, "print(app.test_client().post('/signup').text)")

    assert answer == ["We have sent you an email."]
    assert b"From: The Shop <shop@example.com>\r\n" in server.mails[0].data


def test_receivers_in_a_factory_of_flask() -> None:
    require_module("flask")
    more = """
import logging
logging.basicConfig(level="INFO", format="%(name)s %(message)s", stream=__import__("sys").stdout)
app = create_app()
with app.app_context():
    for name in ("you", "no"):
        mail.send(recipients=f"{name}@example.org", id=name)
"""
    with Server(refuse("RCPT", to="no@example.org")) as server:
        lines = run("flask", 1, server, more, FLASK_SMTP_URL=url(server))

    [line] = [line for line in lines if line.startswith("shop not sent: ")]
    assert "flask:shop: mail no not sent" in line
    assert "shop sent: <you@example.com>" in lines


def test_an_order_in_flask_is_on_disk(tmp_path: Path) -> None:
    require_module("flask")
    path = tmp_path / "mail.db"
    code = BLOCKS["flask"][2].replace("/var/lib/shop/mail.db", str(path))
    more = "print(app.test_client().post('/order').text)"

    assert printed("-W", "error", "-c", code + more) == "You get an email.\n"

    assert b"Your order" in path.read_bytes()


def test_the_test_of_a_flask_application() -> None:
    require_module("flask")
    from pykka_smtp.testing import record_mails

    names: dict[str, Any] = {}
    exec(compile(BLOCKS["flask"][3], "flask.md", "exec"), names)  # noqa: S102 - it is ours
    with record_mails() as outbox:
        names["test_who_signs_up_is_welcomed"](outbox)
    with names["app"].app_context():
        names["mail"].mailer.stop()


def test_the_page_has_each_setting_that_flask_mail_has_or_that_is_read() -> None:
    named = set(re.findall(r"`((?:MAIL|SMTP)_\w+)`", PAGES["flask"].split("## Settings")[1]))
    source = (ROOT / "pykka_smtp" / "flask.py").read_text()

    assert named == set(re.findall(r'_setting\(\s*\w+(?:\._app)?, "(\w+)"', source))
    assert len(named) == 14


# FastAPI


def test_fastapis_first_email(server: Any) -> None:
    require_module("fastapi")

    answer = run("fastapi", 0, server, ASGI + "asyncio.run(serve('/signup'))", SMTP_URL=url(server))

    assert answer == ['"We have sent you an email."']
    assert server.accepted == 1


def test_a_fastapi_function_that_awaits_an_outcome() -> None:
    require_module("fastapi")
    with Server(defer("RCPT", times=1)) as server:
        twice = "asyncio.run(serve('/test'))\n" * 2
        failed, sent = run("fastapi", 1, server, ASGI + twice)

    assert "451 4.3.0 not now" in failed
    assert sent == '"250 2.0.0 taken"'


def test_a_lifespan_of_starlette_hears_outcomes(server: Any) -> None:
    require_module("starlette")
    more = ASGI + "from pykka_smtp import SendMail\nasyncio.run(serve(None))"

    [line] = run("fastapi", 2, server, more)

    assert " accepted by " in line


# Celery


@pytest.fixture
def environment(server: Any) -> dict[str, str]:
    require_module("celery")
    return {"BROKER_URL": "memory://", "RESULT_URL": "cache+memory://", "SMTP_URL": url(server)}


EAGER = "\napp.conf.task_always_eager = True\n"


def test_celerys_first_email(server: Any, environment: dict[str, str]) -> None:
    lines = run("celery", 0, server, EAGER + BLOCKS["celery"][1], **environment)

    assert lines == ["success 250 2.0.0 taken"]


def test_a_task_that_is_retried(environment: dict[str, str]) -> None:
    with Server(defer("RCPT", times=2)) as server:
        lines = run("celery", 2, server, EAGER + BLOCKS["celery"][1], **environment)

    assert lines == ["success 250 2.0.0 taken"]


def test_a_task_that_tells(server: Any, environment: dict[str, str]) -> None:
    run("celery", 3, server, EAGER + "remind.delay()", **environment)

    assert server.accepted == 1


def test_all_the_code_of_the_pages_is_run_here() -> None:
    assert {name: len(blocks) for name, blocks in BLOCKS.items()} == {
        "flask": 4,
        "fastapi": 3,
        "celery": 4,
    }
