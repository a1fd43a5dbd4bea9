"""``pykka-smtp outbox page``, the command."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers.outboxes import Outboxes, mail
from servers.waiting import PATIENCE

from pykka_smtp import Put
from pykka_smtp.cli.outbox_page import command
from pykka_smtp.cli.outbox_page.access import Access
from pykka_smtp.cli.outbox_page.overview import Overview
from pykka_smtp.cli.outbox_page.requests import Desk
from pykka_smtp.cli.outbox_page.server import PageServer

COMMAND = [sys.executable, "-W", "error", "-m", "pykka_smtp", "outbox", "page"]
TOKEN = "a-token-of-some-length"


@pytest.fixture
def path(outboxes: Outboxes) -> Path:
    """A file with an email that waits."""
    ref = outboxes.start()
    ref.ask(Put(mail(1)))
    outboxes.stop(ref)
    return outboxes.path


@contextlib.contextmanager
def started(path: Path, *words: str, token: str = "") -> Iterator[subprocess.Popen[str]]:
    """Start the command, and kill it at the end."""
    environment = {k: v for k, v in os.environ.items() if k != "PYKKA_SMTP_PAGE_TOKEN"}
    if token:
        environment["PYKKA_SMTP_PAGE_TOKEN"] = token
    with subprocess.Popen(
        [*COMMAND, str(path), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """End the command as Ctrl-C does; return its status and what it has printed since."""
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


def ask(port: int, path: str, given: object = None, **headers: str) -> tuple[int, bytes, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    with contextlib.closing(connection):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if given is None:
            connection.request("GET", path, headers=named)
        else:
            named["Content-Type"] = "application/json"
            connection.request("POST", path, json.dumps(given), named)
        reply = connection.getresponse()
        return reply.status, reply.read(), reply.headers.get("Set-Cookie", "")


def port_of(line: str) -> int:
    match = re.search(r": http://\S+:(\d+)/$", line)
    assert match, line
    return int(match[1])


def test_it_prints_where_the_page_is_and_serves_until_ctrl_c(path: Path) -> None:
    with started(path) as process:
        assert process.stdout is not None
        line = process.stdout.readline().rstrip("\n")
        assert line.startswith(f"{path}: http://127.0.0.1:")
        # Here, as the rest of what a `readline` has read is lost to `communicate`.
        assert process.stdout.readline() == "Ctrl-C ends the page. The outbox does not need it.\n"
        port = port_of(line)
        assert b"<title>Outbox</title>" in ask(port, "/")[1]
        state = json.loads(ask(port, "/api/state")[1])
        given = {"action": "hold", "key": "mail-1", "alias": "shop"}
        done = ask(port, "/api/act", given, X_Csrf=state["csrf"])
        status, out, err = end(process)

    assert [email["id"] for email in state["emails"]] == ["mail-1"]
    assert json.loads(done[1]) == {"done": True}
    assert status == 0
    assert out == ""
    assert err == "pykka-smtp outbox page: hold mail-1 (shop): done\n"


def test_ctrl_c_ends_it_although_python_has_dropped_the_exception(path: Path) -> None:
    class Dropping(PageServer):
        def service_actions(self) -> None:
            if not self.is_interrupted:
                with contextlib.suppress(KeyboardInterrupt):
                    signal.raise_signal(signal.SIGINT)
            super().service_actions()

    overview = Overview(path)
    access = Access(None, {"127.0.0.1"})
    desk = Desk(overview=overview, access=access, act=lambda *_: True, note=print)
    with (
        contextlib.closing(overview),
        Dropping("127.0.0.1", 0, desk) as server,
        pytest.raises(KeyboardInterrupt),
        command._interrupted_by_ctrl_c(server),
    ):
        server.serve_forever()

    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_for_other_machines_a_token_is_made_and_printed_once(path: Path) -> None:
    with started(path, "--host", "0.0.0.0") as process:
        assert process.stdout is not None
        port = port_of(process.stdout.readline().rstrip("\n"))
        line = process.stdout.readline()
        token = line.removeprefix("The token, shown this once: ").rstrip("\n")
        assert len(token) == 32
        assert ask(port, "/api/state")[0] == 401
        status, _, cookie = ask(port, "/api/login", {"token": token})
        assert status == 200
        assert ask(port, "/api/state", Cookie=cookie.partition(";")[0])[0] == 200
        status, out, err = end(process)

    assert status == 0
    assert token not in out + err
    assert "HTTP is not encrypted" in err


def test_a_token_of_the_environment_is_never_printed_and_counts_here_too(path: Path) -> None:
    with started(path, token=TOKEN) as process:
        assert process.stdout is not None
        port = port_of(process.stdout.readline().rstrip("\n"))
        assert ask(port, "/api/state")[0] == 401
        assert ask(port, "/api/login", {"token": TOKEN})[0] == 200
        status, out, err = end(process)

    assert (status, TOKEN in out + err) == (0, False)


@pytest.mark.parametrize("token", ["short", "ünlikely to be typed"])
def test_a_token_that_is_none_is_refused_without_being_quoted(path: Path, token: str) -> None:
    with started(path, token=token) as process:
        out, err = process.communicate(timeout=PATIENCE)

    assert process.returncode == 64
    assert out == ""
    assert err == (
        "pykka-smtp outbox page: PYKKA_SMTP_PAGE_TOKEN needs at least 16 characters, in ASCII\n"
    )


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (None, 66, "is not there"),
        (b"", 65, "is empty (0 octets)"),
        (b"Dear diary, " * 999, 65, "is no outbox"),
    ],
    ids=["missing", "empty", "no database"],
)
def test_a_file_that_cannot_be_shown_is_one_plain_line(
    tmp_path: Path, content: bytes | None, status: int, words: str
) -> None:
    path = tmp_path / "mail.db"
    if content is not None:
        path.write_bytes(content)
    with started(path) as process:
        out, err = process.communicate(timeout=PATIENCE)

    assert (process.returncode, out) == (status, "")
    assert err.startswith(f"pykka-smtp outbox page: {path}")
    assert err.count("\n") == 1
    assert words in err
    assert [path.name for path in tmp_path.iterdir()] == ([] if content is None else ["mail.db"])


def test_a_port_that_is_taken_is_one_plain_line(path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with started(path, "--port", str(port)) as process:
            _, err = process.communicate(timeout=PATIENCE)

    assert process.returncode == 71
    assert err == (
        f"pykka-smtp outbox page: cannot listen on 127.0.0.1:{port}: Address already in use\n"
    )


@pytest.mark.parametrize("port", ["-1", "65536"])
def test_a_port_that_is_none_is_wrong_usage(path: Path, port: str) -> None:
    with started(path, f"--port={port}") as process:
        _, err = process.communicate(timeout=PATIENCE)

    assert (process.returncode, "0 to 65535" in err) == (64, True)
