import base64
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from servers.require import require_module
from servers.scripted import ScriptedServer, Start

from pykka_smtp import FailureKind, Peer, SendMail, SmtpActor, Stage, verify
from pykka_smtp.actors.net.connecting import addresses as addresses_module
from pykka_smtp.cli import main as command_line
from pykka_smtp.cli import verify as verify_command
from pykka_smtp.testing.polite import polite

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "command-line.md").read_text()
USER, PASSWORD = "me@example.com", "hunter2-hunter2"
PLAIN = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
WHO = f"me%40example.com:{PASSWORD}"
PATIENCE = 20  # seconds; reached only by a test that fails

Certified = tuple[ssl.SSLContext, Path]


@pytest.fixture
def certified(tmp_path: Path) -> Certified:
    """Make a server's context, and the file with the authority that its certificate is from."""
    require_module("trustme")
    import trustme

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    return context, file


def trusting(certified: Certified) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certified[1]))


def dead_port() -> int:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port: int = nobody.getsockname()[1]
    return port


# In a program.


def test_a_server_that_would_take_mail_is_ready_and_gets_none(scripted_server: Start) -> None:
    server = scripted_server(polite("PIPELINING", "SIZE 1000", "8BITMIME"))

    report = verify(server.host, server.port, local_hostname="client.test")

    assert report.is_ready
    assert report.server == f"{server.host}:{server.port}"
    assert str(report) == report.detail == f"{report.server} is ready"
    assert report.offers == ("PIPELINING", "SIZE 1000", "8BITMIME")
    assert report.peer == Peer(host=server.host, address=server.host, port=server.port)
    assert (report.authenticated, report.failure, report.warnings) == (False, None, ())
    server.wait_until_ended()
    assert server.lines == ("EHLO client.test", "QUIT")
    assert report.transcript[:2] == ("S: 220 mx.test ESMTP", "C: EHLO client.test")


def test_a_refused_greeting_is_a_report_with_the_verdict_of_a_send(scripted_server: Start) -> None:
    server = scripted_server(polite(replies={"greeting": "554 5.7.1 not you"}))

    report = verify(server.host, server.port)

    assert not report.is_ready
    assert report.failure is not None
    assert (report.failure.kind, report.failure.stage) == (FailureKind.SMTP, Stage.GREETING)
    assert not report.failure.retryable
    assert "554 5.7.1 not you" in report.detail
    assert report.offers == ()


def test_no_connection_is_a_report() -> None:
    port = dead_port()

    report = verify("127.0.0.1", port)

    assert report.failure is not None
    assert (report.failure.kind, report.failure.operation) == (FailureKind.CONNECT, "connect")
    assert report.detail == f"cannot connect to 127.0.0.1:{port}: Connection refused"
    assert report.peer is None
    assert report.transcript == ()


def test_a_server_that_says_nothing_is_a_report(scripted_server: Start) -> None:
    server = scripted_server("S! silence")

    report = verify(server.host, server.port, timeout=0.3)

    assert report.failure is not None
    assert (report.failure.kind, report.failure.stage) == (FailureKind.TIMEOUT, Stage.GREETING)


@pytest.mark.parametrize("choice", ["starttls", "implicit"])
def test_tls_that_is_verified_says_so(
    scripted_server: Start, certified: Certified, choice: str
) -> None:
    script = polite("STARTTLS", "SIZE 5", implicit_tls=choice == "implicit")
    server = scripted_server(script, context=certified[0])

    report = verify(server.host, server.port, tls=choice, tls_context=trusting(certified))

    assert report.is_ready
    assert report.peer is not None
    assert (report.peer.tls_version, report.peer.tls_verified) == ("TLSv1.3", True)
    assert report.peer.tls_cipher is not None
    assert report.offers == ("SIZE 5",)  # what it says under TLS, where STARTTLS has no place


def test_tls_that_nobody_asked_for_is_used_and_not_verified(
    scripted_server: Start, certified: Certified
) -> None:
    server = scripted_server(polite("STARTTLS"), context=certified[0])

    report = verify(server.host, server.port)

    assert report.is_ready
    assert report.peer is not None
    assert (report.peer.tls_version, report.peer.tls_verified) == ("TLSv1.3", False)


def test_an_unknown_authority_is_not_ready_where_tls_is_required(
    scripted_server: Start, certified: Certified
) -> None:
    server = scripted_server(
        "S: 220 x\nC: EHLO *\nS: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nS! tls",
        context=certified[0],
    )

    report = verify(server.host, server.port, tls="starttls")

    assert report.failure is not None
    assert report.failure.kind is FailureKind.SECURITY
    assert "certificate verification failed" in report.detail


def test_a_handshake_that_fails_where_tls_is_not_required_is_tried_without_as_a_send_does(
    scripted_server: Start,
) -> None:
    broken = "S: 220 x\nC: EHLO *\nS: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nS! close"
    server = scripted_server(broken, polite("STARTTLS", "SIZE 7"))

    report = verify(server.host, server.port)

    assert report.is_ready
    assert report.peer is not None
    assert report.peer.tls_version is None
    assert report.offers == ("STARTTLS", "SIZE 7")
    [warning] = report.warnings
    assert "without TLS" in warning


@pytest.mark.parametrize(("verdict", "ready"), [("235 2.7.0 hello", True), ("535 5.7.8 no", False)])
def test_credentials_are_tried(
    scripted_server: Start, certified: Certified, verdict: str, *, ready: bool
) -> None:
    script = polite("STARTTLS", "AUTH PLAIN", replies={"AUTH": verdict})
    server = scripted_server(script, context=certified[0])

    report = verify(
        url=f"smtp://{WHO}@{server.host}:{server.port}", tls_context=trusting(certified)
    )

    assert (report.is_ready, report.authenticated) == (ready, ready)
    assert f"AUTH PLAIN {PLAIN}" in server.lines
    for text in (repr(report), str(report), *report.transcript):
        assert PASSWORD not in text
        assert PLAIN not in text
    if not ready:
        assert report.failure is not None
        assert (report.failure.kind, report.failure.stage) == (FailureKind.SMTP, Stage.AUTH)
        assert "refused the credentials: 535 5.7.8 no" in report.detail


def test_lmtp_is_spoken_to_a_port_and_to_a_unix_socket(
    scripted_server: Start, tmp_path: Path
) -> None:
    path = tmp_path / "lmtp"
    port, unix = scripted_server(polite("PIPELINING")), scripted_server(polite("SIZE 9"), path=path)

    on_port = verify(url=f"lmtp://{port.host}:{port.port}")
    on_unix = verify(url=f"lmtp+unix://{path}")

    assert (on_port.is_ready, on_port.offers) == (True, ("PIPELINING",))
    assert (on_unix.is_ready, on_unix.offers) == (True, ("SIZE 9",))
    assert on_unix.server == str(path)
    assert [server.lines[0].partition(" ")[0] for server in (port, unix)] == ["LHLO", "LHLO"]


def test_what_is_wrong_with_an_option_is_raised_here() -> None:
    with pytest.raises(ValueError, match="port: needs 1 to 65535"):
        verify("mx.test", 0)
    options: Any = {"no_such_option": 1}
    with pytest.raises(TypeError, match=r"^no_such_option is not an option of verify$"):
        verify("mx.test", **options)


def test_smtp_url_is_used_only_if_passed(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"smtp://{server.host}:{server.port}"
    monkeypatch.setenv("SMTP_URL", url)
    mail = SendMail(sender="a@b.test", recipients="c@d.test")
    port = dead_port()

    silently: Any = SmtpActor.start(port=port).ask(mail, timeout=PATIENCE)
    said: Any = SmtpActor.start(url=os.environ["SMTP_URL"]).ask(mail, timeout=PATIENCE)

    assert silently.detail.startswith(f"cannot connect to localhost:{port}: ")
    assert said.peer.port == server.port
    assert server.accepted == 1


# On the command line.


def run(
    capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, dict[str, list[str]], str]:
    """Return the exit status, the lines of the report by their name, and the standard error."""
    status = command_line.main(["verify", *arguments])
    printed, complaints = capsys.readouterr()
    lines: dict[str, list[str]] = {}
    for line in printed.splitlines():
        name, _, text = line.partition(" ")
        lines.setdefault(name, []).append(text.strip())
    return status, lines, complaints


def test_an_unknown_extension_is_wrong_usage(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        command_line.main(["verify", "--without", "STARTTLS", "smtp://mx.test"])

    assert caught.value.code == 64
    assert "use tls='off'" in capsys.readouterr().err


def test_the_report_is_printed_in_plain_lines(
    scripted_server: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    server = scripted_server(polite("PIPELINING", "SIZE 1000"))

    status, lines, complaints = run(capsys, f"smtp://{server.host}:{server.port}")

    assert (status, complaints) == (0, "")
    assert lines == {
        "server": [f"127.0.0.1:{server.port}"],
        "address": ["127.0.0.1"],
        "TLS": ["no TLS"],
        "authenticated": ["no"],
        "offers": ["PIPELINING", "SIZE 1000"],
        "ready": ["yes"],
    }


def test_tls_authentication_and_the_session_are_printed_without_the_password(
    scripted_server: Start,
    certified: Certified,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def trusted(_purpose: object = None) -> ssl.SSLContext:
        return trusting(certified)

    tls_module: Any = sys.modules["pykka_smtp.actors.net.tls.tls"]
    monkeypatch.setattr(tls_module, "_verifying_context", trusted)
    server = scripted_server(
        polite("STARTTLS", "AUTH PLAIN", replies={"AUTH": "235 2.7.0 hello"}), context=certified[0]
    )

    status, lines, _ = run(capsys, "-v", f"smtp://{WHO}@{server.host}:{server.port}")

    assert status == 0
    [tls] = lines["TLS"]
    assert tls.startswith("TLSv1.3, TLS_")
    assert tls.endswith(", verified")
    assert lines["authenticated"] == ["yes"]
    assert "220 mx.test ESMTP" in lines["S:"]
    assert "AUTH PLAIN ***" in lines["C:"] or any(" ***" in line for line in lines["C:"])
    printed = str(lines)
    assert PASSWORD not in printed
    assert PLAIN not in printed


def test_without_a_url_that_of_the_environment_is_used(
    scripted_server: Start, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = scripted_server(polite(), polite())
    monkeypatch.setenv("SMTP_URL", f"smtp://{server.host}:{server.port}")

    status, lines, _ = run(capsys)

    assert (status, lines["ready"], lines["offers"]) == (0, ["yes"], ["nothing"])


def test_a_warning_and_an_unverified_session_are_printed(
    scripted_server: Start, certified: Certified, capsys: pytest.CaptureFixture[str]
) -> None:
    warns = scripted_server(polite("STARTTLS", replies={"STARTTLS": "454 4.7.0 no TLS today"}))
    encrypts = scripted_server(polite("STARTTLS"), context=certified[0])

    _, warned, _ = run(capsys, f"smtp://{warns.host}:{warns.port}")
    _, encrypted, _ = run(capsys, f"smtp://{encrypts.host}:{encrypts.port}")

    assert (len(warned["warning"]), warned["ready"]) == (1, ["yes"])
    assert "454 4.7.0 no TLS today" in warned["warning"][0]
    assert encrypted["TLS"][0].endswith(", NOT verified")


def test_a_unix_socket_has_no_address(
    scripted_server: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted_server(polite(), path=tmp_path / "lmtp")

    status, lines, _ = run(capsys, f"lmtp+unix://{tmp_path / 'lmtp'}")

    assert (status, lines["address"]) == (0, ["a unix socket"])


@pytest.mark.parametrize(
    ("script", "query", "status"),
    [
        (polite(replies={"greeting": "554 5.7.1 not you"}), "", 69),
        (polite(replies={"greeting": "421 4.3.2 later"}), "", 75),
        ("S! silence", "timeout=0.3", 75),
        ("S! close", "", 75),
        ("S: HTTP/1.1 400 Bad Request", "", 76),
        (polite(), "tls=starttls", 77),
    ],
)
def test_the_exit_status_says_what_is_wrong(
    scripted_server: Start, capsys: pytest.CaptureFixture[str], script: Any, query: str, status: int
) -> None:
    server = scripted_server(script)

    exit_status, lines, complaints = run(capsys, f"smtp://{server.host}:{server.port}?{query}")

    assert (exit_status, complaints) == (status, "")
    assert lines["ready"][0].startswith("no: ")


def test_refused_credentials_are_not_allowed_and_a_refusal_for_now_is_temporary(
    scripted_server: Start,
    certified: Certified,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tls_module: Any = sys.modules["pykka_smtp.actors.net.tls.tls"]
    monkeypatch.setattr(tls_module, "_verifying_context", lambda: trusting(certified))
    statuses: list[int] = []

    for verdict in ("535 5.7.8 no", "454 4.7.0 later"):
        server = scripted_server(
            polite("STARTTLS", "AUTH PLAIN", replies={"AUTH": verdict}), context=certified[0]
        )
        statuses.append(run(capsys, f"smtp://{WHO}@{server.host}:{server.port}")[0])

    assert statuses == [77, 75]


def test_no_server_exits_69_and_an_unknown_name_exits_68(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def look_up(_host: str, _port: int) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(addresses_module, "_getaddrinfo", look_up)

    refused, lines, _ = run(capsys, f"smtp://127.0.0.1:{dead_port()}")
    unknown, _, _ = run(capsys, "smtp://no-such-host.test")

    assert (refused, unknown) == (69, 68)
    assert lines["address"] == ["not connected"]


@pytest.mark.parametrize(
    "url",
    [
        f"smtp://{WHO}@mx.test:port",
        f"http://{WHO}@mx.test",
        f"smtp://{WHO}@mx.test?tiemout=3",
        f"smtp://{WHO}/@mx.test",
        f"smtp://mx.test?proxy=socks5://{WHO}@h.test",
        f"smtp://mx.test?proxy=socks5://me:{PASSWORD}%40h.test",
    ],
)
@pytest.mark.parametrize("where", ["argument", "environment"])
def test_a_wrong_url_is_one_line_without_its_password(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, url: str, where: str
) -> None:
    if where == "environment":
        monkeypatch.setenv("SMTP_URL", url)

    status, lines, complaints = run(capsys, *([url] if where == "argument" else []))

    assert (status, lines) == (64, {})
    assert complaints.startswith("pykka-smtp verify: ")
    assert complaints.count("\n") == 1
    assert PASSWORD not in complaints


@pytest.mark.parametrize("value", [None, ""])
def test_no_url_at_all_is_wrong_usage(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("SMTP_URL", raising=False)
    if value is not None:
        monkeypatch.setenv("SMTP_URL", value)

    status, _, complaints = run(capsys)

    assert status == 64
    assert complaints == (
        "pykka-smtp verify: needs a relay URL, here or in the environment as SMTP_URL\n"
    )


def test_what_is_not_installed_is_told_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(**_options: object) -> None:
        raise ImportError("proxy: needs python-socks; pip install 'pykka-smtp[proxy]'")

    monkeypatch.setattr(verify_command, "verify", missing)

    status, _, complaints = run(capsys, "smtp://mx.test?proxy=socks5://h.test:1080")

    assert status == 69
    assert complaints.endswith("pip install 'pykka-smtp[proxy]'\n")


def test_what_a_server_says_does_not_play_with_the_terminal(
    scripted_server: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    server = scripted_server(polite("X\x1b[2Jcleared"), polite("X\x1b[2Jcleared"))

    status, _, _ = run(capsys, "--verbose", f"smtp://{server.host}:{server.port}")
    command_line.main(["verify", "-v", f"smtp://{server.host}:{server.port}"])

    assert status == 0
    assert "\x1b" not in capsys.readouterr().out


def test_ctrl_c_ends_it_at_once(scripted_server: Start) -> None:
    server = scripted_server("S! silence")
    with subprocess.Popen(
        [sys.executable, "-m", "pykka_smtp", "verify", f"smtp://{server.host}:{server.port}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        killer = threading.Timer(PATIENCE, process.kill)
        killer.start()
        try:
            server.wait_for(lambda: server.sessions, timeout=PATIENCE)
            process.send_signal(signal.SIGINT)
            printed, complaints = process.communicate(timeout=PATIENCE)
        finally:
            killer.cancel()

    assert (process.returncode, printed) == (130, "")
    assert complaints == "\ninterrupted\n"


def test_the_page_shows_what_it_prints(
    scripted_server: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    [_, rest] = PAGE.split("\n## `pykka-smtp verify`\n")
    shown = rest.split("\n## ")[0]
    server = scripted_server(polite("PIPELINING"))

    _, lines, _ = run(capsys, f"smtp://{server.host}:{server.port}")

    for name in lines:
        assert f"\n{name:<14} " in shown
