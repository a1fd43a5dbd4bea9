"""Every real server, one scenario after the other: TLS, logins, verdicts, and what was stored.

A `Kind` says how to start a server and what it can do; the tests are the scenarios. Each kind runs
those that it can, so what is missing here is what that server cannot do.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from servers.accounts import EXPIRED_TOKEN, PASSWORD, TOKEN, USER
from servers.aiosmtpd_server import AiosmtpdServer
from servers.certificates import Certificates, Tls
from servers.delivered import MARKER
from servers.dovecot_lmtp import DovecotLmtp
from servers.dovecot_submission import DovecotSubmission
from servers.exim import EximSmtpd
from servers.matrix import PLAIN, each, left_behind_by_none, normal
from servers.node_smtp_server import NodeSmtpServer
from servers.opensmtpd import OpenSmtpd
from servers.postfix import PostfixSmtpd
from servers.sink import StoringSink

from pykka_smtp import FailureKind, Outcome, SendFailure, SendMail, SendSuccess, SmtpActor, Stage
from pykka_smtp.testing.talk.ledger import ReceivedMail

pytestmark = pytest.mark.real
nothing_left_behind = left_behind_by_none

PATIENCE = 30.0
"""Seconds; reached only by a test that fails."""
LARGE = 50_000_000
SMALL = 6000
"""Octets that a server takes: more than any mail here, and less than some."""

YOU, TOO = "user@mx.test", "other@mx.test"
"""Whom every server knows."""
NOBODY, LATER = "nobody@mx.test", "later@mx.test"
FULL, BROKEN = "full@mx.test", "broken@mx.test"
AT_RCPT = {NOBODY: "550 5.1.1 who?", LATER: "450 4.2.0 greylisted"}
AT_THE_DOT = {f". {FULL}": "552 5.2.2 full", f". {BROKEN}": "451 4.2.0 broken"}
NOT_THIS_ONE = {".": "554 5.6.0 not this one"}
NOT_NOW = {".": "451 4.6.0 not now"}

PASSWORDS = ("PLAIN", "LOGIN", "CRAM-MD5")
SCRAM = ("SCRAM-SHA-1", "SCRAM-SHA-256")
TOKENS = ("XOAUTH2", "OAUTHBEARER")


# The servers


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A server, and what it can do.

    Attributes:
        make: start it with these arguments.
        variants: the arguments of each way to start it, by name.
        mechanisms: those that it offers under TLS.
        is_lmtp: whether it speaks LMTP.
        on_socket: whether to connect to its Unix socket.
        always: who sends has to log in.
        chunking: whether it takes the mail by BDAT.
        smtputf8: whether it takes addresses beyond ASCII.
        at_once: connections that it bears.
    """

    make: Callable[..., Any]
    variants: Mapping[str, Mapping[str, Any]]
    mechanisms: tuple[str, ...] = ()
    is_lmtp: bool = False
    on_socket: bool = False
    always: bool = False
    chunking: bool = False
    smtputf8: bool = False
    at_once: int = 8


def variants(mechanisms: Sequence[str], size: str = "size_limit") -> dict[str, dict[str, Any]]:
    """The ways to start a server that can be told what to refuse."""
    auth = {"auth": mechanisms} if mechanisms else {}
    return {
        "open": {"replies": AT_RCPT, size: LARGE},
        "STARTTLS": {"tls": False, **auth},
        "implicit TLS": {"tls": True, **auth},
        "no at the dot": {"replies": NOT_THIS_ONE},
        "later at the dot": {"replies": NOT_NOW},
        "small": {size: SMALL},
    }


def postfix(**given: Any) -> PostfixSmtpd:
    return PostfixSmtpd(keep=True, trace=False, **given)


def sink(options: Sequence[str] = ()) -> StoringSink:
    return StoringSink(*options)


POSTFIX = (*PASSWORDS, *SCRAM, *TOKENS)
EXIM = (*PASSWORDS, *TOKENS, "EXTERNAL")
DOVECOT = (*PASSWORDS, *SCRAM, *TOKENS, "EXTERNAL")
NODE = (*PASSWORDS, "XOAUTH2")
SIMPLE = ("PLAIN", "LOGIN")
LMTP_REPLIES = {"open": {"lmtp": True, "replies": AT_RCPT | AT_THE_DOT}}

KINDS: dict[str, Kind] = {
    "Postfix": Kind(
        make=postfix, variants=variants(POSTFIX), mechanisms=POSTFIX, chunking=True, smtputf8=True
    ),
    "Exim": Kind(
        make=EximSmtpd, variants=variants(EXIM), mechanisms=EXIM, chunking=True, smtputf8=True
    ),
    "OpenSMTPD": Kind(
        make=OpenSmtpd,
        variants=variants(SIMPLE),
        mechanisms=SIMPLE,
        # Of many that come at once, some wait for its greeting in vain.
        at_once=1,
    ),
    "Dovecot submission": Kind(
        make=DovecotSubmission,
        variants=variants(DOVECOT),
        mechanisms=DOVECOT,
        always=True,
        chunking=True,
    ),
    "smtp-server": Kind(
        make=NodeSmtpServer, variants=variants(NODE), mechanisms=NODE, smtputf8=True
    ),
    "aiosmtpd": Kind(
        make=AiosmtpdServer,
        variants=variants(SIMPLE, "data_size_limit"),
        mechanisms=SIMPLE,
        smtputf8=True,
    ),
    "smtp-sink": Kind(
        make=sink,
        variants={
            "open": {},
            "later at RCPT": {"options": ["-r", "RCPT", "-b", AT_RCPT[LATER]]},
            "no at the dot": {"options": ["-f", ".", "-B", NOT_THIS_ONE["."]]},
            "later at the dot": {"options": ["-r", ".", "-b", NOT_NOW["."]]},
        },
    ),
    "Dovecot LMTP": Kind(
        make=DovecotLmtp,
        variants={"open": {}, "STARTTLS": {"tls": False}, "implicit TLS": {"tls": True}},
        is_lmtp=True,
        chunking=True,
    ),
    "Dovecot LMTP on a Unix socket": Kind(
        make=DovecotLmtp, variants={"open": {}}, is_lmtp=True, on_socket=True, chunking=True
    ),
    "smtp-server as LMTP": Kind(
        make=NodeSmtpServer, variants=LMTP_REPLIES, is_lmtp=True, smtputf8=True
    ),
    "aiosmtpd as LMTP": Kind(
        make=AiosmtpdServer,
        variants={"open": {**LMTP_REPLIES["open"], "data_size_limit": LARGE}},
        is_lmtp=True,
        smtputf8=True,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A server that runs.

    Attributes:
        kind: what it can do.
        server: the server.
        options: what a client needs to send by it, in the way that the variant is about.
    """

    kind: Kind
    server: Any
    options: Mapping[str, Any]

    def settle(self, message: SendMail, **given: Any) -> Outcome:
        """Send, wait until all is over, and return the outcome."""
        [outcome] = self.settle_each([(message, given)])
        return outcome

    def settle_each(self, sends: Iterable[tuple[SendMail, Mapping[str, Any]]]) -> list[Outcome]:
        """Send some at once, each with these options, and return the outcomes in order."""
        outcomes: list[Outcome] = []
        left = iter(sends)
        while batch := list(itertools.islice(left, self.kind.at_once)):
            sent: list[tuple[Any, Any]] = []
            for message, given in batch:
                options = {"timeout": PATIENCE, "debug": True, **self.options, **given}
                ref = SmtpActor.start(**options)
                sent.append((ref, ref.ask(message, block=False)))
            outcomes += [future.get(timeout=PATIENCE) for _, future in sent]
            for ref, _ in sent:
                assert ref.actor_stopped.wait(PATIENCE), "the session never ended"
        return outcomes

    def stored(self, outcome: Outcome) -> list[ReceivedMail]:
        """What was stored of this mail: one mail for all, or in LMTP one for each recipient."""
        assert class_of(outcome).kind is None, str(outcome)
        accepted = sum(result.accepted for result in outcome.recipients)
        count = accepted if self.kind.make is DovecotLmtp else 1

        def found() -> list[ReceivedMail]:
            return [mail for mail in self.server.mails if mail.sender == outcome.mail.sender]

        self.server.wait_for(lambda: len(found()) >= count, timeout=PATIENCE)
        mails = found()
        assert len(mails) == count
        return mails


@pytest.fixture(scope="module")
def started(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[Started]:
    """Start a server once for all the tests that use it this way."""
    name, variant = request.param
    kind = KINDS[name]
    given = dict(kind.variants[variant])
    if "tls" in given:
        ca = certificates.ca if "EXTERNAL" in kind.mechanisms else None
        given["tls"] = Tls(certificate=certificates.good, implicit=given["tls"], client_ca=ca)
    with kind.make(**given) as server:
        yield Started(
            kind=kind, server=server, options=options_for(kind, server, variant, certificates)
        )


def options_for(
    kind: Kind, server: Any, variant: str, certificates: Certificates
) -> dict[str, Any]:
    if kind.on_socket:
        options: dict[str, Any] = {"url": f"lmtp+unix://{server.socket}"}
    elif kind.is_lmtp:
        options = {"url": f"lmtp://{server.host}:{server.port}"}
    else:
        options = {"server": server.host, "port": server.port}
    under_tls = variant in {"STARTTLS", "implicit TLS"}
    if under_tls:
        options["tls"] = "implicit" if variant == "implicit TLS" else "starttls"
        options["tls_context"] = certificates.trusting()
    if kind.always or (under_tls and kind.mechanisms):
        options |= {"username": USER, "password": PASSWORD, "allow_plaintext_auth": not under_tls}
    return options


def servers(variant: str, only: Callable[[Kind], object] = lambda _: True) -> pytest.MarkDecorator:
    """Run a test with each kind that can be started like this, and of which this is true."""
    able = [name for name, kind in KINDS.items() if variant in kind.variants and only(kind)]
    return pytest.mark.parametrize("started", each(able, variant), indirect=True)


# Mails, and what may come of them


@dataclass(frozen=True, slots=True)
class Class:
    """What came of a mail, as far as a program acts on it; all None for a delivery."""

    kind: FailureKind | None = None
    stage: Stage | None = None
    code: int | None = None
    retryable: bool = False
    maybe_accepted: bool = False


DELIVERED = Class()
LOCAL = Class(FailureKind.LOCAL, Stage.MAIL)


def refused(stage: Stage, code: int) -> Class:
    return Class(FailureKind.SMTP, stage, code, retryable=code < 500)


def class_of(outcome: Outcome) -> Class:
    if isinstance(outcome, SendFailure):
        return Class(
            outcome.kind, outcome.stage, outcome.code, outcome.retryable, outcome.maybe_accepted
        )
    assert isinstance(outcome, SendSuccess)
    return DELIVERED


_numbers = itertools.count()
HEADER = b"From: me@a.test\r\nSubject: x\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n\r\n"


def mail(body: bytes = b"text\r\n", *recipients: str, **given: Any) -> SendMail:
    """A mail whose reverse-path no other mail has."""
    given = {"sender": f"s{next(_numbers)}@a.test", "message": HEADER + body} | given
    return SendMail(recipients=recipients or (YOU,), **given)


def verbs(outcome: Outcome) -> list[str]:
    """The commands that went out."""
    said = [line[3:] for line in outcome.transcript if line.startswith("C: ")]
    return [line.split()[0] for line in said if not line.startswith("<")]


def offers(outcome: Outcome, keyword: str) -> bool:
    return any(re.match(rf"S: 250[ -]{keyword}\b", line) for line in outcome.transcript)


# Plain sessions


@servers("open")
def test_a_server_takes_a_mail_for_two(started: Started) -> None:
    outcome = started.settle(mail(b"text\r\n", YOU, TOO))

    assert class_of(outcome) == DELIVERED
    assert [result.accepted for result in outcome.recipients] == [True, True]
    assert outcome.warnings == ()
    stored = started.stored(outcome)
    assert sorted(who for one in stored for who in one.recipients) == sorted([YOU, TOO])
    assert {one.data for one in stored} == {HEADER + b"text\r\n"}
    assert outcome.peer is not None
    assert outcome.peer.tls_version is None


def smuggled(end: bytes) -> bytes:
    """A body that is two mails for a server that takes this for the end of the first."""
    line = end[end.rindex(b".") + 1 :]
    commands = [b"MAIL FROM:<evil@x.test>", b"RCPT TO:<user@mx.test>", b"DATA"]
    return b"a" + end + line.join([*commands, b"Subject: smuggled", b"", b"evil"]) + end


BODIES: dict[str, bytes] = {
    "dots": b".\r\n..\r\n.a\r\n...\r\na.\r\n",
    "8-bit": bytes(range(128, 256)) + b"\r\n" + "Gr\u00fc\u00dfe\r\n".encode(),
    "bare LF": b"a\n.b\n\nc\n",
    "bare CR": b"a\rb\r\r\n\rc",
    "no line end at the end": b"end",
    "a dot at the end": b".",
    "CRLF.CRLF": smuggled(b"\r\n.\r\n"),
    "LF.LF": smuggled(b"\n.\n"),
    "LF.CRLF": smuggled(b"\n.\r\n"),
    "CRLF.LF": smuggled(b"\r\n.\n"),
    "CR.CR": smuggled(b"\r.\r"),
    "CR.LF": smuggled(b"\r.\n"),
    "CRLF.CR": smuggled(b"\r\n.\r"),
    "lines of 998 octets": b".".ljust(998, b"y") + b"\r\n" + b"z" * 998,
}
"""Bodies that a server must store as they are, with CRLF line ends, and as one mail."""


@servers("open")
def test_a_server_stores_each_body_that_went_in_and_nothing_else(
    started: Started, tmp_path: Path
) -> None:
    before = len(started.server.mails)
    messages: dict[str, SendMail] = {}
    for number, (title, body) in enumerate(BODIES.items()):
        path = tmp_path / str(number)
        path.write_bytes(HEADER + body)
        messages |= {title: mail(body), f"{title}, from a file": mail(message=path)}

    outcomes = started.settle_each((message, {}) for message in messages.values())
    for (title, message), outcome in zip(messages.items(), outcomes, strict=True):
        assert class_of(outcome) == DELIVERED, title
        [one] = started.stored(outcome)
        body = BODIES[title.removesuffix(", from a file")]
        assert one.data == normal(HEADER + body), title
        assert one.sender == message.sender
    # What was smuggled along would have been queued before this one.
    started.stored(started.settle(mail()))

    assert len(started.server.mails) == before + 2 * len(BODIES) + 1
    assert "evil@x.test" not in {one.sender for one in started.server.mails}


@pytest.mark.servers
@servers("open")
def test_a_server_stores_20_megabytes_as_they_were(started: Started) -> None:
    body = (b"." + b"y" * 997 + b"\r\n") * 20_000

    outcome = started.settle(mail(body))

    assert class_of(outcome) == DELIVERED
    [one] = started.stored(outcome)
    assert one.data == HEADER + body, "not the octets that went in"


@servers("open")
def test_a_server_that_offers_chunking_gets_chunks(started: Started) -> None:
    outcome = started.settle(mail())

    assert class_of(outcome) == DELIVERED
    assert offers(outcome, "CHUNKING") == started.kind.chunking
    assert ("BDAT" in verbs(outcome)) == started.kind.chunking
    assert ("DATA" in verbs(outcome)) != started.kind.chunking


@servers("open")
@pytest.mark.parametrize("body", [b"a\0b\r\n", b"y" * 999], ids=["a NUL", "a long line"])
def test_a_binary_mail_goes_to_no_server_without_binarymime(started: Started, body: bytes) -> None:
    outcome = started.settle(mail(body))

    # None of these servers offers it.
    assert not offers(outcome, "BINARYMIME")
    assert class_of(outcome) == LOCAL
    assert "MAIL" not in verbs(outcome)


UTF8_SENDER, UTF8_RECIPIENT = "\u5c71@a.test", "j\u00fcrgen@mx.test"


@servers("open")
def test_an_address_beyond_ascii_goes_where_smtputf8_is_offered(started: Started) -> None:
    outcome = started.settle(mail(b"x\r\n", UTF8_RECIPIENT, sender=UTF8_SENDER))

    assert offers(outcome, "SMTPUTF8") == started.kind.smtputf8
    if started.kind.smtputf8:
        assert class_of(outcome) == DELIVERED
        [one] = started.stored(outcome)
        assert one.recipients == (UTF8_RECIPIENT,)
    else:
        assert class_of(outcome) == LOCAL
        assert "MAIL" not in verbs(outcome)


# Refusals


def refuses_by_name(kind: Kind) -> bool:
    """Whether it refuses some recipients and takes others."""
    return kind.make is not sink


@servers("open", refuses_by_name)
def test_a_server_refuses_one_recipient_of_several(started: Started) -> None:
    outcome = started.settle(mail(b"x\r\n", YOU, NOBODY, TOO))

    assert class_of(outcome) == DELIVERED
    codes = {one.address: one.reply.code for one in outcome.recipients if one.reply}
    accepted = [one.address for one in outcome.recipients if one.accepted]
    assert accepted == [YOU, TOO]
    assert codes[NOBODY] == 550
    whom = [who for one in started.stored(outcome) for who in one.recipients]
    assert sorted(whom) == sorted([YOU, TOO])


@servers("open", refuses_by_name)
def test_a_server_refuses_the_only_recipient(started: Started) -> None:
    before = len(started.server.mails)

    outcome = started.settle(mail(b"x\r\n", NOBODY))

    assert class_of(outcome) == refused(Stage.RCPT, 550)
    assert len(started.server.mails) == before


def greylists(kind: Kind) -> bool:
    return refuses_by_name(kind) and kind.make is not DovecotLmtp


@servers("open", greylists)
def test_a_server_greylists_the_only_recipient(started: Started) -> None:
    outcome = started.settle(mail(b"x\r\n", LATER))

    assert class_of(outcome) == refused(Stage.RCPT, 450)
    assert "greylisted" in (outcome.text or "")


@servers("open", greylists)
def test_a_server_greylists_one_recipient_of_several(started: Started) -> None:
    outcome = started.settle(mail(b"x\r\n", LATER, YOU))

    assert class_of(outcome) == DELIVERED
    assert [one.retryable for one in outcome.recipients] == [True, False]
    assert [one.accepted for one in outcome.recipients] == [False, True]
    assert [one.recipients for one in started.stored(outcome)] == [(YOU,)]


@servers("later at RCPT")
def test_smtp_sink_greylists_everybody(started: Started) -> None:
    assert class_of(started.settle(mail())) == refused(Stage.RCPT, 450)


def nothing_taken(started: Started) -> bool:
    # smtp-sink writes down what it refuses as well.
    return started.kind.make is sink or not any(one.accepted for one in started.server.mails)


@servers("no at the dot")
def test_a_server_refuses_the_mail_at_the_dot(started: Started) -> None:
    outcome = started.settle(mail())

    assert class_of(outcome) == refused(Stage.DOT, 554)
    assert "not this one" in (outcome.text or "")
    assert nothing_taken(started)


@servers("later at the dot")
def test_a_server_refuses_the_mail_for_now_at_the_dot(started: Started) -> None:
    outcome = started.settle(mail())

    assert class_of(outcome) == refused(Stage.DOT, 451)
    assert nothing_taken(started)


LOOK_INSIDE = (postfix, EximSmtpd, NodeSmtpServer, AiosmtpdServer)


@servers("open", lambda kind: kind.make in LOOK_INSIDE and not kind.is_lmtp)
def test_a_server_refuses_a_mail_for_its_text(started: Started) -> None:
    outcome = started.settle(mail(MARKER.encode()))

    assert isinstance(outcome, SendFailure)
    assert outcome.code in {550, 554}
    assert class_of(outcome) == refused(Stage.DOT, outcome.code)


@servers("small")
def test_a_mail_that_is_too_large_is_not_offered(started: Started) -> None:
    outcome = started.settle(mail(b"x\r\n" * SMALL))

    assert offers(outcome, f"SIZE {SMALL}")
    assert class_of(outcome) == LOCAL
    assert "MAIL" not in verbs(outcome)


@servers("small")
def test_a_mail_that_is_not_too_large_is_taken(started: Started) -> None:
    # Some count what they put on top, or what else their queue says of it: not to the last octet.
    outcome = started.settle(mail(b"x\r\n" * (SMALL // 12)))

    assert class_of(outcome) == DELIVERED
    assert "MAIL" in verbs(outcome)


# TLS and logins


def assert_verified(outcome: Outcome) -> None:
    assert outcome.peer is not None
    assert outcome.peer.tls_version in {"TLSv1.2", "TLSv1.3"}
    assert outcome.peer.tls_verified


@servers("STARTTLS")
def test_a_server_is_verified_by_starttls(started: Started) -> None:
    outcome = started.settle(mail())

    assert class_of(outcome) == DELIVERED
    assert_verified(outcome)
    assert verbs(outcome)[:2] == ["LHLO" if started.kind.is_lmtp else "EHLO", "STARTTLS"]
    [one] = started.stored(outcome)
    assert one.data == HEADER + b"text\r\n"


@servers("implicit TLS")
def test_a_server_is_verified_by_implicit_tls(started: Started) -> None:
    outcome = started.settle(mail())

    assert class_of(outcome) == DELIVERED
    assert_verified(outcome)
    assert "STARTTLS" not in verbs(outcome)
    [one] = started.stored(outcome)
    assert one.data == HEADER + b"text\r\n"


@servers("STARTTLS")
def test_a_server_of_an_unknown_ca_gets_no_mail_by_starttls(started: Started) -> None:
    untrusting = started.settle(mail(), tls_context=None)

    assert class_of(untrusting) == Class(FailureKind.SECURITY, Stage.STARTTLS)
    assert "MAIL" not in verbs(untrusting)
    assert "AUTH" not in verbs(untrusting)


@servers("implicit TLS")
def test_a_server_of_an_unknown_ca_gets_no_mail_by_implicit_tls(started: Started) -> None:
    untrusting = started.settle(mail(), tls_context=None)

    assert class_of(untrusting).kind is FailureKind.SECURITY
    assert verbs(untrusting) == []


def credentials(mechanism: str, certificates: Certificates, *, good: bool = True) -> dict[str, Any]:
    given: dict[str, Any] = {"auth": [mechanism], "password": None}
    if mechanism == "EXTERNAL":
        given["tls_context"] = certificates.trusting(certificates.client)
    elif mechanism in TOKENS:
        given["token"] = TOKEN if good else EXPIRED_TOKEN
    else:
        given["password"] = PASSWORD if good else "wrong"
    return given


def assert_masked(outcome: Outcome) -> None:
    shown = "\n".join([*outcome.transcript, str(outcome), repr(outcome)])
    assert not any(secret in shown for secret in (PASSWORD, TOKEN, EXPIRED_TOKEN))


LOGINS = [
    pytest.param(
        (name, "STARTTLS"),
        mechanism,
        id=f"{name}-{mechanism}",
        marks=() if name in PLAIN else pytest.mark.servers,
    )
    for name, kind in KINDS.items()
    for mechanism in kind.mechanisms
]


@pytest.mark.parametrize(("started", "mechanism"), LOGINS, indirect=["started"])
def test_a_server_knows_its_user(
    started: Started, mechanism: str, certificates: Certificates
) -> None:
    outcome = started.settle(mail(), **credentials(mechanism, certificates))

    assert class_of(outcome) == DELIVERED
    assert_verified(outcome)
    assert any(line.startswith(f"C: AUTH {mechanism}") for line in outcome.transcript)
    assert_masked(outcome)
    [one] = started.stored(outcome)
    assert one.data == HEADER + b"text\r\n"


@servers("STARTTLS", lambda kind: kind.mechanisms)
def test_a_server_refuses_a_wrong_password_and_an_old_token(
    started: Started, certificates: Certificates
) -> None:
    before = len(started.server.mails)
    tried = [name for name in started.kind.mechanisms if name != "EXTERNAL"]

    # All at once: some servers let each wait before they say no.
    outcomes = started.settle_each(
        (mail(), credentials(mechanism, certificates, good=False)) for mechanism in tried
    )

    for mechanism, outcome in zip(tried, outcomes, strict=True):
        assert class_of(outcome) == refused(Stage.AUTH, 535), mechanism
        assert any(line.startswith(f"C: AUTH {mechanism}") for line in outcome.transcript)
        assert "MAIL" not in verbs(outcome)
        assert_masked(outcome)
    assert len(started.server.mails) == before


@servers("STARTTLS", lambda kind: "EXTERNAL" in kind.mechanisms)
def test_who_has_no_certificate_is_not_known_by_it(
    started: Started, certificates: Certificates
) -> None:
    outcome = started.settle(
        mail(), auth=["EXTERNAL"], password=None, tls_context=certificates.trusting()
    )

    assert isinstance(outcome, SendFailure)
    assert outcome.stage is Stage.AUTH
    assert outcome.kind in {FailureKind.SECURITY, FailureKind.SMTP}
    assert not outcome.retryable
    assert "MAIL" not in verbs(outcome)


@servers("STARTTLS", lambda kind: kind.mechanisms)
def test_a_mechanism_that_a_server_does_not_offer_ends_before_the_mail(started: Started) -> None:
    outcome = started.settle(mail(), auth=["SCRAM-SHA-256-PLUS"])

    assert class_of(outcome) == Class(FailureKind.SECURITY, Stage.AUTH)
    assert "AUTH" not in verbs(outcome)
    assert "MAIL" not in verbs(outcome)


@servers("open", lambda kind: kind.make is sink)
def test_smtp_sink_takes_any_login_on_this_machine(started: Started) -> None:
    who = {"username": USER, "password": PASSWORD, "allow_plaintext_auth": True}

    outcome = started.settle(mail(), **who)

    assert class_of(outcome) == DELIVERED
    assert "AUTH" in verbs(outcome)
    assert_masked(outcome)


# LMTP: one verdict for each recipient

VERDICTS = {YOU: 250, NOBODY: 550, FULL: 552, TOO: 250, BROKEN: 451}


@servers("open", lambda kind: kind.is_lmtp)
def test_lmtp_has_a_verdict_for_each_recipient(started: Started) -> None:
    outcome = started.settle(mail(b"x\r\n", *VERDICTS))

    assert class_of(outcome) == DELIVERED
    results = {one.address: one for one in outcome.recipients}
    assert list(results) == list(VERDICTS)
    assert {who: one.reply.code for who, one in results.items() if one.reply} == VERDICTS
    assert {who for who, one in results.items() if one.accepted} == {YOU, TOO}
    assert {who for who, one in results.items() if one.retryable} == {BROKEN}
    assert not any(one.maybe_accepted for one in results.values())
    stored = started.stored(outcome)
    assert {one.data for one in stored} == {HEADER + b"x\r\n"}


@servers("open", lambda kind: kind.is_lmtp)
@pytest.mark.parametrize(
    ("whom", "expected"),
    [
        ([FULL], refused(Stage.DOT, 552)),
        ([BROKEN], refused(Stage.DOT, 451)),
        ([FULL, BROKEN], refused(Stage.DOT, 451)),
        ([NOBODY, FULL], refused(Stage.DOT, 552)),
    ],
)
def test_lmtp_without_any_accepted_recipient_is_a_failure(
    started: Started, whom: list[str], expected: Class
) -> None:
    outcome = started.settle(mail(b"x\r\n", *whom))

    assert class_of(outcome) == expected
    codes = [one.reply.code for one in outcome.recipients if one.reply]
    assert codes == [VERDICTS[who] for who in whom]
