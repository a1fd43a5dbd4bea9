"""What README.md and the pages beside it say is true: their code runs, their tables are complete.

The pages are docs/outcomes.md, docs/options.md, docs/troubleshooting.md and docs/command-line.md.
"""

import ast
import base64
import dataclasses
import email
import email.policy
import inspect
import re
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pykka
import pytest
from pykka import ActorDeadError
from servers.demo_run import DemoRun
from servers.python import printed, python
from servers.scripted import Script, ScriptedServer
from servers.sink import AiosmtpdServer
from servers.texts import up_to

from pykka_smtp import (
    AsyncioActor,
    ConnectionOptions,
    FailureKind,
    Mailer,
    Outcome,
    RetryPolicy,
    SendFailure,
    SendMail,
    SmtpActor,
    Stage,
    smtp_send_failure,
)
from pykka_smtp.actors.options.connection_options import defaults_of
from pykka_smtp.testing.polite import polite

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
OUTCOMES = (ROOT / "docs" / "outcomes.md").read_text()
OPTIONS = (ROOT / "docs" / "options.md").read_text()
TROUBLE = (ROOT / "docs" / "troubleshooting.md").read_text()
COMMAND_LINE = (ROOT / "docs" / "command-line.md").read_text()
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()

INSTALL = "python3 -m venv .venv && .venv/bin/pip install -q -e"
COMMANDS = [
    f"{INSTALL} '.[demo]' && .venv/bin/python -m pykka_smtp demo",
    f"{INSTALL} '.[test]' && .venv/bin/pytest",
]

Servers = Callable[..., ScriptedServer]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def section(text: str, heading: str) -> str:
    """Return what stands below a heading, up to the next of the same or a higher level."""
    level = heading.index(" ")
    [_, rest] = text.split(f"\n{heading}\n")
    return re.split(rf"^#{{1,{level}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def table(text: str) -> list[list[str]]:
    """Return the cells of a table's rows, without its head."""
    rows = [
        re.split(r"(?<!\\)\|", line.strip("|"))  # not at one that stands in a cell
        for line in text.splitlines()
        if line.startswith("|")
    ]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def run(code: str, server: ScriptedServer | AiosmtpdServer) -> str:
    """Run a block of code as a program, with this server; return what it printed."""
    localhost, here = ('server="localhost", port=25', f'server="{server.host}", port={server.port}')
    assert localhost in code or str(server.port) in code
    return printed("-W", "error", "-c", code.replace(localhost, here), cwd=ROOT)


def first_example() -> str:
    return blocks(README, "python")[0]


def test_the_first_example_has_fifteen_lines_at_most_and_sends_a_mail(
    scripted_server: Servers,
) -> None:
    server = scripted_server(polite(replies={".": "250 2.0.0 Ok: queued as 4F2A"}))

    assert first_example().count("\n") <= 15
    assert run(first_example(), server) == "accepted: 250 2.0.0 Ok: queued as 4F2A\n"
    assert server.accepted == 1


def test_what_the_readme_says_the_first_example_prints_is_what_it_prints(
    scripted_server: Servers,
) -> None:
    server = scripted_server(polite(replies={"RCPT": "550 5.1.1 who?"}))

    assert "It prints `accepted: 250 2.0.0 Ok: queued as 4F2A`" in README
    assert run(first_example(), server).startswith("not sent: SMTP ")


SUBMISSION = """
    S: 220 mail.example.org ESMTP
    C: EHLO *
    S: 250-mail.example.org
    S: 250 STARTTLS
    C: STARTTLS
    S: 220 2.0.0 go ahead
    S! tls
    C: EHLO *
    S: 250-mail.example.org
    S: 250 AUTH PLAIN
    C: AUTH PLAIN *
    S: {verdict}
"""
MAIL = """
    C: MAIL FROM:<me@example.com>
    S: 250 2.1.0 Ok
    C: RCPT TO:<you@example.org>
    S: 250 2.1.5 Ok
    C: DATA
    S: 354 go ahead
    C: <data>
    S: 250 2.0.0 taken
"""


@pytest.fixture
def certified(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    """Make a server's context, and the file with the authority that its certificate is from."""
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    return context, file


def test_the_example_with_a_password_sends_it_over_verified_tls(
    scripted_server: Servers,
    certified: tuple[ssl.SSLContext, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context, authority = certified
    server = scripted_server(SUBMISSION.format(verdict="235 2.7.0 hello") + MAIL, context=context)
    code = blocks(README, "python")[1]
    assert "@mail.example.org:587" in code
    code = code.replace("@mail.example.org:587", f"@{server.host}:{server.port}")

    # OpenSSL's own way to name the system's authorities.
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    printed = run(code, server)

    assert " accepted by " in printed
    assert "secret" not in printed
    [session] = server.sessions
    assert session.tls is not None
    assert session.lines[3] == f"AUTH PLAIN {plain('me@example.com', 'secret')}"


def plain(user: str, password: str) -> str:
    return base64.b64encode(f"\0{user}\0{password}".encode()).decode()


def test_all_the_code_of_the_readme_is_run_here() -> None:
    assert len(blocks(README, "python")) == 5
    assert len(blocks(OUTCOMES, "python")) == 7


def test_the_example_with_a_mailer_sends_all_on_connections_that_it_keeps(
    aiosmtpd_server: Callable[..., AiosmtpdServer],
) -> None:
    server = aiosmtpd_server(replies={"her@example.org": "550 5.1.1 who?"})
    code = blocks(README, "python")[2]

    printed = run(code, server)

    refused = f"{server.host}:{server.port} refused the recipient her@example.org: 550 5.1.1 who?"
    # Two threads print, each a word at a time: the one may come amid the line of the other.
    assert sorted(printed) == sorted(f"True\nnot sent: her@example.org {refused}\n")
    assert [mail.recipients for mail in server.mails] == [("you@example.org",)]


def test_the_example_with_html_sends_it_with_its_text_image_and_attachment(
    server: ScriptedServer, tmp_path: Path
) -> None:
    code = blocks(README, "python")[3]
    for name in ("logo.png", "invoice.pdf", "preview.eml"):
        (tmp_path / name).write_bytes(name.encode())
        code = code.replace(f'"{name}"', repr(str(tmp_path / name)))

    run(code, server)

    [received] = server.mails
    parsed = email.message_from_bytes(received.data, policy=email.policy.default)
    assert [part.get_content_type() for part in parsed.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "application/pdf",
    ]
    text = parsed.get_body(("plain",))
    assert text is not None
    assert "on its way <https://example.com/42>" in text.get_content()
    assert (tmp_path / "preview.eml").read_bytes().count(b"logo.png") >= 1


def test_the_example_with_an_outbox_prints_a_receipt_and_the_mail_is_on_disk(
    server: ScriptedServer, tmp_path: Path
) -> None:
    path = tmp_path / "mail.db"
    code = blocks(README, "python")[4].replace('"mail.db"', repr(str(path)))

    printed = run(code, server)

    assert re.fullmatch(r"Receipt\(id='\w+', key='order-4711', is_duplicate=False\)\n", printed)
    assert path.stat().st_size > 0


def test_the_first_code_for_an_outcome_tells_its_four_cases_apart(scripted_server: Servers) -> None:
    code = blocks(OUTCOMES, "python")[0]
    lines = {
        polite(): "accepted, except for []\n",
        UP_TO_THE_DOT + "S! close": "it may arrive; find out before you send it again: lost the ",
        polite(replies={"RCPT": "450 4.2.0 later"}): "failed for now; a retry makes sense, and ",
        polite(replies={"RCPT": "550 5.1.1 who?"}): "failed; change something first: SMTP ",
    }
    for script, line in lines.items():
        assert run(code, scripted_server(script)).startswith(line)


def test_the_code_for_a_partial_success_tells_who_may_be_tried_again(
    scripted_server: Servers,
) -> None:
    code = blocks(OUTCOMES, "python")[1]
    for reply, advice in (("450 4.2.0 later", "try"), ("550 5.1.1 who?", "do not try")):
        server = scripted_server(polite(replies={"nobody@example.org": reply}))

        assert run(code, server) == f"nobody@example.org {reply} {advice} again" + (
            " later\n" if advice == "try" else "\n"
        )


def test_the_code_for_trying_again_does_until_the_mail_is_taken(scripted_server: Servers) -> None:
    code = blocks(OUTCOMES, "python")[2].replace("[300, 1800, 7200]", "[0.01, 0.01, 0.01]")
    greylisting = polite(replies={"RCPT": "450 4.2.0 greylisted"})
    server = scripted_server(greylisting, greylisting, polite())

    assert run(code, server) == ""
    assert (server.accepted, len(server.sessions)) == (1, 3)


def test_the_code_for_trying_again_gives_up_in_the_end(scripted_server: Servers) -> None:
    code = blocks(OUTCOMES, "python")[2].replace("[300, 1800, 7200]", "[0.01, 0.01, 0.01]")
    later = scripted_server(polite(replies={"RCPT": "450 4.2.0 greylisted"}))
    never = scripted_server(polite(replies={"RCPT": "550 5.1.1 who?"}))

    assert run(code, later).startswith("given up: patient: mail ")
    assert run(code, never).startswith("given up: patient: mail ")
    assert (len(later.sessions), len(never.sessions)) == (4, 1)


def test_the_code_that_waits_until_all_is_heard_says_so_last(server: ScriptedServer) -> None:
    lines = run(blocks(OUTCOMES, "python")[4], server).splitlines()

    assert sorted(lines[:3]) == [f"heard: mail-{number}" for number in range(3)]
    assert lines[3:] == ["all heard: True"]


def test_the_code_that_mails_log_records_does(server: ScriptedServer) -> None:
    code = blocks(OUTCOMES, "python")[5]
    here = code.replace(
        'server="localhost", port=25', f'server="{server.host}", port={server.port}'
    )

    assert run(here, server) == ""
    assert b"\r\nSubject: Shop: 1 records, ERROR\r\n" in server.sessions[0].mails[0].data


def test_the_code_that_watches_a_session_tells_of_each_reply(server: ScriptedServer) -> None:
    lines = run(blocks(OUTCOMES, "python")[6], server).splitlines()

    assert lines[0].startswith("large (greeting) 220 ")
    assert any(line.startswith("large MAIL FROM:<me@example.com>") for line in lines)


UP_TO_THE_DOT = up_to("body")


def test_the_code_for_maybe_accepted_sends_an_alarm_a_second_time_and_only_that(
    scripted_server: Servers,
) -> None:
    code = blocks(OUTCOMES, "python")[3]
    twice = scripted_server(UP_TO_THE_DOT + "S! close", polite())
    other = scripted_server(UP_TO_THE_DOT + "S! close")

    assert run(code, twice) == ""
    looked = run(code.replace('context="alarm"', 'context="newsletter"'), other)

    assert re.fullmatch(r"look for \S+ in the log of \[127.0.0.1\]:[0-9]+\n", looked)
    assert [len(session.mails) for session in twice.sessions] == [1, 1]
    assert len(other.sessions) == 1
    # The Message-ID is the same, and it is what the page says.
    ids = {
        email.message_from_bytes(mail.data)["Message-ID"]
        for session in twice.sessions
        for mail in session.mails
    }
    [message_id] = ids
    assert re.fullmatch(r"<\S+@example\.com>", message_id)


def test_the_two_commands_stand_in_the_readme_exactly() -> None:
    assert blocks(README, "console")[0] == "$ pip install pykka-smtp\n"
    commands = [block.strip() for block in blocks(README, "console")[1:]]
    assert commands == [f"$ {c}" for c in COMMANDS]


def test_the_program_to_get_started_with_shows_the_mail_and_its_outcome(tmp_path: Path) -> None:
    [program] = blocks((ROOT / "docs" / "index.md").read_text(), "python")

    done = python("-W", "error", "-c", program, cwd=tmp_path)

    assert "Subject: Hello" in done.stderr
    assert done.stdout.startswith("accepted: 250 ")


def test_the_readme_shows_what_the_demo_prints(demo_run: DemoRun) -> None:
    def without_times_and_ports(text: str) -> list[str]:
        text = re.sub(r"127\.0\.0\.1:[0-9]+", "127.0.0.1:PORT", text)
        text = re.sub(r"\b[0-9]+\.[0-9]+ s$", "SECONDS", text, flags=re.MULTILINE)
        # The order is that in which the signals come.
        return sorted(
            re.sub(r"^[0-9]+\.[0-9]{2} s", "0.00 s", text, flags=re.MULTILINE).splitlines()
        )

    printed = without_times_and_ports("\n".join(demo_run.lines))
    whole = blocks(section(COMMAND_LINE, "## `pykka-smtp demo`"), "text")[0]
    assert without_times_and_ports(whole) == printed
    part = without_times_and_ports(blocks(README, "text")[1])
    assert len(part) == 4
    assert [line for line in part if line not in printed] == []


def defaults_of_the_actor() -> dict[str, Any]:
    [_, *parameters, _options] = inspect.signature(SmtpActor.__init__).parameters.values()
    own = {parameter.name: parameter.default for parameter in parameters}
    return own | defaults_of(ConnectionOptions)


def defaults_of_the_mail() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in dataclasses.fields(SendMail):
        if field.init:
            made_up = field.default_factory is not dataclasses.MISSING
            # `sender` has a default for type checkers only; without it there is a TypeError.
            required = field.default is dataclasses.MISSING or field.name == "sender"
            found[field.name] = "made up" if made_up else "required" if required else field.default
    return found


@pytest.mark.parametrize(
    ("heading", "defaults"),
    [("## `SmtpActor.start`", defaults_of_the_actor()), ("## `SendMail`", defaults_of_the_mail())],
)
def test_a_table_of_options_names_what_exists_in_order_with_its_default(
    heading: str, defaults: dict[str, Any]
) -> None:
    rows = table(section(OPTIONS, heading))

    assert all(all(cells) and cells[-1].endswith((".", ".)")) for cells in rows)
    assert {
        name.strip("`"): ast.literal_eval(default.strip("`")) if "`" in default else default
        for name, _type, _unit, default, _meaning in rows
    } == defaults
    assert [cells[0].strip("`") for cells in rows] == list(defaults)


def test_each_kind_of_failure_has_a_row_and_a_section() -> None:
    kinds = {kind.name: kind.value for kind in FailureKind}

    rows = table(section(OUTCOMES, "## Failures"))
    assert {re.findall(r"`(\w+)`", name)[0]: int(value) for name, value, *_ in rows} == kinds
    assert all(all(cells) and len(cells) == 6 for cells in rows)
    assert re.findall(r"^### (\w+)$", OUTCOMES, re.MULTILINE) == list(kinds)
    assert re.findall(r"^\| \[`(\w+)`\]", OUTCOMES, re.MULTILINE) == list(kinds)


def test_each_example_is_named_in_the_readme() -> None:
    for path in (ROOT / "examples").glob("*.py"):
        assert f"`{path.name}`" in README


def mail(**options: Any) -> SendMail:
    given = {"sender": "me@example.com", "recipients": "you@example.org", "body": "x"} | options
    return SendMail(**given)


def ask(server: ScriptedServer, message: SendMail, **options: Any) -> Outcome:
    outcome = SmtpActor.start(server.host, server.port, **options).ask(message)
    assert isinstance(outcome, Outcome)
    return outcome


def as_in_the_docs(outcome: Outcome) -> str:
    """Return the outcome's line with the names that the examples have."""
    text = str(outcome).replace(outcome.mail.id, "4f2a")
    text = re.sub(r"\[127\.0\.0\.1\]:[0-9]+", "mail.example.org[192.0.2.1]:25", text)
    return re.sub(r"127\.0\.0\.1:[0-9]+", "mail.example.org:25", text)


QUEUED = {".": "250 2.0.0 Ok: queued as 9C3E"}
THREE = {"recipients": ["a@example.org", "no@example.org", "b@example.org"]}
BY_SCRIPT: dict[str, tuple[Script, dict[str, Any]]] = {
    "success": (polite(replies=QUEUED), {}),
    "partial success": (polite(replies=QUEUED | {"no@example.org": "550 5.1.1 who?"}), THREE),
    "SMTP, for good": (polite(replies={"RCPT": "550 5.1.1 no such mailbox"}), {}),
    "SMTP, for now": (polite(replies={"RCPT": "450 4.2.0 greylisted"}), {}),
    "CONNECTION": ("S: 220 x ESMTP\nC: EHLO *\nS: 250 x\nC: MAIL *\nS! reset", {}),
    "CONNECTION, maybe_accepted": (UP_TO_THE_DOT + "S! close", {}),
    "TIMEOUT": ("S! silence", {}),
    "PROTOCOL": ("S: HTTP/1.1 400 Bad Request", {}),
    "LOCAL, too large": (polite("SIZE 1000"), {"body": "", "message": (b"x" * 98 + b"\r\n") * 20}),
    "LOCAL, unreadable": (polite(), {"body": "", "message": Path("/nowhere/mail.eml")}),
}


@pytest.mark.parametrize("ending", BY_SCRIPT)
def test_an_example_of_an_outcome_is_what_a_program_sees(
    ending: str, scripted_server: Servers
) -> None:
    script, options = BY_SCRIPT[ending]
    server = scripted_server(script)

    # At port 25, as in the examples, no server would wait for TLS to begin: no hint at it.
    given = {"timeout": 0.3, "tls": "off"} if ending == "TIMEOUT" else {"timeout": 10.0}
    outcome = ask(server, mail(**options), **given)

    assert f"{as_in_the_docs(outcome)}\n" in blocks(OUTCOMES, "text")


def test_the_examples_of_no_connection_are_what_a_program_sees(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        refused = SmtpActor.start(*nobody.getsockname()).ask(mail(), block=True)
    assert f"{as_in_the_docs(refused)}\n" in blocks(OUTCOMES, "text")

    def no_such_name(*_args: object, **_more: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
    unknown = SmtpActor.start("mail.invalid").ask(mail(), block=True)
    assert f"{as_in_the_docs(unknown)}\n" in blocks(OUTCOMES, "text")


def test_the_examples_of_cancelled_mails_are_what_a_program_sees(scripted_server: Servers) -> None:
    server = scripted_server("S: 220 mail.example.org ESMTP\nC: EHLO *\nS! silence")
    actor = SmtpActor.start(server.host, server.port)
    first = actor.ask(mail(), block=False)
    second = actor.ask(mail(), block=True)
    server.wait_for(lambda: server.sessions and server.sessions[0].lines)
    actor.stop()

    for outcome in (first.get(timeout=5), second):
        assert f"{as_in_the_docs(outcome)}\n" in blocks(OUTCOMES, "text")


def test_the_examples_of_security_are_what_a_program_sees(
    scripted_server: Servers, certified: tuple[ssl.SSLContext, Path]
) -> None:
    without = scripted_server(polite())
    before_tls, _, _ = SUBMISSION.partition("S! tls")
    unknown = scripted_server(f"{before_tls}S! tls", context=certified[0])

    for server in (without, unknown):
        outcome = ask(server, mail(), tls="starttls")
        assert f"{as_in_the_docs(outcome)}\n" in blocks(OUTCOMES, "text")


def test_an_example_of_security_in_troubleshooting_reads_as_it_does_for_a_user(
    scripted_server: Servers, certified: tuple[ssl.SSLContext, Path]
) -> None:
    trusting = ssl.create_default_context(cafile=str(certified[1]))
    asks = "S: 220 x ESMTP\nC: EHLO *\nS: 250-x\nS: 250 AUTH PLAIN"
    wrong = SUBMISSION.format(verdict="535 5.7.8 who?")
    who = {"username": "me@example.com", "password": "secret"}
    cases: list[tuple[Script, dict[str, Any], str]] = [
        (wrong, who | {"tls_context": trusting}, "refused the credentials: 535"),
        (asks, who | {"tls": "off"}, "password not sent"),
        ("S: 220 x ESMTP", {"tls": "implicit"}, "WRONG_VERSION_NUMBER"),
        (polite(), who, "offers no STARTTLS"),
    ]

    for script, options, said in cases:
        outcome = ask(scripted_server(script, context=certified[0]), mail(), **options)

        assert isinstance(outcome, SendFailure)
        shown = re.search(rf"`(\w+) at (\w+) \.\.\. {re.escape(said)}", TROUBLE)
        assert shown is not None, said
        assert (outcome.kind.name, outcome.stage) == shown.groups()
        assert said in outcome.detail


def test_a_certificate_for_another_name_reads_as_troubleshooting_says(
    scripted_server: Servers,
) -> None:
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("mail.example.org").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    before_tls, _, _ = SUBMISSION.partition("S! tls")
    server = scripted_server(f"{before_tls}S! tls", context=context)

    actor = SmtpActor.start("localhost", server.port, tls="starttls", tls_context=trusting)
    outcome = actor.ask(mail())

    assert isinstance(outcome, SendFailure)
    start, end = "certificate verification failed for ", ": Hostname mismatch"
    assert outcome.kind is FailureKind.SECURITY
    assert re.search(rf"{start}.*{end}", outcome.detail)
    assert f"**`SECURITY ... {start}...{end}`**" in TROUBLE


def test_a_mailer_that_cannot_send_says_what_troubleshooting_says(server: ScriptedServer) -> None:
    mailer = Mailer.start(
        server.host, server.port, max_queued=1, rate="1/day", retry=RetryPolicy(give_up_after=0.3)
    )
    first, queued, too_many = [mailer.ask(mail(), block=False) for _ in range(3)]
    assert first.get(timeout=10).code == 250
    outcomes = too_many.get(timeout=10), queued.get(timeout=10)
    mailer.stop()

    expected = (
        ("LOCAL", " emails are queued already (max_queued)"),
        ("TIMEOUT", " (retry.give_up_after)"),
    )
    for outcome, (kind, said) in zip(outcomes, expected, strict=True):
        assert isinstance(outcome, SendFailure)
        assert outcome.kind.name == kind
        assert said in outcome.detail
        assert re.search(rf"\*\*`{kind} \.\.\. [^`]*{re.escape(said.strip())}`\*\*", TROUBLE)


def test_the_example_of_a_defect_is_written_as_all_others_are() -> None:
    outcome = SendFailure(
        mail=mail(),
        alias="smtp_client",
        kind=FailureKind.INTERNAL,
        stage=Stage.CONNECT,
        detail="internal error in pykka-smtp: ZeroDivisionError: division by zero",
        retryable=False,
    )

    assert f"{as_in_the_docs(outcome)}\n" in blocks(OUTCOMES, "text")


def test_no_example_of_an_outcome_is_left_untested() -> None:
    # Two of no connection, two of cancelled mails, two of security, one of a defect.
    assert len(blocks(OUTCOMES, "text")) == len(BY_SCRIPT) + 7


class Waiting(AsyncioActor):
    """Does what it must not."""

    def on_receive(self, message: object) -> object:
        return SmtpActor.start("127.0.0.1", 9).ask(message)


def tell_a_second_mail(server: ScriptedServer) -> object:
    actor = SmtpActor.start(server.host, server.port)
    actor.ask(mail())
    actor.actor_stopped.wait(5)
    actor.tell(mail())
    return None


def wait_in_an_actor(_server: ScriptedServer) -> object:
    actor = Waiting.start()
    try:
        return actor.ask(mail())
    finally:
        actor.stop()
        # It asked before it was told off: that mail was taken.
        for left in pykka.ActorRegistry.get_all():
            left.actor_stopped.wait(5)


def open_as_text(_server: ScriptedServer) -> object:
    with (ROOT / "LICENSE").open() as file:
        return mail(body="", message=file)


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (tell_a_second_mail, "ActorDeadError: SmtpActor (urn:uuid:"),
        (wait_in_an_actor, "RuntimeError: an AsyncioActor must not wait for a future"),
        (
            lambda _: mail(sender="Doe, Jane <me@example.com>"),
            "is not of the form Name <address>, with one address; a name that has any of",
        ),
        (
            lambda _: mail(html='<img src="cid:logo">'),
            "html: embeds cid:logo, but inline has no 'logo'",
        ),
        (
            lambda _: mail(recipients="you@example.org, her@example.org"),
            "only one address belongs here; pass several recipients as a list",
        ),
        (
            lambda _: mail(subject="Hello\r\nBcc: x@example.org"),
            r"ValueError: subject: control character '\r' at position 5",
        ),
        (
            open_as_text,
            "TypeError: message: the file is opened in text mode; open it with mode 'rb'",
        ),
    ],
)
def test_an_error_in_troubleshooting_reads_as_it_does_for_a_user(
    cause: Callable[[ScriptedServer], object], said: str, scripted_server: Servers
) -> None:
    with pytest.raises((ActorDeadError, RuntimeError, TypeError, ValueError)) as raised:
        cause(scripted_server())

    assert said in f"{raised.type.__name__}: {raised.value}"
    # One space for each line break: a question may be wrapped.
    assert said in " ".join(TROUBLE.split())


@pytest.mark.parametrize(
    ("offered", "options", "said"),
    [
        (
            (),
            {"body": "", "message": "Subject: x\r\n\r\nh\u00e4h\r\n".encode()},
            "takes no 8-bit mail (no 8BITMIME)",
        ),
        (
            ("8BITMIME",),
            {"recipients": "j\u00f6rg@example.org"},
            "takes no addresses beyond ASCII (no SMTPUTF8)",
        ),
    ],
)
def test_a_failure_in_troubleshooting_reads_as_it_does_for_a_user(
    offered: tuple[str, ...], options: dict[str, Any], said: str, scripted_server: Servers
) -> None:
    outcome = ask(scripted_server(polite(*offered)), mail(**options))

    assert isinstance(outcome, SendFailure)
    assert outcome.kind is FailureKind.LOCAL
    assert said in outcome.detail
    assert f"**`LOCAL ... {said}`**" in TROUBLE


@pytest.mark.parametrize("signature", ["outcome", "sender, result"])
def test_a_receiver_that_cannot_be_called_is_reported_as_troubleshooting_says(
    signature: str, caplog: pytest.LogCaptureFixture
) -> None:
    namespace: dict[str, Any] = {}
    exec(f"def receiver({signature}): pass", namespace)  # noqa: S102 - two lines of our own
    smtp_send_failure.connect(namespace["receiver"])
    heard = threading.Event()
    smtp_send_failure.connect(lambda _alias, **_more: heard.set(), weak=False)

    SmtpActor.start("127.0.0.1", 9).ask(mail())

    assert heard.wait(5)
    [record] = [r for r in caplog.records if r.name == "pykka_smtp.signals"]
    assert re.search(r"^receiver .* of signal smtp_send_failure raised", record.getMessage())
    assert record.exc_info is not None
    said = str(record.exc_info[1]).partition("() ")[2]
    assert f"... {said}`**" in TROUBLE.replace("TypeError: ", "")


def test_the_changelog_has_the_form_that_it_names() -> None:
    assert "## [Unreleased]" in CHANGELOG
    headings = re.findall(r"^### (.*)$", CHANGELOG, re.MULTILINE)
    assert {"Added", "Security"} <= set(headings)
    assert set(headings) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
