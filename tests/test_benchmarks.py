"""The benchmarks run; what they measure is for a quiet machine to say, not for a test."""

import json
import os
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
from servers.effort import IS_THOROUGH
from servers.python import run_to_its_end
from servers.require import require

import pykka_smtp
from benchmarks.__main__ import BENCHMARKS
from benchmarks.certificate import certificate
from benchmarks.client_bare import prepare
from benchmarks.processes import OwnServer

ROOT = Path(__file__).parents[1]
FIRST = (
    *("throughput", "composed", "in_flight", "faults", "import", "big_file"),
    *("compose", "round_trips"),
)
REUSED = ("reuse", "composed_reuse", "round_trip_50ms", "tls")
LOADED = ("latency", "attachment", "overload", "destinations", "outbox")
ALONE = ("hot",)
BESIDE = ("comparison", "dkim", "merge")
GROUPS = {"first": FIRST, "reused": REUSED, "loaded": LOADED, "alone": ALONE, "beside": BESIDE}
HAS_MAILER = hasattr(pykka_smtp, "Mailer")


def command(*arguments: str) -> list[str]:
    # Not nodemailer: a test must not install anything.
    small = ("--quick", "--mails", "10", "--without", "nodemailer")
    return [sys.executable, "-m", "benchmarks", *small, *arguments]


def measure(*arguments: str, out: Path) -> tuple[dict[str, Any], str]:
    done = run_to_its_end(*command("--out", str(out), *arguments), cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    results: dict[str, Any] = json.loads((out / "results.json").read_text(encoding="utf-8"))
    return results, done.stdout


def test_every_benchmark_is_run_by_a_test() -> None:
    assert sorted(BENCHMARKS) == sorted(name for names in GROUPS.values() for name in names)


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(names, id=name)
        for name, names in GROUPS.items()
        if IS_THOROUGH or name not in {"loaded", "beside"}  # these two take a minute
    ],
)
def test_a_quick_run_measures_everything_and_judges_every_target(
    names: tuple[str, ...], tmp_path: Path
) -> None:
    require("smtp-sink")
    others = (
        *("smtp", "aio", "asyncio", "bare interpreter", "MIME", "pykka-smtp, stdlib"),
        *("pykka-smtp, reused, asyncio", "pykka-smtp, fresh, asyncio"),
        *(
            f"reused: {name}"
            for name in ("aio", "nodemailer", "smtplib", "pykka-smtp Mailer, stdlib")
        ),
        *("made of parts: aio", "queue ids, CHUNKING: aio", "fresh: aio"),
    )
    left_out = [word for name in others for word in ("--without", name)]
    chosen = [word for name in names for word in ("--only", name)]

    whole, printed = measure(*left_out, *chosen, out=tmp_path)

    results = {result["name"]: result for result in whole["results"]}
    assert tuple(results) == tuple(name for name in names if HAS_MAILER or name != "overload")
    for result in results.values():
        assert any("pykka" in row["name"] or "SendMail" in row["name"] for row in result["rows"])
        assert result["title"] in printed
        assert result["targets"] or result["name"] == "composed"
        assert all(target["text"] in printed for target in result["targets"])
    tables = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert all(
        f"| {row['name']} | " in tables for found in results.values() for row in found["rows"]
    )
    # The figures that no busy machine can excuse.
    for name in {"in_flight", "faults", "overload"} & set(results):
        lost = "sends with no outcome, or two"
        assert [t["value"] for t in results[name]["targets"] if t["text"] == lost] == [0]


def session_with(server: OwnServer) -> smtplib.SMTP:
    return smtplib.SMTP("127.0.0.1", server.port, local_hostname="client.example.com", timeout=10)


def test_the_server_to_measure_against_takes_mails_by_data_and_by_bdat() -> None:
    with OwnServer("taking_server", chunking=True) as server, session_with(server) as session:
        session.sendmail("me@example.com", ["you@example.org"], b"one\r\n.\r\n")
        assert session.has_extn("chunking")
        # One group, as RFC 3030 allows with PIPELINING; the second chunk ends the mail.
        session.send(
            b"MAIL FROM:<me@example.com>\r\nRCPT TO:<you@example.org>\r\n"
            b"BDAT 5\r\none\r\nBDAT 3 LAST\r\n.\r\n"
        )
        codes = [session.getreply()[0] for _ in range(4)]
        server.tell("report")
        facts = server.hear(10)

    assert codes == [250] * 4
    assert (facts["mails"], facts["connections"]) == (2, 1)


def test_the_server_to_measure_against_takes_no_more_mails_a_second_than_told() -> None:
    began = time.monotonic()
    with OwnServer("taking_server", rate=20, free=1) as server, session_with(server) as session:
        for _ in range(4):  # one at once, the next too, and the others 50 ms apart
            session.sendmail("me@example.com", ["you@example.org"], b"one\r\n")
        took = time.monotonic() - began
        server.tell("report")
        facts = server.hear(10)

    assert took >= 0.1
    assert (facts["mails"], facts["most_held"]) == (4, 1)


def test_the_server_to_measure_against_counts_resumed_tls_sessions() -> None:
    pytest.importorskip("trustme")
    with certificate() as made, OwnServer("taking_server", certificate=made.server) as server:
        context = ssl.create_default_context(cafile=made.authority)
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # its session is known at once
        kept = None
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain:
                plain.recv(1000)
                plain.sendall(b"STARTTLS\r\n")
                plain.recv(1000)
                with context.wrap_socket(
                    plain, server_hostname="127.0.0.1", session=kept
                ) as encrypted:
                    encrypted.sendall(b"EHLO client.example.com\r\n")
                    offers = encrypted.recv(1000)
                    kept = encrypted.session
        server.tell("report")
        facts = server.hear(10)

    assert b"STARTTLS" not in offers
    assert (facts["handshakes"], facts["resumed"]) == (2, 1)


def test_the_bare_sockets_double_a_leading_dot() -> None:
    assert prepare(b"one\r\n.two\r\n") == b"one\r\n..two\r\n.\r\n"


def test_a_competitor_is_left_out_on_request(tmp_path: Path) -> None:
    few = ("--without", "Email", "--without", "Send", "--without", "nodemailer")

    whole, printed = measure("--only", "compose", *few, out=tmp_path)

    assert "EmailMessage" not in printed
    assert "MIMEText" in printed
    assert "EmailMessage" not in json.dumps(whole["results"][0]["rows"])


def test_a_benchmark_that_does_not_exist_is_refused() -> None:
    done = run_to_its_end(*command("--only", "speed"), cwd=ROOT)

    assert done.returncode == 2
    assert "invalid choice: 'speed'" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_its_children_soon(number: signal.Signals, tmp_path: Path) -> None:
    few = ("--without", "Email", "--without", "MIME", "--without", "nodemailer")
    with subprocess.Popen(
        command("--only", "compose", "--only", "faults", *few, "--out", str(tmp_path)),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        while "faults:" not in process.stderr.readline():
            assert process.poll() is None
        children = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, number)
        _, complaints = process.communicate(timeout=20)

    assert process.returncode == 130
    assert "Traceback" not in complaints
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []
    # What was measured before is not lost.
    assert json.loads((tmp_path / "results.json").read_text())["results"][0]["name"] == "compose"
