"""``pykka-smtp send``, run in this process or as a program of its own."""

import csv
import json
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pykka_smtp.cli import main as command_line

ROOT = Path(__file__).parents[2]
MAIL = (
    b"From: Me <me@example.com>\nTo: all@example.org\nSubject: News\n"
    b"Date: Tue, 1 Dec 2026 20:00:00 +0000\nMessage-ID: <1@example.com>\n\nHello\n.\nBye\n"
)
ON_THE_WIRE = MAIL.replace(b"\n", b"\r\n")
PATIENCE = 20  # seconds; reached only by a test that fails


def mail_in(folder: Path) -> str:
    """Write the mail into a file."""
    file = folder / "mail.eml"
    file.write_bytes(MAIL)
    return str(file)


def list_in(folder: Path, text: str | bytes) -> str:
    """Write a list of recipients into a file."""
    file = folder / "recipients.txt"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(file)


def many(count: int) -> str:
    return "".join(f"u{number}@x.test\n" for number in range(count))


def url_of(server: Any, query: str = "") -> str:
    return f"smtp://{server.host}:{server.port}{query}"


def dead_url() -> str:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        return f"smtp://127.0.0.1:{nobody.getsockname()[1]}"


def complaints(capsys: Any, password: str) -> list[str]:
    """Return what a command complained of, a line each, and without secrets."""
    printed = capsys.readouterr()
    assert password not in printed.out + printed.err
    assert "PRIVATE KEY" not in printed.out + printed.err.replace("BEGIN PRIVATE KEY", "")
    lines = printed.err.splitlines()
    assert all(line.startswith("pykka-smtp ") for line in lines)
    return [line.partition(": ")[2] for line in lines]


def send(*arguments: str, command: str = "send") -> int:
    """Run the command in this process, and return its exit status."""
    try:
        return command_line.main([command, *arguments])
    except SystemExit as exited:  # as argparse does
        return int(exited.code or 0)


def rows_of(file: Path) -> dict[str, dict[str, Any]]:
    """Read a report, and see that it has one row for each address."""
    with file.open(newline="") as opened:
        rows = json.load(opened) if file.suffix == ".json" else list(csv.DictReader(opened))
    by_address = {row["address"]: row for row in rows}
    assert len(by_address) == len(rows)
    return by_address


def program(
    *arguments: str,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
    env: dict[str, str] | None = None,
    command: str = "send",
) -> subprocess.Popen[str]:
    """Start the command as a program of its own; it is killed if it takes too long."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "pykka_smtp", command, *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        text=True,
        env=os.environ | (env or {}),
    )
    killer = threading.Timer(PATIENCE, process.kill)
    killer.daemon = True
    killer.start()
    wait = process.wait

    def wait_and_disarm(timeout: float | None = None) -> int:
        status = wait(timeout)
        killer.cancel()
        killer.join()
        return status

    process.wait = wait_and_disarm  # type: ignore[method-assign]
    return process


def read_until_closed(master: int) -> Iterator[bytes]:
    while select.select([master], [], [], PATIENCE)[0]:
        try:
            piece = os.read(master, 65_536)
        except OSError:  # Linux says so when the other end is closed
            return
        if not piece:
            return
        yield piece
