"""What real servers stored is what went in, for arbitrary mails, and nothing else came with it.

Some of these servers take ``LF.LF`` for the end of a mail. So the count of the mails that they
stored is the proof that none was smuggled in: by DATA, by BDAT, from memory and from a file.
"""

import email
import email.policy
import io
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st
from servers.aiosmtpd_server import AiosmtpdServer
from servers.exim import EximSmtpd
from servers.matrix import PLAIN, each, left_behind_by_none, normal
from servers.opensmtpd import OpenSmtpd
from servers.postfix import PostfixSmtpd
from servers.sink import StoringSink
from servers.waiting import wait_until

from pykka_smtp import Outcome, SendMail, SendSuccess, SmtpActor
from pykka_smtp.testing.talk.ledger import ReceivedMail

pytestmark = pytest.mark.real
nothing_left_behind = left_behind_by_none

PATIENCE = 30.0
"""Seconds; reached only by a test that fails."""
MOST_LINE = 998
"""Octets of a line that goes out by DATA (RFC 5321 §4.5.3.1.6)."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A server, and the way a mail goes to it.

    Attributes:
        start: starts it.
        verb: DATA or BDAT.
        at_once: connections that it bears.
    """

    start: Callable[[], AbstractContextManager[Any]]
    verb: str
    at_once: int = 8


def postfix(*withhold: str) -> PostfixSmtpd:
    # No client of it is a local one, whose mail it would complete with header fields.
    own = {"local_header_rewrite_clients": ""}
    return PostfixSmtpd(keep=True, trace=False, withhold=withhold, settings=own)


KINDS = {
    "aiosmtpd": Kind(AiosmtpdServer, "DATA"),
    "Postfix by BDAT": Kind(postfix, "BDAT"),
    "Postfix by DATA": Kind(lambda: postfix("CHUNKING"), "DATA"),
    "Postfix by DATA, without PIPELINING": Kind(lambda: postfix("CHUNKING", "PIPELINING"), "DATA"),
    "Exim by BDAT": Kind(EximSmtpd, "BDAT"),
    "smtp-sink": Kind(StoringSink, "DATA"),
    # Delivers one mail after the other, and takes a moment for each.
    "OpenSMTPD": Kind(OpenSmtpd, "DATA", at_once=1),
}


@dataclass(slots=True)
class Started:
    """A server that runs.

    Attributes:
        kind: what it is.
        server: the server.
        count: how many mails it has taken so far.
    """

    kind: Kind
    server: Any
    count: int = 0
    senders: Iterator[int] = field(default_factory=itertools.count)

    def send(self, messages: Sequence[Any], **given: Any) -> list[tuple[Outcome, ReceivedMail]]:
        """Send these at once, and return what was stored of each: one mail, and no more."""
        sent: list[tuple[SendMail, Outcome]] = []
        left = iter(messages)
        while batch := list(itertools.islice(left, self.kind.at_once)):
            sent += self._send(batch, given)
        self.count += len(sent)
        self.server.wait_for(lambda: len(self.server.mails) >= self.count, timeout=PATIENCE)
        stored = {mail.sender: mail for mail in self.server.mails}
        assert len(stored) == len(self.server.mails) == self.count, "none may come with another"
        return [(outcome, stored[mail.sender]) for mail, outcome in sent]

    def _send(self, batch: Sequence[Any], given: dict[str, Any]) -> list[tuple[SendMail, Outcome]]:
        mails = [
            SendMail(
                sender=f"s{next(self.senders)}@a.test",
                recipients="user@mx.test",
                **{**given, **({"message": one} if not given else {"body": one})},
            )
            for one in batch
        ]
        refs = [
            SmtpActor.start(self.server.host, self.server.port, timeout=PATIENCE, debug=True)
            for _ in mails
        ]
        futures = [ref.ask(mail, block=False) for ref, mail in zip(refs, mails, strict=True)]
        outcomes: list[Any] = [future.get(timeout=PATIENCE) for future in futures]
        for ref, outcome in zip(refs, outcomes, strict=True):
            assert isinstance(outcome, SendSuccess), str(outcome)
            # One reply to each command, and none that nobody asked for.
            assert outcome.warnings == ()
            verbs = [line.split()[1] for line in outcome.transcript if line.startswith("C: ")]
            assert verbs.count(self.kind.verb) == 1, outcome.transcript
            assert ref.actor_stopped.wait(PATIENCE)
        return list(zip(mails, outcomes, strict=True))


@pytest.fixture(scope="module")
def started(request: pytest.FixtureRequest) -> Iterator[Started]:
    """Start a server once for all the tests that use it."""
    kind = KINDS[request.param]
    with kind.start() as server:
        yield Started(kind, server)


PLAIN_HERE = PLAIN | {"Postfix by BDAT"}

quick_server = pytest.mark.parametrize(
    "started", each([*KINDS][:-1], plain=PLAIN_HERE), indirect=True
)

# Mails

PIECES = (
    *(b"\r", b"\n", b"\r\n", b".", b"..", b"\r\n.", b"\n.", b"\r.", b"a", b" ", b"\t", b"="),
    *(b"MAIL FROM:<evil@x.test>", b"RCPT TO:<evil@x.test>", b"DATA", b"QUIT", b"RSET"),
    *(b"BDAT 0 LAST", b"From ", b"Bcc: x@y.test", b"\xff", b"\xc3\xa4", b"\x1a", b"\x0b", b"\x7f"),
    b"\r\n" + b"." * MOST_LINE + b"\r\n",
)
BODIES = st.lists(
    st.one_of(
        st.sampled_from(PIECES),
        st.sampled_from(PIECES),
        st.binary(max_size=12).map(lambda octets: octets.replace(b"\0", b"")),
    ),
    max_size=24,
).map(b"".join)
TRANSACTION = b"MAIL FROM:<evil@x.test>%bRCPT TO:<evil@x.test>%bDATA%bSubject: evil%b%bevil%b.%b"
ENDS = (
    *(b"\r\n.\r\n", b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n"),
    *(b"\n\r.\r\n", b"\r\r\n.\n"),
)


def smuggling(*line_ends: bytes) -> list[bytes]:
    """Mails that end, for a server that is not strict, with a second one behind them."""
    return [
        b"a" + end + TRANSACTION.replace(b"%b", line)
        for end in ENDS
        for line in line_ends or (b"\r\n", b"\n", b"\r")
    ]


def whole(body: bytes) -> bytes:
    return b"X-Note: y\r\n\r\n" + body


def fits(body: bytes) -> bool:
    return max(map(len, re.split(rb"[\r\n]", body))) <= MOST_LINE


@quick_server
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bodies=st.lists(BODIES.filter(fits), min_size=1, max_size=6), from_file=st.booleans())
@example(bodies=smuggling(), from_file=False)
@example(bodies=smuggling(b"\n"), from_file=True)
def test_a_server_stores_what_went_in_and_nothing_else(
    started: Started, bodies: list[bytes], *, from_file: bool
) -> None:
    mails = [whole(body) for body in bodies]
    event(f"{len(mails)} mails")

    found = started.send([io.BytesIO(mail) if from_file else mail for mail in mails])

    assert [mail.data for _, mail in found] == [normal(mail) for mail in mails]


@pytest.mark.parametrize("started", each(["OpenSMTPD"]), indirect=True)
def test_opensmtpd_which_ends_a_mail_at_lf_lf_gets_no_second_one(started: Started) -> None:
    mails = [whole(body) for body in smuggling(b"\n")]

    assert [mail.data for _, mail in started.send(mails)] == [normal(mail) for mail in mails]


TEXTS = st.text(
    st.one_of(
        st.sampled_from("\r\n.= \t\u00e4\u5c71\U0001f600\u2028\x85"),
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    ),
    max_size=120,
)


@pytest.mark.parametrize(
    "started", each(["aiosmtpd", "Postfix by BDAT"], plain=PLAIN_HERE), indirect=True
)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(TEXTS, min_size=1, max_size=6))
@example(texts=[".", "..", "long " * 1000, "\u5c71" * 500, "\r.\r", "a\n.\nQUIT\n", "", "x" * 999])
def test_a_server_stores_the_text_that_went_in(started: Started, texts: list[str]) -> None:
    found = started.send(texts, subject="a text")

    for text, (_, mail) in zip(texts, found, strict=True):
        message = email.message_from_bytes(mail.data, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        content = message.get_payload(decode=True)
        assert isinstance(content, bytes)
        lines = re.split("\r\n|\r|\n", text)
        assert content.decode() == "".join(f"{line}\r\n" for line in lines[:-1]) + (
            f"{lines[-1]}\r\n" if lines[-1] else ""
        )


@pytest.mark.parametrize(
    "started", each(["Postfix by BDAT", "Postfix by DATA"], plain=PLAIN_HERE), indirect=True
)
def test_postfix_heard_just_the_commands_that_each_mail_needs(started: Started) -> None:
    started.send([whole(body) for body in smuggling()])

    verb = started.kind.verb.lower()
    session = re.compile(rf"disconnect from \S+ ehlo=1 mail=1 rcpt=1 {verb}=1 quit=1 commands=5\n")
    assert wait_until(lambda: started.server.log.count("disconnect") >= started.count, PATIENCE)
    log = started.server.log
    assert len(session.findall(log)) == log.count("disconnect from") == started.count
    # One queue file for each, and no other.
    assert log.count(": client=") == started.count
    assert "evil" not in log
