"""Real servers: smtp-sink with every fault that it can commit, Postfix's smtpd, and aiosmtpd.

Each row of a table is a server with its options, a mail, and the class of outcome that must come
of it: delivered or not, and if not, why, at which stage, and whether to try again.
"""

import contextlib
import dataclasses
import email.message
import email.policy
import io
import itertools
import os
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from servers import one_mail
from servers.certificates import Certificates, Tls
from servers.matrix import PLAIN, each, normal
from servers.one_mail import mail
from servers.scripted import ReceivedMail
from servers.sink import AiosmtpdServer, PostfixSmtpd, SmtpSink
from servers.waiting import wait_until

from pykka_smtp import FailureKind, Outcome, SendFailure, SendSuccess, SmtpActor, Stage

pytestmark = pytest.mark.real

PATIENCE = 30.0
"""Seconds; reached only by a test that fails."""
SHORT = 0.2
"""Seconds that a server has for a step where it is to be too slow."""


class Server(Protocol):
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


class Storing(Server, Protocol):
    @property
    def mails(self) -> tuple[ReceivedMail, ...]: ...
    def wait_for(self, predicate: Callable[[], object], timeout: float = ...) -> None: ...


# What may come of a mail


@dataclass(frozen=True, slots=True)
class Delivered:
    """The server took it, for everybody or for all but some."""

    refused: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class NotSent:
    kind: FailureKind
    stage: Stage
    code: int | None = None
    retryable: bool = False
    maybe_accepted: bool = False


def transient(stage: Stage, code: int = 450) -> NotSent:
    return NotSent(FailureKind.SMTP, stage, code, retryable=True)


def permanent(stage: Stage, code: int = 500) -> NotSent:
    return NotSent(FailureKind.SMTP, stage, code)


def broken(stage: Stage) -> NotSent:
    return NotSent(FailureKind.CONNECTION, stage, retryable=True)


def too_slow(stage: Stage) -> NotSent:
    return NotSent(FailureKind.TIMEOUT, stage, retryable=True)


def local() -> NotSent:
    """Nothing of it was sent: the mail cannot go to this server as it is."""
    return NotSent(FailureKind.LOCAL, Stage.MAIL)


def in_doubt(kind: FailureKind) -> NotSent:
    return NotSent(kind, Stage.DOT, maybe_accepted=True)


DELIVERED = Delivered()


def class_of(outcome: Outcome) -> Delivered | NotSent:
    if isinstance(outcome, SendFailure):
        return NotSent(
            outcome.kind, outcome.stage, outcome.code, outcome.retryable, outcome.maybe_accepted
        )
    assert isinstance(outcome, SendSuccess)
    return Delivered(tuple(result.reply.code if result.reply else 0 for result in outcome.refused))


# Sending


settle = partial(one_mail.settle, timeout=PATIENCE, debug=True)


def commands(outcome: Outcome) -> list[str]:
    """The verbs that we said."""
    said = [line[3:] for line in outcome.transcript if line.startswith("C: ")]
    return [line.split()[0] for line in said if not line.startswith("<")]


# smtp-sink and its faults


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        title: what smtp-sink does.
        options: its command-line options.
        expected: what must come of the mail.
        given: of the mail.
        timeout: seconds for each step.
        is_slow: whether it takes its time, and so is left out of a plain run.
    """

    title: str
    options: Sequence[str]
    expected: Delivered | NotSent
    given: dict[str, Any] = field(default_factory=dict)
    timeout: float = PATIENCE
    is_slow: bool = False


TEXT = "1 2 3 4 5 6\n"
UTF8 = "Gr\u00fc\u00dfe\n"
STAGES = {
    "CONNECT": Stage.GREETING,
    "EHLO": Stage.EHLO,
    "MAIL": Stage.MAIL,
    "RCPT": Stage.RCPT,
    "DATA": Stage.DATA,
    ".": Stage.DOT,
}


def lines(count: int) -> bytes:
    """A mail of so many lines, 72 octets each."""
    return b"Subject: large\r\n\r\n" + (b"x" * 70 + b"\r\n") * count


def sink_rows() -> Iterator[Row]:
    for command, stage in STAGES.items():
        yield Row(f"says 450 to {command}", ["-r", command], transient(stage))
        yield Row(f"says 421 to {command} and closes", ["-Q", command], transient(stage, 421))
        if command != "EHLO":
            yield Row(f"says 500 to {command}", ["-f", command], permanent(stage))
        if command not in {"EHLO", "."}:
            yield Row(f"hangs up on {command}", ["-q", command], broken(stage))
    yield Row("hangs up on the dot", ["-q", "."], in_doubt(FailureKind.CONNECTION))
    yield Row("knows no EHLO", ["-f", "EHLO"], DELIVERED)
    # RFC 5321 §3.2: a server that cannot bear EHLO may still know HELO.
    yield Row("hangs up on EHLO", ["-q", "EHLO"], DELIVERED)
    yield Row("hangs up on EHLO and on HELO", ["-q", "EHLO,HELO"], broken(Stage.EHLO))
    yield Row("knows neither EHLO nor HELO", ["-f", "EHLO,HELO"], permanent(Stage.EHLO))
    for option, deed in ("-r", "450"), ("-f", "500"), ("-q", "nothing"), ("-Q", "421"):
        yield Row(f"says {deed} to QUIT", [option, "QUIT"], DELIVERED)
    yield Row(
        "greylists in its own words",
        ["-r", "RCPT", "-b", "451 4.7.1 greylisted, come back"],
        transient(Stage.RCPT, 451),
    )
    yield Row(
        "refuses in its own words",
        ["-f", "RCPT", "-B", "521 5.3.2 no mail here"],
        permanent(Stage.RCPT, 521),
    )
    yield Row(
        "has too many recipients", ["-f", "RCPT", "-B", "552 5.5.3 x"], transient(Stage.RCPT, 552)
    )
    # Without PIPELINING, because smtp-sink answers a group out of order where one reply is late.
    for command, stage in STAGES.items():
        expected = in_doubt(FailureKind.TIMEOUT) if command == "." else too_slow(stage)
        yield Row(
            f"is slow at {command}",
            ["-p", "-W", f"{command}:9"],
            expected,
            timeout=SHORT,
            is_slow=command not in {"CONNECT", "."},
        )
    yield Row("is slow at QUIT", ["-W", "QUIT:9"], DELIVERED, timeout=SHORT)
    yield Row("waits at DATA", ["-p", "-w", "9"], too_slow(Stage.DATA), timeout=SHORT, is_slow=True)
    yield Row("waits at DATA in a group", ["-w", "9"], too_slow(Stage.MAIL), timeout=SHORT)
    yield Row("waits, but not too long", ["-p", "-w", "1"], DELIVERED, is_slow=True)
    # Mails that no buffer on the way can hold, so that none of them is out when the 550 comes.
    yield Row(
        "refuses a large mail right behind its 354",
        ["-A", "0"],
        permanent(Stage.BODY, 550),
        {"message": lines(200_000)},
    )
    yield Row(
        "refuses in the middle of the body and reads no more",
        ["-A", "1"],
        permanent(Stage.BODY, 550),
        {"message": lines(200_000)},
        is_slow=True,
    )
    yield Row(
        "stops reading in the middle of the body",
        ["-H", "9", "-T", "2048"],
        too_slow(Stage.BODY),
        {"message": lines(200_000)},
        SHORT,
    )
    yield Row("has a tiny window", ["-T", "512"], DELIVERED, {"message": lines(6_000)})
    yield Row("offers no PIPELINING", ["-p"], DELIVERED)
    yield Row("offers no ESMTP", ["-e"], DELIVERED)
    yield Row("looks like a PIX", ["-P"], DELIVERED)
    yield Row("offers no 8BITMIME to text", ["-8"], DELIVERED, {"body": UTF8})
    yield Row("offers no 8BITMIME to octets", ["-8"], local(), {"message": UTF8.encode()})
    yield Row("offers no SMTPUTF8", [], local(), {"recipients": "j\u00fcrgen@b.test"})
    for option in "-E", "-a", "-N", "-C", "-F":
        yield Row(f"offers less, {option}", [option], DELIVERED)
    yield Row("speaks LMTP", ["-L"], permanent(Stage.EHLO))
    yield Row("has a name", ["-h", "mx.example.test"], DELIVERED)
    yield Row("ends after the mail", ["-M", "1"], in_doubt(FailureKind.CONNECTION))
    yield Row("ends after the session", ["-n", "1"], DELIVERED)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=row.title, marks=pytest.mark.servers if row.is_slow else ())
        for row in sink_rows()
    ],
)
def test_smtp_sink(smtp_sink: Callable[..., SmtpSink], row: Row) -> None:
    server = smtp_sink(*row.options)

    outcome = settle(server, mail(**row.given), timeout=row.timeout)

    assert class_of(outcome) == row.expected
    if row.timeout == SHORT and isinstance(outcome, SendFailure):
        # Of a body it is seen only from look to look whether it still moves.
        assert SHORT <= round(outcome.elapsed, 3) < 3 * SHORT + 1


def test_smtp_sink_that_hangs_up_on_ehlo_gets_helo_on_a_second_connection(
    smtp_sink: Callable[..., SmtpSink],
) -> None:
    outcome = settle(smtp_sink("-q", "EHLO"), mail(body=TEXT))

    assert class_of(outcome) == DELIVERED
    assert commands(outcome) == ["EHLO", "HELO", "MAIL", "RCPT", "DATA", ".", "QUIT"]
    [warning] = outcome.warnings
    assert warning.endswith("hung up on EHLO; tried again with HELO")


def test_smtp_sink_that_refuses_right_behind_its_354_may_find_a_small_mail_sent(
    smtp_sink: Callable[..., SmtpSink],
) -> None:
    outcome = settle(smtp_sink("-A", "0"), mail(body=TEXT))
    assert class_of(outcome) in (permanent(Stage.BODY, 550), permanent(Stage.DOT, 550))


def test_smtp_sink_gets_the_envelope_and_the_mail(smtp_sink: Callable[..., SmtpSink]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)  # smtp-sink runs under another user
        server = smtp_sink("-D", f"{folder}/dump")
        outcome = settle(
            server, mail(recipients=["you@b.test", "too@b.test"], message=b"X-A: b\n\n.\n..\nend")
        )
        assert class_of(outcome) == DELIVERED
        dump = Path(folder, "dump")
        # It writes the file out when the session is over for it as well.
        assert wait_until(lambda: dump.exists() and b"\nend\n" in dump.read_bytes(), PATIENCE)
        text = dump.read_text()

    assert "X-Helo-Args: [127.0.0.1]\n" in text
    assert "X-Mail-Args: <me@a.test>\n" in text
    assert re.findall("X-Rcpt-Args: (.*)", text) == ["<you@b.test>", "<too@b.test>"]
    assert text.endswith("\nX-A: b\n\n.\n..\nend\n\n")


def test_smtp_sink_that_takes_five_at_once_takes_all_in_turn(
    smtp_sink: Callable[..., SmtpSink],
) -> None:
    server = smtp_sink("-m", "5")
    assert send_at_once(server, 200) == {DELIVERED: 200}


def test_smtp_sink_drops_some_of_many_and_each_has_its_outcome(
    smtp_sink: Callable[..., SmtpSink],
) -> None:
    # It ends after 50 mails: 49 are taken for certain, of the last nobody knows, and the others
    # find nobody any more, or lose their connection.
    server = smtp_sink("-M", "50")

    classes = send_at_once(server, 120)

    assert sum(classes.values()) == 120
    assert classes.get(DELIVERED, 0) <= 50
    in_question = {c: n for c, n in classes.items() if isinstance(c, NotSent) and c.maybe_accepted}
    assert sum(in_question.values()) + classes.get(DELIVERED, 0) >= 50
    kinds = {c.kind for c in classes if isinstance(c, NotSent)}
    assert kinds <= {FailureKind.CONNECTION, FailureKind.CONNECT}


def send_at_once(server: Server, count: int) -> Counter[Delivered | NotSent]:
    """Send so many mails without waiting in between; count what came of them."""
    futures = [
        SmtpActor.start(server.host, server.port, timeout=PATIENCE).ask(
            mail(body=TEXT), block=False
        )
        for _ in range(count)
    ]
    return Counter(class_of(future.get(timeout=PATIENCE)) for future in futures)


# The same scenarios on every server


REPLIES = {
    "no@b.test": "550 5.1.1 who?",
    "never@b.test": "553 5.1.3 such a thing",
    "later@b.test": "450 4.2.0 greylisted",
}


def postfix(*withhold: str, keep: bool = False) -> Callable[[], PostfixSmtpd]:
    # No client of it is a local one, whose mail it would complete with header fields.
    own: dict[str, str] = {"local_header_rewrite_clients": ""}
    return lambda: PostfixSmtpd(
        keep=keep, replies=REPLIES, withhold=withhold, size_limit=50_000_000, settings=own
    )


SERVERS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "smtp-sink": SmtpSink,
    "smtp-sink without PIPELINING": lambda: SmtpSink("-p"),
    "Postfix": postfix(),
    "Postfix without PIPELINING": postfix("PIPELINING"),
    "aiosmtpd": lambda: AiosmtpdServer(replies=REPLIES, data_size_limit=50_000_000),
    "a Postfix that delivers": postfix(keep=True),
    "a Postfix that delivers, without PIPELINING": postfix("PIPELINING", keep=True),
}

PLAIN_HERE = PLAIN | {"Postfix"}

every_server = pytest.mark.parametrize(
    "server", each([*SERVERS][:5], plain=PLAIN_HERE), indirect=True
)
storing_server = pytest.mark.parametrize(
    "server", each([*SERVERS][4:], plain=PLAIN_HERE), indirect=True
)


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Start a server once for all the tests that use it."""
    with SERVERS[request.param]() as started:
        started.name = request.param
        yield started


SCENARIOS: dict[str, dict[str, Any]] = {
    "a text": {"body": TEXT},
    "a text beyond ASCII": {"body": UTF8, "subject": UTF8.strip(), "from_name": "J\u00fcrgen, M."},
    "no text": {"body": ""},
    "the null reverse-path": {"sender": "<>", "headers": {"From": "postmaster@a.test"}},
    "odd but valid addresses": {
        "sender": "a.b+c=d/e@sub.a.test",
        "recipients": ['"quoted local part"@b.test', "you@[192.0.2.1]"],
    },
    "many recipients": {"recipients": [f"r{n}@b.test" for n in range(80)]},
    "copies and blind copies": {"cc": "c@b.test", "bcc": ["d@b.test", "e@b.test"]},
    "a complete mail": {"message": b"Subject: whole\n\nbody\n"},
    "a mail without a header": {"message": b"\nbody"},
    "a mail in a pipe": {"message": None},
}


@every_server
@pytest.mark.parametrize("given", SCENARIOS.values(), ids=SCENARIOS)
def test_every_server_takes(server: Any, given: dict[str, Any]) -> None:
    with contextlib.ExitStack() as exits:
        if "message" in given and given["message"] is None:
            given = {"message": exits.enter_context(pipe_with(b"Subject: pipe\n\n.\n"))}
        outcome = settle(server, mail(**given))

    assert class_of(outcome) == DELIVERED
    assert all(result.accepted for result in outcome.recipients)
    assert outcome.warnings == ()


@every_server
def test_every_server_with_pipelining_gets_a_group_at_once(server: Any) -> None:
    outcome = settle(server, mail(recipients=["you@b.test", "too@b.test"]))

    who = [line[0] for line in outcome.transcript if not line.startswith("C: <")]
    group = "".join(who).partition("SC")[2].lstrip("S")
    # With CHUNKING the mail follows the group; without, DATA is part of it.
    in_chunks = "BDAT" in commands(outcome)
    together = "CCC" if in_chunks else "CCCC"
    assert group.startswith(together if server.name in {"smtp-sink", "Postfix"} else "CSCSCS")
    transfer = ["BDAT"] if in_chunks else ["DATA", "."]
    assert commands(outcome) == ["EHLO", "MAIL", "RCPT", "RCPT", *transfer, "QUIT"]
    assert in_chunks == server.name.startswith("Postfix")


@storing_server
@pytest.mark.parametrize(
    ("recipients", "expected"),
    [
        (["you@b.test", "no@b.test", "too@b.test"], Delivered(refused=(550,))),
        (["no@b.test", "you@b.test"], Delivered(refused=(550,))),
        (["later@b.test", "you@b.test", "never@b.test"], Delivered(refused=(450, 553))),
        (["no@b.test"], permanent(Stage.RCPT, 550)),
        (["no@b.test", "never@b.test"], permanent(Stage.RCPT, 553)),
        (["later@b.test"], transient(Stage.RCPT, 450)),
        # One of them may work later, so it is worth another try.
        (["no@b.test", "later@b.test", "never@b.test"], transient(Stage.RCPT, 450)),
    ],
)
def test_every_server_refuses_recipients_one_by_one(
    server: Any, recipients: list[str], expected: Delivered | NotSent
) -> None:
    before = len(server.mails)

    outcome = settle(server, mail(sender=unique(), recipients=recipients))

    assert class_of(outcome) == expected
    assert [result.address for result in outcome.recipients] == recipients
    wanted = [who for who in recipients if who not in REPLIES]
    assert [result.address for result in outcome.recipients if result.accepted] == wanted
    replies = {r.address: r.reply.code for r in outcome.recipients if r.reply and not r.accepted}
    assert replies == {who: int(REPLIES[who][:3]) for who in recipients if who in REPLIES}
    if wanted:
        received = stored(server, outcome)
        assert sorted(received.recipients) == sorted(wanted)
    else:
        assert len(server.mails) == before


# What is stored is what went in

DATA: dict[str, bytes] = {
    "dots": b"Subject: x\r\n\r\n.\r\n..\r\n.a\r\n...\r\na.\r\n",
    "a dot that would end the mail": b"Subject: x\r\n\r\n.\r\nQUIT\r\n",
    "bare LF": b"Subject: x\n\na\n.\nb\n",
    "a smuggled mail behind LF.LF": b"Subject: x\r\n\r\na\n.\nMAIL FROM:<evil@x.test>\n",
    "a smuggled mail behind LF.CRLF": b"Subject: x\r\n\r\na\n.\r\nMAIL FROM:<evil@x.test>\n",
    "a smuggled mail behind CR.CR": b"Subject: x\r\n\r\na\r.\rMAIL FROM:<evil@x.test>\r",
    "bare CR": b"Subject: x\r\n\r\na\rb\r\r\n\rc",
    "lines of 998 octets": b"Subject: x\r\n\r\n" + (b"y" * 998 + b"\r\n") * 3,
    "a line of 998 octets that begins with a dot": b"Subject: x\r\n\r\n." + b"y" * 997 + b"\r\n",
    "8-bit": b"Subject: x\r\n\r\n" + bytes(range(128, 256)) + b"\r\n",
    "control characters": b"Subject: x\r\n\r\n" + bytes({*range(1, 32)} - {10, 13}) + b"\x7f\r\n",
    "an empty body": b"Subject: x\r\n\r\n",
    "a header alone": b"Subject: x\r\n",
    "no line end at the end": b"Subject: x\r\n\r\nend",
    "blank lines at the end": b"Subject: x\r\n\r\nend\r\n\r\n\r\n",
    "a dot alone and no line end": b"Subject: x\r\n\r\n.",
}


@storing_server
@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_a_server_stores_the_mail_that_went_in(server: Any, data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "mail.eml"
    path.write_bytes(data)
    before = len(server.mails)

    for message in data, path, io.BytesIO(data):
        outcome = settle(server, mail(sender=unique(), message=message))
        assert class_of(outcome) == DELIVERED
        assert stored(server, outcome).data == normal(data)

    assert len(server.mails) == before + 3, "one mail each, and none smuggled along"


@storing_server
def test_a_server_stores_the_text_that_went_in(server: Any) -> None:
    text = "\n".join([UTF8, ".", "..", "long " * 1000, "\u5c71" * 500, "end"])
    outcome = settle(server, mail(sender=unique(), body=text))
    message = email.message_from_bytes(stored(server, outcome).data, policy=email.policy.default)
    assert isinstance(message, email.message.EmailMessage)
    assert message.get_content().splitlines() == text.splitlines()


@storing_server
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"a", b"\xff"]), max_size=30))
def test_a_server_stores_whatever_went_in(server: Any, pieces: list[bytes]) -> None:
    data = b"X: y\r\n\r\n" + b"".join(pieces)
    outcome = settle(server, mail(sender=unique(), message=data))
    assert stored(server, outcome).data == normal(data)


@every_server
@pytest.mark.parametrize(
    "text",
    [b"y" * 999, b"a\0b", b"y" * 1_000_000],
    ids=["a line of 999 octets", "a NUL", "a line of a megabyte"],
)
def test_no_server_gets_what_none_may_take(server: Any, text: bytes) -> None:
    outcome = settle(server, mail(message=b"Subject: x\r\n\r\n" + text))
    assert class_of(outcome) == local()
    assert commands(outcome) == ["EHLO", "QUIT"]


TWENTY_MEGABYTES = b"Subject: x\r\n\r\n" + (b"." + b"y" * 997 + b"\r\n") * 20_000


@every_server
def test_20_megabytes_go_to_every_server(server: Any) -> None:
    assert class_of(settle(server, mail(message=TWENTY_MEGABYTES))) == DELIVERED


@storing_server
def test_20_megabytes_are_stored_as_they_were(server: Any, tmp_path: Path) -> None:
    path = tmp_path / "large.eml"
    path.write_bytes(TWENTY_MEGABYTES)
    outcome = settle(server, mail(sender=unique(), message=path))
    assert stored(server, outcome).data == TWENTY_MEGABYTES


@every_server
def test_many_at_once_are_all_taken(server: Any) -> None:
    assert send_at_once(server, 50) == {DELIVERED: 50}


@storing_server
def test_many_at_once_are_all_stored(server: Any) -> None:
    before = len(server.mails)
    assert send_at_once(server, 30) == {DELIVERED: 30}
    server.wait_for(lambda: len(server.mails) == before + 30, timeout=PATIENCE)


_senders = itertools.count()


def unique() -> str:
    """A reverse-path that no other mail has."""
    return f"s{next(_senders)}@a.test"


def stored(server: Storing, outcome: Outcome) -> ReceivedMail:
    """The mail as it was stored, without what Postfix puts on top."""
    sender = outcome.mail.sender

    def found() -> list[ReceivedMail]:
        return [received for received in server.mails if received.sender == sender]

    server.wait_for(found, timeout=PATIENCE)
    [received] = found()
    if isinstance(server, PostfixSmtpd):
        on_top = re.match(rb"Received: .*\r\n(?:[ \t].*\r\n)*", received.data)
        assert on_top is not None
        return dataclasses.replace(received, data=received.data[on_top.end() :])
    return received


@contextlib.contextmanager
def pipe_with(data: bytes) -> Iterator[IO[bytes]]:
    """A file that can be read only once."""
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as file:
        with os.fdopen(writer, "wb") as end:
            end.write(data)
        yield file


# What only some servers do


SMTPUTF8 = {"recipients": "j\u00fcrgen@b.test", "sender": "\u5c71@a.test"}


@dataclass(frozen=True, slots=True)
class Policy:
    """A server with a rule of its own.

    Attributes:
        server: how to start it.
        expected: what must come of the mail.
        given: of the mail.
        text: a piece of the reply.
    """

    server: Callable[[], AbstractContextManager[Any]]
    expected: Delivered | NotSent
    given: dict[str, Any] = field(default_factory=dict)
    text: str = ""


def ruled(tables: dict[str, str] | None = None, size: int = 10_240_000, **rules: str) -> Any:
    return lambda: PostfixSmtpd(settings=rules, tables=tables, size_limit=size)


THREE = {"recipients": ["a@b.test", "b@b.test", "c@b.test"]}
REJECTING = {"body": "/virus/ REJECT no virus\n/drop/ DISCARD quietly\n"}
BODY_CHECKS = "regexp:$config_directory/body"
POLICIES: dict[str, Policy] = {
    "Postfix turns the client away at once": Policy(
        ruled(smtpd_client_restrictions="reject", smtpd_delay_reject="no"),
        permanent(Stage.GREETING, 554),
    ),
    "Postfix turns the client away at RCPT": Policy(
        ruled(smtpd_client_restrictions="reject"), permanent(Stage.RCPT, 554)
    ),
    "Postfix does not like our name": Policy(
        ruled(smtpd_helo_restrictions="reject", smtpd_delay_reject="no"), permanent(Stage.EHLO, 554)
    ),
    "Postfix does not like the sender": Policy(
        ruled(smtpd_sender_restrictions="reject", smtpd_delay_reject="no"),
        permanent(Stage.MAIL, 554),
    ),
    "Postfix does not like the sender for now": Policy(
        ruled(smtpd_sender_restrictions="defer", smtpd_delay_reject="no"),
        transient(Stage.MAIL, 450),
    ),
    "Postfix refuses at DATA": Policy(
        ruled(smtpd_data_restrictions="reject", smtpd_discard_ehlo_keywords="chunking"),
        permanent(Stage.DATA, 554),
    ),
    "Postfix refuses at the dot": Policy(
        ruled(smtpd_end_of_data_restrictions="reject"), permanent(Stage.DOT, 554)
    ),
    "Postfix refuses for now at the dot": Policy(
        ruled(smtpd_end_of_data_restrictions="defer"), transient(Stage.DOT, 450)
    ),
    "Postfix finds a virus": Policy(
        ruled(REJECTING, body_checks=BODY_CHECKS),
        permanent(Stage.DOT, 550),
        {"body": "a virus"},
        "no virus",
    ),
    "Postfix throws the mail away and does not say so": Policy(
        ruled(REJECTING, body_checks=BODY_CHECKS), DELIVERED, {"body": "drop"}
    ),
    "Postfix makes all its refusals soft": Policy(
        ruled(smtpd_end_of_data_restrictions="reject", soft_bounce="yes"), transient(Stage.DOT, 454)
    ),
    "Postfix has no room on its disk": Policy(
        ruled(queue_minfree="4000000000000000000"), transient(Stage.MAIL, 452)
    ),
    "Postfix takes two recipients at a time": Policy(
        ruled(smtpd_recipient_limit="2"), Delivered(), THREE
    ),
    "Postfix hangs up on whom it refuses": Policy(
        ruled(smtpd_recipient_restrictions="reject", smtpd_hard_error_limit="1"),
        permanent(Stage.RCPT, 554),
    ),
    "Postfix says 521 and hangs up": Policy(
        ruled(
            smtpd_recipient_restrictions="reject", access_map_reject_code="521", reject_code="521"
        ),
        permanent(Stage.RCPT, 521),
    ),
    "Postfix speaks SMTPUTF8": Policy(ruled(smtputf8_enable="yes"), DELIVERED, SMTPUTF8),
    "Postfix speaks no SMTPUTF8": Policy(ruled(smtputf8_enable="no"), local(), SMTPUTF8),
    "Postfix takes no mail of that size": Policy(
        ruled(size=2000), local(), {"body": "x" * 70 + "\n" * 3000}
    ),
    "Postfix learns the size too late": Policy(
        ruled(size=2000), permanent(Stage.DOT, 552), {"message": None}
    ),
    "aiosmtpd speaks SMTPUTF8": Policy(
        lambda: AiosmtpdServer(enable_SMTPUTF8=True), DELIVERED, SMTPUTF8
    ),
    "aiosmtpd speaks no SMTPUTF8": Policy(
        lambda: AiosmtpdServer(enable_SMTPUTF8=False), local(), SMTPUTF8
    ),
    "aiosmtpd takes no mail of that size": Policy(
        lambda: AiosmtpdServer(data_size_limit=2000), local(), {"body": "x" * 70 + "\n" * 3000}
    ),
    "aiosmtpd takes a mail of just that size": Policy(
        lambda: AiosmtpdServer(data_size_limit=2000),
        DELIVERED,
        {"message": b"S: x\r\n\r\n" + b"y" * 990 + b"\n" + b"z" * 998 + b"\n"},
    ),
    "aiosmtpd takes no mail of one octet more": Policy(
        lambda: AiosmtpdServer(data_size_limit=2000),
        local(),
        {"message": b"S: x\r\n\r\n" + b"y" * 991 + b"\n" + b"z" * 998 + b"\n"},
    ),
    "aiosmtpd learns the size too late": Policy(
        lambda: AiosmtpdServer(data_size_limit=2000), permanent(Stage.DOT, 552), {"message": None}
    ),
    "aiosmtpd refuses the mail": Policy(
        lambda: AiosmtpdServer(replies={".": "554 5.7.1 spam"}), permanent(Stage.DOT, 554)
    ),
    "aiosmtpd refuses the mail for now": Policy(
        lambda: AiosmtpdServer(replies={".": "451 4.7.1 greylisted"}), transient(Stage.DOT, 451)
    ),
    "aiosmtpd is about to close": Policy(
        lambda: AiosmtpdServer(replies={".": "421 4.3.2 going down"}), transient(Stage.DOT, 421)
    ),
    "aiosmtpd wants a login first": Policy(
        lambda: AiosmtpdServer(auth=["PLAIN"]), permanent(Stage.MAIL, 530)
    ),
}


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_a_server_with_a_rule_of_its_own(policy: Policy) -> None:
    given = dict(policy.given)
    with policy.server() as server, contextlib.ExitStack() as exits:
        if "message" in given and given["message"] is None:
            given["message"] = exits.enter_context(pipe_with(lines(100)))
        outcome = settle(server, mail(**given))

    assert class_of(outcome) == policy.expected
    assert policy.text in (outcome.text or "")
    if isinstance(outcome, SendFailure) and outcome.kind is FailureKind.LOCAL:
        assert commands(outcome) == ["EHLO", "QUIT"], "the server was not even asked"


def test_starttls_is_used_before_a_server_requires_it(certificates: Certificates) -> None:
    tls = Tls(certificate=certificates.good)
    with AiosmtpdServer(tls=tls, require_starttls=True) as server:
        outcome = settle(server, mail())

    assert class_of(outcome) == DELIVERED
    assert commands(outcome)[:4] == ["EHLO", "STARTTLS", "EHLO", "MAIL"]
    assert outcome.peer is not None
    assert outcome.peer.tls_version is not None
    # Nobody asked for it, and nobody said whom to trust (RFC 7435).
    assert not outcome.peer.tls_verified
