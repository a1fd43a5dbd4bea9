"""The fuzz targets are alive: they find nothing in the code as it is, and they find each of these
faults when it is put in. The long runs are ``python -m fuzz``."""

import re
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pykka import ActorRegistry
from servers.effort import times
from servers.python import python

from fuzz import atheris_driver, random_driver, scene
from fuzz.choices import Choices
from fuzz.injections import injections
from fuzz.judge import _fate
from fuzz.ledger import Ledger
from fuzz.tally import Tally, kind_of
from fuzz.target import NAMES, Target, load
from fuzz.violation import FalseSuccess, Hang, UndefinedOutcome, Violation
from fuzz.wire import ReplyReader
from pykka_smtp.actors.net.tls.channel import TlsChannel
from pykka_smtp.actors.net.wire.connection import Connection
from pykka_smtp.actors.net.wire.timed_wire import TimedWire
from pykka_smtp.actors.net.wire.wire import ConnectionWriter
from pykka_smtp.smtp.mail import address, mail_data
from pykka_smtp.smtp.mail.parts import entity, parts_email, text
from pykka_smtp.smtp.sasl.secret import Redactor
from pykka_smtp.smtp.session import refusal
from pykka_smtp.smtp.session.dialog.dialog import Dialog
from pykka_smtp.smtp.session.dialog.idle_dialog import IdleDialog
from pykka_smtp.smtp.session.opening.session import Session
from pykka_smtp.smtp.session.step import CommandGroup, SendMailData
from pykka_smtp.smtp.session.transaction import judgement, transaction
from pykka_smtp.smtp.session.transaction.delivery import Delivery
from pykka_smtp.smtp.session.transaction.recipients import Recipient
from pykka_smtp.smtp.session.transaction.transaction import Transaction
from pykka_smtp.smtp.words import reply_parser
from pykka_smtp.smtp.words.classification import ReplyClass, classify
from pykka_smtp.smtp.words.command import QUIT
from pykka_smtp.smtp.words.stage import Stage

# They compute without a pause: on a busy machine they take several times as long.
pytestmark = pytest.mark.timeout(240)

ROOT = Path(__file__).parents[1]
SEED = 5329
EXECUTIONS = {
    "reply_parser": times(800, thoroughly=15_000),
    "dialog": times(1600, thoroughly=1600),
    "tls": times(1500, thoroughly=1500),
    "output": times(500, thoroughly=8000),
    "grammar": times(2000, thoroughly=30_000),
    "parts": times(500, thoroughly=8000),
}
"""Each takes ten seconds or so where the coverage is measured, in a thorough run."""
FEWER = {"dialog": 700, "tls": 600}
"""So many of these a plain run does; all of them take longer than a second."""
RUNS = {"dialog": times(1, thoroughly=5), "tls": times(1, thoroughly=3)}
"""How many runs, each with other inputs."""
SHORT_TURN, TURN, MOST_TURNS = 40, 200, 40
"""Executions at a time, until a fault is found."""
ENDINGS = {
    "reply_parser": {"replies", "error", "nothing yet"},
    "dialog": {
        *("accepted", "accepted, in part", "in doubt (PROTOCOL)", "in doubt (CONNECTION)"),
        *("kept, accepted", "speculative, accepted", "kept, speculative, accepted"),
    },
    "tls": {
        *("TLS: accepted", "TLS: kept, accepted", "TLS: in doubt (CONNECTION)"),
        *("in clear: accepted", "in clear: kept, accepted", "TLS: SECURITY at starttls"),
    },
    "output": {"sent", "encoded", "refused", "not for this server"},
    "grammar": {"mailbox: taken", "mailbox: refused", "URL: taken", "URL: refused"},
    "parts": {"text", "parts", "refused"},
}
"""What some of the executions must come to, or the target would look at the surface only."""


def fuzz(name: str, executions: int, seed: int = SEED) -> Tally:
    return random_driver.drive(load(name), executions=executions, seed=seed)


@pytest.mark.parametrize(
    ("name", "seed", "executions"),
    [
        *(pytest.param(name, SEED, FEWER.get(name, EXECUTIONS[name]), id=name) for name in NAMES),
        *(
            pytest.param(
                name, SEED + run, EXECUTIONS[name], id=f"{name}-{run + 1}", marks=pytest.mark.long
            )
            for name in FEWER
            for run in range(RUNS[name])
        ),
    ],
)
def test_a_target_finds_nothing_and_comes_deep(name: str, seed: int, executions: int) -> None:
    tally = fuzz(name, executions, seed)

    assert [f"{finding.what} {finding.data.hex()}" for finding in tally.findings] == []
    assert tally.executions >= executions
    if seed == SEED:  # the further runs are for findings: each need not come everywhere
        assert set(tally.endings) >= ENDINGS[name], tally.spread(100)


@pytest.mark.parametrize("name", NAMES)
def test_a_target_says_its_invariant_first(name: str) -> None:
    lines = (ROOT / "fuzz" / f"{name}.py").read_text().splitlines()

    first = next(line for line in lines if line.startswith("#"))
    assert first.startswith("# Invariant: ")


# That each target can find fault


def takes_any_answer_to_the_dot(patch: pytest.MonkeyPatch) -> None:
    def careless(stage: Stage, code: int) -> ReplyClass:
        return ReplyClass.POSITIVE if stage is Stage.DOT else classify(stage, code)

    patch.setattr(refusal, "classify", careless)
    # So that 354 and 550 are called a yes further on, too.
    patch.setattr(judgement, "classify", careless)
    patch.setattr(transaction, "classify", careless)


def takes_a_verdict_that_came_before_the_dot(patch: pytest.MonkeyPatch) -> None:
    sent = Dialog.mail_data_sent

    def careless(self: Dialog) -> None:
        transfer, owed = self._sending, len(self._outstanding)
        sent(self)
        if transfer is not None and len(self._outstanding) == owed:
            self._outstanding.extend(transfer.owed)

    # It neither waits with the dot, nor remembers that a reply had begun before.
    patch.setattr(Dialog, "may_end_mail_data", property(lambda self: self._sending is not None))
    patch.setattr(Dialog, "mail_data_sent", careless)


def forgets_that_the_dot_is_out(patch: pytest.MonkeyPatch) -> None:
    sent = Dialog.mail_data_sent

    def forget(self: Dialog) -> None:
        sent(self)
        self._data_sent = False

    patch.setattr(Dialog, "mail_data_sent", forget)


def waits_for_a_connection_that_is_gone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Dialog, "connection_lost", lambda self, operation, errno, reason: [])


def raises_on_a_timeout(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Dialog, "timed_out", lambda self, seconds, whole=False: 1 / 0)


def thinks_that_who_was_not_heard_of_has_no_speculative_mail(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Recipient, "may_be_accepted", property(lambda self: self.awaits_final_reply))


def takes_nonsense_for_a_no_though_a_speculative_mail_is_out(patch: pytest.MonkeyPatch) -> None:
    sent = Dialog.mail_data_sent

    def forget(self: Dialog) -> None:
        transfer = self._sending
        sent(self)
        assert transfer is not None
        transfer.is_out = False

    patch.setattr(Dialog, "mail_data_sent", forget)


def goes_on_after_a_chunk_that_was_refused(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Delivery, "_can_be_kept_open", property(lambda self: self.session.is_open))


def resumes_without_rset(patch: pytest.MonkeyPatch) -> None:
    resumed = Dialog.start_next

    def forget(self: Dialog) -> Any:
        self._delivery.session.needs_reset = False
        return resumed(self)

    patch.setattr(Dialog, "start_next", forget)


def greets_again_in_a_kept_session(patch: pytest.MonkeyPatch) -> None:
    resumed = Dialog.start_next

    def forget(self: Dialog) -> Any:
        self._delivery.session.is_open = False
        return resumed(self)

    patch.setattr(Dialog, "start_next", forget)


def keeps_a_session_whatever_the_server_says_behind_the_verdict(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Dialog, "_on_unsolicited_reply", lambda self, reply, actions: None)


def counts_no_mails(patch: pytest.MonkeyPatch) -> None:
    resumed = Dialog.start_next

    def forget(self: Dialog) -> Any:
        self._delivery.session.transactions = 0
        return resumed(self)

    patch.setattr(Dialog, "start_next", forget)


def believes_a_refusal_though_the_mail_is_out(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Transaction, "_read_replies_after", lambda self, speculative, refused: iter(()))


def trusts_a_server_that_sends_unsolicited_replies(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Session, "may_be_reused", True)


def speaks_while_it_rests(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(IdleDialog, "receive_data", lambda self, data: [QUIT.wire])


def shows_secrets(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Redactor, "redact", lambda self, text: text)


NEVER = property(lambda self: False, lambda self, value: None)


def takes_what_is_encrypted_for_sent(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ConnectionWriter, "_is_all_out", True)


def takes_what_broke_as_it_was_written_for_sent(patch: pytest.MonkeyPatch) -> None:
    is_waiting = property(lambda self: self._transport.get_write_buffer_size() > 0)
    patch.setattr(
        ConnectionWriter, "_is_all_out", property(lambda self: not is_waiting.__get__(self))
    )


def does_not_look_at_half_a_record(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TlsChannel, "has_part", NEVER, raising=False)


def looks_at_half_a_record_before_the_dot_only(patch: pytest.MonkeyPatch) -> None:
    sent = Dialog.mail_data_sent

    def forget(self: Dialog) -> None:
        self.has_unread, has_unread = False, self.has_unread
        sent(self)
        self.has_unread = has_unread

    patch.setattr(Dialog, "mail_data_sent", forget)


def does_not_look_into_the_socket_before_the_dot(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ConnectionWriter, "has_something_to_read", lambda self: False)


def does_not_look_into_the_socket_before_a_speculative_mail(patch: pytest.MonkeyPatch) -> None:
    look = ConnectionWriter.has_something_to_read
    patch.setattr(
        ConnectionWriter,
        "has_something_to_read",
        lambda self: not isinstance(self._dialog.held, SendMailData) and look(self),
    )


def does_not_look_into_the_socket_before_a_mail_in_several_steps(patch: pytest.MonkeyPatch) -> None:
    look = ConnectionWriter.has_something_to_read
    patch.setattr(
        ConnectionWriter,
        "has_something_to_read",
        lambda self: not isinstance(self._dialog.held, CommandGroup) and look(self),
    )


def begins_a_speculative_mail_with_half_a_record_here(patch: pytest.MonkeyPatch) -> None:
    is_here = cast("Any", Dialog._is_input_pending).fget

    def is_more_here(self: Dialog) -> bool:
        due = self.held or self._next_step
        return not (isinstance(due, SendMailData) and due.is_speculative) and bool(is_here(self))

    patch.setattr(Dialog, "_is_input_pending", property(is_more_here))


def writes_on_after_the_end(patch: pytest.MonkeyPatch) -> None:
    close = Connection._close
    patch.setattr(Connection, "_close", lambda self, reset: close(self, reset=False))


def waits_for_ever_for_a_farewell(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TimedWire, "_stop_waiting_for_quit", lambda self: None)


def does_not_double_dots(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(mail_data, "_stuff", lambda data, at_line_start: data)


def lets_a_bare_lf_out(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(mail_data, "encode_whole", lambda data, transparent=True: data)
    patch.setattr("pykka_smtp.actors.net.data.mail_source.encode_whole", mail_data.encode_whole)


def takes_an_odd_separator(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reply_parser, "_SEPARATORS", (b" ", b"-", b"", b"_", b"0"))


def takes_one_code_for_another(patch: pytest.MonkeyPatch) -> None:
    class Equal(int):
        __slots__ = ()

        def __ne__(self, other: object) -> bool:
            return False

        __hash__ = int.__hash__

    read = reply_parser._read_line

    def careless(*args: Any) -> tuple[int, bool, str]:
        code, is_last, text = read(*args)
        return Equal(code), is_last, text

    patch.setattr(reply_parser, "_read_line", careless)


def holds_octets_without_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reply_parser, "MAX_LINE", 1 << 30)


def takes_any_address(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(address, "_refuse_harmful", lambda text: None)
    patch.setattr(address, "_check_dot_string", lambda local: None)


def rewrites_an_address(patch: pytest.MonkeyPatch) -> None:
    checked = address.check_mailbox
    patch.setattr("fuzz.grammar.check_mailbox", lambda text: checked(text.lower()))


def takes_a_head_with_a_dot_for_one_without(patch: pytest.MonkeyPatch) -> None:
    facts_of = entity.header_facts

    def careless(head: bytes) -> mail_data.MailFacts:
        return replace(facts_of(head), is_plain=True)

    patch.setattr(parts_email, "header_facts", careless)


def looks_for_long_lines_where_none_begins(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(text, "_longest_line", lambda octets: min(len(octets), text.MAX_LINE))


FAULTS: dict[Callable[[pytest.MonkeyPatch], None], tuple[str, str]] = {
    takes_any_answer_to_the_dot: ("dialog", "false successes"),
    takes_a_verdict_that_came_before_the_dot: ("dialog", "false successes"),
    forgets_that_the_dot_is_out: ("dialog", "undefined outcomes"),
    waits_for_a_connection_that_is_gone: ("dialog", "hangs"),
    raises_on_a_timeout: ("dialog", "undefined outcomes"),
    thinks_that_who_was_not_heard_of_has_no_speculative_mail: ("dialog", "undefined outcomes"),
    takes_nonsense_for_a_no_though_a_speculative_mail_is_out: ("dialog", "undefined outcomes"),
    goes_on_after_a_chunk_that_was_refused: ("dialog", "other violations"),
    believes_a_refusal_though_the_mail_is_out: ("dialog", "undefined outcomes"),
    trusts_a_server_that_sends_unsolicited_replies: ("dialog", "other violations"),
    resumes_without_rset: ("dialog", "other violations"),
    greets_again_in_a_kept_session: ("dialog", "other violations"),
    keeps_a_session_whatever_the_server_says_behind_the_verdict: ("dialog", "other violations"),
    counts_no_mails: ("dialog", "other violations"),
    speaks_while_it_rests: ("dialog", "other violations"),
    shows_secrets: ("dialog", "other violations"),
    takes_what_is_encrypted_for_sent: ("tls", "false successes"),
    takes_what_broke_as_it_was_written_for_sent: ("tls", "undefined outcomes"),
    does_not_look_at_half_a_record: ("tls", "false successes"),
    looks_at_half_a_record_before_the_dot_only: ("tls", "false successes"),
    does_not_look_into_the_socket_before_the_dot: ("tls", "false successes"),
    does_not_look_into_the_socket_before_a_speculative_mail: ("tls", "false successes"),
    does_not_look_into_the_socket_before_a_mail_in_several_steps: ("tls", "false successes"),
    begins_a_speculative_mail_with_half_a_record_here: ("tls", "false successes"),
    writes_on_after_the_end: ("tls", "undefined outcomes"),
    waits_for_ever_for_a_farewell: ("tls", "hangs"),
    does_not_double_dots: ("output", "other violations"),
    lets_a_bare_lf_out: ("output", "other violations"),
    takes_an_odd_separator: ("reply_parser", "false successes"),
    takes_one_code_for_another: ("reply_parser", "false successes"),
    holds_octets_without_end: ("reply_parser", "other violations"),
    takes_any_address: ("grammar", "other violations"),
    rewrites_an_address: ("grammar", "other violations"),
    takes_a_head_with_a_dot_for_one_without: ("parts", "false successes"),
    looks_for_long_lines_where_none_begins: ("parts", "other violations"),
}
SOON: dict[Callable[[pytest.MonkeyPatch], None], int] = {
    takes_any_answer_to_the_dot: 55,
    takes_a_verdict_that_came_before_the_dot: 13,
    raises_on_a_timeout: 11,
    takes_nonsense_for_a_no_though_a_speculative_mail_is_out: 7,
    believes_a_refusal_though_the_mail_is_out: 27,
    trusts_a_server_that_sends_unsolicited_replies: 15,
    resumes_without_rset: 21,
    keeps_a_session_whatever_the_server_says_behind_the_verdict: 1,
    lets_a_bare_lf_out: 67,
    takes_any_address: 2,
    rewrites_an_address: 3,
}
"""With which seed a short turn finds a fault, if not with 0. Where that has changed, longer turns
find it, with other inputs."""


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_target_finds_a_client_that(
    fault: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, kind = FAULTS[fault]
    target = load(name)
    scene._authentication.cache_clear()
    reply_parser.read_whole.cache_clear()
    fault(monkeypatch)
    try:
        turns = [(SHORT_TURN, SOON.get(fault, 0)), *((TURN, seed) for seed in range(MOST_TURNS))]
        for executions, seed in turns:
            tally = random_driver.drive(target, executions=executions, seed=seed)
            if tally.counts[kind]:
                break
    finally:
        scene._authentication.cache_clear()
        reply_parser.read_whole.cache_clear()

    assert tally.counts[kind] > 0, tally.line()
    assert any(finding.kind == kind and finding.data for finding in tally.findings)


# The injection corpus


def test_no_injection_gets_as_far_as_a_connection() -> None:
    fields: Counter[str] = Counter()
    taken: list[tuple[str, object]] = []
    for injection in injections():
        fields[injection.field] += 1
        try:
            injection.give()
        except ValueError:
            continue
        taken.append((injection.field, injection.value))

    assert taken == []
    assert ActorRegistry.get_all() == []
    assert fields.total() >= 1000
    assert len(fields) >= 12


# The ledger


def ledger_of(*said: str | bytes, **given: Any) -> Ledger:
    """Lines as ``S: ...`` and ``C: ...``; octets are the client's."""
    ledger = Ledger(**given)
    for one in said:
        if isinstance(one, bytes):
            ledger.client(one)
        elif one.startswith("S: "):
            ledger.server(one[3:].encode() + b"\r\n")
        else:
            ledger.client(one[3:].encode() + b"\r\n")
    return ledger


HELLO = ("S: 220 x", "C: EHLO c.test", "S: 250-x\r\n250-PIPELINING\r\n250 CHUNKING")
ENVELOPE = ("C: MAIL FROM:<a@b.test>", "S: 250 ok", "C: RCPT TO:<c@d.test>", "S: 250 ok")
DATA = (*HELLO, *ENVELOPE, "C: DATA", "S: 354 go")
GROUP = b"MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nBDAT 3 LAST\r\na\r\n"
SPECULATIVE = (*HELLO, GROUP)


@pytest.mark.parametrize(
    ("said", "verdict", "too_early"),
    [
        ((*DATA, b"a\r\n.\r\n", "S: 250 ok"), 250, False),
        ((*DATA, b"a\r\n.\r", b"\n", "S: 250-a\r\n250 b"), 250, False),
        ((*DATA, b".\r\n", "S: 550 no", "S: 250 ok"), 550, False),
        ((*DATA, b"a\r\n.\r\n", "S: 250-ok"), None, False),
        ((*DATA, b"a\r\n.\r\n", "S: 2500"), None, False),
        ((*DATA, b"a\r\n", "S: 250 ok", b".\r\n"), None, True),
        ((*DATA, b"a\r\n", "S: 250-ok", b".\r\n", "S: 250 ok"), 250, True),
        ((*HELLO, *ENVELOPE, "C: BDAT 3 LAST", b"a\r\n", "S: 250 ok"), 250, False),
    ],
)
def test_the_ledger_knows_the_verdict(
    said: tuple[str | bytes, ...], verdict: int | None, *, too_early: bool
) -> None:
    (transaction,) = ledger_of(*said).transactions

    assert transaction.rcpts[0].verdict == verdict
    assert transaction.too_early is too_early


@pytest.mark.parametrize(
    ("said", "verdict", "may_have_it"),
    [
        (("S: 250 a", "S: 250 b", "S: 250 c"), 250, True),
        (("S: 250 a\r\n250 b\r\n550 c",), 550, True),
        (("S: 250 a", "S: 250 b"), None, True),
        ((), None, True),
        (("S: 250 a", "S: 550 b", "S: 250 c"), None, False),
        (("S: 550 a", "S: 250 b", "S: 250 c"), None, False),
        (("S: 250 a", "S: 421 b"), None, False),
        (("S: 354 a", "S: 250 b", "S: 250 c"), None, True),
    ],
)
def test_the_ledger_knows_what_became_of_a_speculative_mail(
    said: tuple[str, ...], verdict: int | None, *, may_have_it: bool
) -> None:
    (transaction,) = ledger_of(*SPECULATIVE, *said, may_be_speculative=True).transactions

    (rcpt,) = transaction.rcpts
    assert transaction.is_speculative
    assert not transaction.too_early
    assert transaction.data == b"a\r\n"
    assert rcpt.verdict == verdict
    assert transaction.may_have_it(rcpt) is may_have_it


def test_the_ledger_knows_a_verdict_that_came_before_the_end_of_a_speculative_mail() -> None:
    said = (*HELLO, GROUP[:-1], "S: 250 a", "S: 250 b", "S: 250 c", b"\n")
    (transaction,) = ledger_of(*said, may_be_speculative=True).transactions

    assert transaction.too_early


def test_the_ledger_knows_what_was_here_before_a_speculative_mail() -> None:
    early = ledger_of(*HELLO, "S: 250 a", GROUP, may_be_speculative=True)
    unheard = ledger_of(*HELLO, may_be_speculative=True)
    unheard.has_unheard = True
    unheard.client(GROUP)
    silent = ledger_of(*SPECULATIVE, "S: 250 a", "S: 250 b", "S: 250 c", may_be_speculative=True)

    too_early = [ledger.transactions[0].too_early for ledger in (early, unheard, silent)]

    assert too_early == [True, True, False]


LMTP = ("S: 220 x", "C: LHLO c.test", "S: 250 x", *ENVELOPE)
TWO = (*LMTP, "C: RCPT TO:<e@d.test>", "S: 250 ok", "C: DATA", "S: 354 go")


@pytest.mark.parametrize(
    ("early", "rest", "fates"),
    [
        (b"", b"421 bye\r\n", [False, None]),
        (b"42", b"1 bye\r\n", [False, False]),
        (b"421 bye\r", b"\n", [False, False]),
        (b"25", b"0 ok\r\n", [None, None]),
        (b"25", b"0 ok\r\n421 bye\r\n", [None, None]),
        (b"", b"250 ok\r\n421 bye\r\n", [True, False]),
        (b"", b"250 ok\r\n250 ok\r\n421 bye\r\n250 ok\r\n", [True, True]),
        (b"", b"250 ok\r\n250 ok\r\n421 bye\r\n25", [True, True]),
        (b"", b"250 ok\r\n421 bye\r\n250 ok\r\n", [None, None]),
    ],
)
def test_the_judge_knows_what_421_means_for_each_recipient(
    early: bytes, rest: bytes, fates: list[bool | None]
) -> None:
    """Before the mail had come, it is no reply to it, and it has been taken for nobody."""
    ledger = ledger_of(*TWO, b"a\r\n.\r", is_lmtp=True)
    ledger.server(early)
    ledger.client(b"\n")
    ledger.server(rest)

    [transaction] = ledger.transactions

    assert [_fate(transaction, rcpt, ledger) for rcpt in transaction.rcpts] == fates


def test_the_ledger_undoes_transparency() -> None:
    (transaction,) = ledger_of(*DATA, b"..\r\n.a\r\n...\r\n\r\n.\r\n").transactions

    assert transaction.data == b".\r\na\r\n..\r\n\r\n"


def test_the_ledger_knows_a_verdict_for_each_recipient_of_lmtp() -> None:
    hello = ("S: 220 x", "C: LHLO c.test", "S: 250 x")
    rcpts = ("C: RCPT TO:<e@d.test>", "S: 550 no", "C: RCPT TO:<f@d.test>", "S: 250 ok")
    mail = ("C: DATA", "S: 354 go", b".\r\n", "S: 250 ok", "S: 451 later")

    (transaction,) = ledger_of(*hello, *ENVELOPE, *rcpts, *mail, is_lmtp=True).transactions

    assert [rcpt.verdict for rcpt in transaction.rcpts] == [250, None, 451]


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        (("C: EHLO c.test",), "said before the server was ready"),
        (("S: 554 no", "C: EHLO c.test"), "said before the server was ready"),
        ((*HELLO, b"NOOP\n"), "a bare LF"),
        ((*HELLO, b"NO\rOP\r\n"), "a bare CR"),
        ((*HELLO, "C: XYZZY"), "no command"),
        ((*HELLO, "C: MAIL FROM:<a b@c.test>"), "no MAIL"),
        ((*HELLO, "C: MAIL FROM:<a@b.test> SIZE=1"), "a parameter that was not offered"),
        ((*HELLO, "C: MAIL FROM:<\u00e4@b.test>"), "not ASCII"),
        ((*HELLO, "C: RCPT TO:<a@b.test>"), "no RCPT"),
        ((*HELLO, "C: AUTH PLAIN AGEAYg=="), "a mechanism that was not offered"),
        ((*HELLO, "C: STARTTLS"), "STARTTLS not offered"),
        ((*HELLO, "C: EHLO c.test"), "a greeting too many"),
        ((*HELLO, *ENVELOPE, "C: MAIL FROM:<a@b.test>"), "MAIL amid a transaction"),
        ((*HELLO, "C: MAIL FROM:<a@b.test>", "C: QUIT"), "not in a group"),
        ((*HELLO, "C: MAIL FROM:<a@b.test>", "C: RCPT TO:<c@d.test>", "C: BDAT 1 LAST"), "BDAT"),
        ((*HELLO, "C: QUIT", "S: 221 bye", "C: NOOP"), "after QUIT"),
        ((*DATA, b"a\nb\r\n.\r\n"), "a bare CR or LF in the mail data"),
        (("S: 220 x", "C: EHLO c.test", "S: 250 x", "C: NOOP", "C: NOOP"), "not offered"),
        ((*HELLO, "C: RSET"), "RSET before the first mail"),
        ((*DATA, b".\r\n", "S: 250 ok", "C: RSET"), "RSET after a mail was taken"),
        ((*HELLO, *ENVELOPE, "C: BDAT 1 LAST", b"a", "S: 450 x", "C: RSET"), "a refused chunk"),
        ((*HELLO, "C: MAIL FROM:<a@b.test>", "S: 421 bye", "C: RSET"), "after 421"),
        (SPECULATIVE, "BDAT before the replies"),
    ],
)
def test_the_ledger_knows_what_a_client_must_not_say(
    said: tuple[str | bytes, ...], wrong: str
) -> None:
    with pytest.raises(Violation, match=re.escape(wrong)):
        ledger_of(*said)


# What the targets are made of


@given(st.binary(max_size=20), st.binary(max_size=60), st.integers(0, 6))
def test_pieces_are_the_whole(choice: bytes, data: bytes, most: int) -> None:
    pieces = Choices(choice).cut(data, most)

    assert b"".join(pieces) == data
    assert all(pieces)
    assert len(pieces) <= most + 1


def test_choices_are_the_first_ones_once_the_octets_are_used_up() -> None:
    choices = Choices(b"\x03\x01\x02")

    assert choices.pick("abcd") == "d"
    assert choices.below(1000) == 258
    assert choices.is_used_up
    assert choices.pick("abcd") == "a"
    assert not choices.one_in(2)
    assert choices.octets(9) == choices.rest() == b""


@given(st.lists(st.binary(max_size=30), max_size=6))
def test_the_second_reader_does_not_mind_pieces(pieces: list[bytes]) -> None:
    whole, cut = ReplyReader(), ReplyReader()
    found = [reply for piece in pieces for reply in cut.feed(piece)]

    assert whole.feed(b"".join(pieces)) == found
    assert whole.is_broken is cut.is_broken
    assert whole.is_broken or whole.is_amid is cut.is_amid


# Drivers


def test_the_plain_driver_repeats_itself() -> None:
    first, second = (fuzz("grammar", 300, seed=7) for _ in range(2))

    assert first.endings == second.endings
    assert first.executions == second.executions >= 300
    assert fuzz("grammar", 300, seed=8).endings != first.endings


def test_the_plain_driver_ends_in_time() -> None:
    tally = random_driver.drive(load("grammar"), seconds=0.05)

    assert tally.executions > 0
    assert 0.05 <= tally.seconds < 10


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Hang("x"), "hangs"),
        (UndefinedOutcome("x"), "undefined outcomes"),
        (FalseSuccess("x"), "false successes"),
        (Violation("x"), "other violations"),
        (ZeroDivisionError("x"), "undefined outcomes"),
    ],
)
def test_a_tally_counts_by_kind_and_keeps_the_input(
    error: Exception, kind: str, tmp_path: Path
) -> None:
    def run(data: bytes) -> str:
        if data:
            raise error
        return "fine"

    tally = Tally("name", "driver")
    target = Target("name", run, ())
    assert [tally.execute(target, data) for data in (b"", b"\xff", b"")] == ["fine", None, "fine"]
    tally.write(tmp_path / "tally")
    again = Tally("name", "driver")
    again.read(tmp_path / "tally")

    assert kind_of(error) == kind
    assert again == tally
    assert (tally.executions, tally.violations, tally.counts[kind]) == (3, 1, 1)
    assert tally.endings == {"fine": 2}
    assert [finding.data for finding in tally.findings] == [b"\xff"]
    assert f"{kind} 1" in tally.line()
    assert tally.spread() == "66.7% fine"


def run_fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
    return python("-m", "fuzz", *arguments, cwd=ROOT)


def test_the_command_runs_each_target_and_prints_what_it_found() -> None:
    done = run_fuzz("--executions", "40", "--driver", "random")

    assert done.returncode == 0, done.stdout + done.stderr
    for name in NAMES:
        assert re.search(
            rf"{name} \(random\): executions \d+, hangs 0, undefined outcomes 0,"
            " false successes 0, other violations 0; ",
            done.stdout,
        )
    assert re.search(r"^all: executions \d{3}, hangs 0,", done.stdout, re.MULTILINE)


def test_the_command_plays_an_input_again(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(b"")

    done = run_fuzz("--target", "dialog", "--replay", str(path))

    assert done.stdout == "dialog: accepted\n", done.stderr


@pytest.mark.skipif(not atheris_driver.is_available(), reason="atheris is not installed")
def test_atheris_runs_the_same_targets() -> None:
    tally = atheris_driver.drive("reply_parser", executions=300, seconds=30)

    assert tally.executions >= 300
    assert tally.findings == []
    assert set(tally.endings) >= ENDINGS["reply_parser"]
