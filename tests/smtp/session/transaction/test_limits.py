"""Several transactions in one session, as a server's limits demand (RFC 9422): one outcome."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from conversations.esmtp_rig import EsmtpRig
from conversations.rig import MAIL, SERVER
from hypothesis import example, given
from hypothesis import strategies as st

from pykka_smtp.smtp.mail.content import StreamedContent
from pykka_smtp.smtp.mail.delivery_options import DeliveryOptions, Dsn
from pykka_smtp.smtp.mail.mail_data import MailFacts, encode_whole
from pykka_smtp.smtp.session.transaction.recipients import Recipient, split_into_transactions
from pykka_smtp.smtp.words.extensions import Extensions
from pykka_smtp.smtp.words.stage import Stage
from pykka_smtp.smtp.words.verdict import Accepted, Failed, FailureKind

FIVE = tuple(f"u{number}@d.test" for number in range(1, 6))
THREE = FIVE[:3]
OK = "250 ok"


def split(*to: str, limits: str = "RCPTMAX=2", pipelining: bool = False) -> EsmtpRig:
    offers = [f"LIMITS {limits}", *(["PIPELINING"] if pipelining else [])]
    return EsmtpRig(*to, offers=offers).greet()


def transaction(
    rig: EsmtpRig, *to: str, rcpts: list[str] | None = None, dot: str = "250 taken"
) -> None:
    """Take one transaction that comes as far as the mail data, command by command."""
    assert rig.line() == "MAIL FROM:<a@b.test>"
    rig.say(OK)
    for address, reply in zip(to, rcpts or [OK] * len(to), strict=True):
        assert rig.line() == f"RCPT TO:<{address}>"
        rig.say(reply)
    assert rig.line() == "DATA"
    rig.say("354 go")
    assert rig.data() == encode_whole(MAIL) + b".\r\n"
    rig.say(dot)


# How many, and for whom


@pytest.mark.parametrize(
    ("limits", "batches", "left"),
    [
        ("", [5], 0),
        ("RCPTMAX=2", [2, 2, 1], 0),
        ("RCPTMAX=5", [5], 0),
        ("RCPTMAX=4", [4, 1], 0),
        ("RCPTMAX=1", [1] * 5, 0),
        ("rcptmax=2 mailmax=3", [2, 2, 1], 0),
        ("MAILMAX=2 RCPTMAX=2", [2, 2], 1),
        ("RCPTMAX=1 MAILMAX=1", [1], 4),
        ("MAILMAX=1", [5], 0),
        ("RCPTMAX=0 MAILMAX=0", [5], 0),  # what is malformed is as good as not said
        ("RCPTMAX=two", [5], 0),
        ("RCPTMAX=1000000", [5], 0),
        ("RCPTMAX=", [5], 0),
        ("XRCPTMAX=1", [5], 0),
    ],
)
def test_recipients_are_divided_among_the_transactions_that_the_server_allows(
    limits: str, batches: list[int], left: int
) -> None:
    recipients = [Recipient(path) for path in FIVE]

    taken, rest = split_into_transactions(recipients, Extensions({"LIMITS": limits}))

    assert [len(batch) for batch in taken] == batches
    assert [recipient for batch in taken for recipient in batch] + list(rest) == recipients
    assert len(rest) == left


def take_a_batch(rig: EsmtpRig) -> None:
    """Take the first mail of several, and hear the client begin the next."""
    rig.lines()
    rig.say(OK, OK, OK, "354 go")
    rig.data()
    rig.say("250 taken")
    rig.lines()


def test_a_mail_goes_out_once_for_each_batch_and_has_one_outcome() -> None:
    rig = split(*FIVE)
    transaction(rig, *FIVE[:2])
    transaction(rig, *FIVE[2:4])
    assert rig.verdict is None
    transaction(rig, *FIVE[4:], dot="250 the last")

    assert (rig.accepted.reply.lines, rig.accepted.warnings) == (("the last",), ())
    assert rig.told == ["accepted"] * 5
    assert rig.lines() == ["QUIT"]


def test_transactions_are_groups_where_the_server_takes_groups() -> None:
    rig = split(*THREE, pipelining=True)

    assert rig.lines() == [
        "MAIL FROM:<a@b.test>",
        "RCPT TO:<u1@d.test>",
        "RCPT TO:<u2@d.test>",
        "DATA",
    ]
    rig.say(OK, OK, OK, "354 go")
    assert rig.data().endswith(b"\r\n.\r\n")
    rig.say("250 taken")
    assert rig.lines() == ["MAIL FROM:<a@b.test>", "RCPT TO:<u3@d.test>", "DATA"]
    rig.say(OK, OK, "354 go")
    assert rig.data().endswith(b"\r\n.\r\n")
    rig.say("250 taken")

    assert rig.told == ["accepted"] * 3


def test_options_are_asked_for_in_each_transaction_and_a_warning_comes_once() -> None:
    options = DeliveryOptions(dsn=Dsn(notify="never", envid="1"), priority=1)
    rig = EsmtpRig(*THREE, offers=["LIMITS RCPTMAX=1", "DSN"], options=options).greet()
    for address in THREE:
        assert rig.line() == "MAIL FROM:<a@b.test> ENVID=1"
        rig.say(OK)
        assert rig.line() == f"RCPT TO:<{address}> NOTIFY=NEVER"
        rig.say(OK, "354 go")
        assert rig.line() == "DATA"
        rig.data()
        rig.say("250 taken")

    assert len(rig.accepted.warnings) == 1


# One is refused, others are not


def test_a_batch_that_is_refused_at_mail_does_not_concern_the_others() -> None:
    rig = split(*THREE)
    assert rig.line() == "MAIL FROM:<a@b.test>"
    rig.say("451 later")
    # RFC 5321 §4.1.4: a transaction that came to nothing is left before another begins.
    assert rig.line() == "RSET"
    rig.say(OK)
    transaction(rig, *THREE[2:])

    assert rig.told == ["later 451", "later 451", "accepted"]
    assert rig.accepted.warnings == ()


def test_a_batch_of_which_all_are_refused_does_not_concern_the_others() -> None:
    rig = split(*THREE)
    rig.say(OK, "550 who?", "450 full")
    assert rig.lines()[-1] == "RSET"
    rig.say(OK)
    transaction(rig, *THREE[2:])

    assert rig.told == ["refused 550", "later 450", "accepted"]


def test_a_batch_that_is_refused_at_the_dot_does_not_concern_the_others() -> None:
    rig = split(*FIVE)
    transaction(rig, *FIVE[:2], dot="554 spam")
    assert rig.line() == "RSET"
    rig.say(OK)
    transaction(rig, *FIVE[2:4], rcpts=[OK, "550 who?"])
    transaction(rig, *FIVE[4:], dot="452 full")

    assert rig.told == ["refused 554", "refused 554", "accepted", "refused 550", "later 452"]
    assert rig.accepted.reply.lines == ("taken",)


def test_a_batch_that_is_refused_at_data_is_left_by_rset() -> None:
    rig = split(*THREE, pipelining=True)
    rig.say(OK, OK, OK, "451 no")
    assert rig.lines()[-1] == "RSET"
    rig.say("250 forgotten", OK, OK, "354 go")
    rig.lines()
    rig.data()
    rig.say("250 taken")

    assert rig.told == ["later 451", "later 451", "accepted"]


def test_the_last_batch_is_refused_and_the_first_was_taken() -> None:
    rig = split(*THREE, pipelining=True)
    take_a_batch(rig)
    rig.say("550 not you")

    # At once: what is still owed is no part of it.
    assert rig.told == ["accepted", "accepted", "refused 550"]
    rig.say("503 no", "503 no")
    assert rig.lines() == ["QUIT"]
    assert rig.closed is None


@pytest.mark.parametrize(
    ("first", "second", "reply", "stage", "again"),
    [
        (["450 full"], ["550 who?"], "450 full", Stage.RCPT, True),
        (["550 who?"], ["450 full"], "450 full", Stage.RCPT, True),
        (["550 who?"], ["551 gone"], "551 gone", Stage.RCPT, False),
    ],
)
def test_no_recipient_was_accepted_in_any_transaction(
    first: list[str], second: list[str], reply: str, stage: Stage, *, again: bool
) -> None:
    rig = split(*THREE[:2], limits="RCPTMAX=1")
    rig.say(OK, *first, OK, OK, *second)

    failed = rig.failed
    assert (failed.kind, failed.stage, str(failed.reply)) == (FailureKind.SMTP, stage, reply)
    assert failed.retryable is again
    assert failed.detail == f"{SERVER} accepted none of 2 recipients; for example, at rcpt: {reply}"
    assert not failed.maybe_accepted
    codes = [result.reply.code for result in failed.recipients if result.reply]
    assert codes == [int(first[0][:3]), int(second[0][:3])]


def test_a_mail_that_each_transaction_refuses_is_refused_with_the_reply_that_may_pass() -> None:
    rig = split(*THREE[:2], limits="RCPTMAX=1")
    transaction(rig, "u1@d.test", dot="451 busy")
    assert rig.line() == "RSET"
    rig.say(OK)
    transaction(rig, "u2@d.test", dot="554 spam")

    assert rig.told == ["later 451", "refused 554"]
    assert (rig.failed.stage, rig.failed.retryable) == (Stage.DOT, True)
    assert str(rig.failed.reply) == "451 busy"


# The session ends in between


def test_a_server_that_goes_down_between_two_transactions_took_the_first() -> None:
    rig = split(*THREE)
    transaction(rig, *THREE[:2])
    assert rig.line() == "MAIL FROM:<a@b.test>"
    rig.say("421 going down")

    assert rig.told == ["accepted", "accepted", "later 421"]
    assert rig.accepted.warnings == (f"{SERVER} refused the email at mail: 421 going down",)
    assert rig.closed is not None


def test_a_421_between_two_transactions_leaves_the_first_accepted() -> None:
    rig = split(*THREE, limits="RCPTMAX=1")
    transaction(rig, "u1@d.test", dot="250 taken\r\n421 going down")

    assert rig.told == ["accepted", "later 421", "later 421"]
    assert rig.closed is not None
    assert rig.lines() == []


def test_a_server_that_goes_down_while_refusals_are_cleared_away_took_the_others() -> None:
    rig = split(*FIVE, pipelining=True)
    rig.lines()
    rig.say(OK, OK, OK, "354 go")
    rig.data()
    rig.say("250 taken")
    rig.say("550 no", "503 no", "421 going down")

    assert rig.told == ["accepted", "accepted", "refused 550", "refused 550", "later 421"]


def test_a_server_that_goes_down_at_rset_took_the_others() -> None:
    rig = split(*FIVE[:4], limits="RCPTMAX=1")
    transaction(rig, "u1@d.test")
    rig.say("550 no", "421 going down")

    assert rig.told == ["accepted", "refused 550", "later 421", "later 421"]


@pytest.mark.parametrize("end", ["lose", "eof", "time_out"])
def test_doubt_in_the_second_transaction_is_doubt_for_its_recipients_alone(end: str) -> None:
    rig = split(*FIVE)
    transaction(rig, *FIVE[:2])
    rig.say(OK, "550 who?", OK, "354 go")
    rig.lines()
    rig.data()
    getattr(rig, end)()

    assert rig.told == ["accepted", "accepted", "refused 550", "doubt", "later"]
    (warning,) = rig.accepted.warnings
    assert warning.startswith(("lost the connection", "timed out after"))
    assert warning.endswith("; the email may have been accepted")


def test_doubt_in_the_first_transaction_leaves_the_others_for_later() -> None:
    rig = split(*FIVE)
    rig.say(OK, OK, OK, "354 go")
    rig.lines()
    rig.data()
    rig.say("354 go on")

    assert rig.told == ["doubt", "doubt", "later", "later", "later"]
    assert (rig.failed.kind, rig.failed.stage) == (FailureKind.PROTOCOL, Stage.DOT)
    assert rig.failed.maybe_accepted
    assert not rig.failed.retryable  # not for all of them


def test_a_loss_after_the_first_verdict_leaves_no_doubt() -> None:
    rig = split(*THREE, limits="RCPTMAX=1")
    transaction(rig, "u1@d.test", dot="554 spam")
    assert rig.line() == "RSET"
    rig.lose()

    assert rig.told == ["refused 554", "later", "later"]
    assert (rig.failed.kind, rig.failed.retryable) == (FailureKind.CONNECTION, True)
    assert not rig.failed.maybe_accepted
    assert "may have been accepted" not in rig.failed.detail


def test_a_loss_amid_what_comes_after_the_first_verdict_leaves_no_doubt() -> None:
    rig = split(*THREE, limits="RCPTMAX=1")
    transaction(rig, "u1@d.test", dot="554 spam\r\n55")
    assert rig.lines() == []
    rig.lose()

    assert rig.told == ["refused 554", "later", "later"]
    assert not rig.failed.maybe_accepted


def test_a_loss_before_the_second_dot_leaves_no_doubt() -> None:
    rig = split(*THREE)
    transaction(rig, *THREE[:2])
    rig.say(OK, OK, "354 go")
    rig.lose()

    assert rig.told == ["accepted", "accepted", "later"]


def test_nonsense_in_the_second_transaction_ends_the_session_and_not_the_first() -> None:
    rig = split(*FIVE)
    transaction(rig, *FIVE[:2])
    rig.say(OK, "354 what?")

    assert rig.told == ["accepted", "accepted", "later 354", "later 354", "later 354"]
    assert rig.closed is not None


def test_mail_data_that_is_refused_early_was_not_refused_for_those_who_were_not_tried() -> None:
    rig = split(*FIVE)
    transaction(rig, *FIVE[:2])
    rig.say(OK, OK, "550 who?", "354 go", "552 too much")

    assert rig.told == ["accepted", "accepted", "refused 552", "refused 550", "later"]
    assert rig.closed is not None
    assert rig.closed.reset


def test_a_mail_that_is_refused_early_for_some_may_be_sent_later_to_others() -> None:
    rig = split(*THREE)
    rig.say(OK, OK, OK, "354 go", "552 too much")

    assert rig.told == ["refused 552", "refused 552", "later"]
    assert (rig.failed.stage, rig.failed.retryable) == (Stage.BODY, True)


# Nothing more can be said


def test_354_without_recipients_is_aborted_after_the_outcome() -> None:
    rig = split(*FIVE, pipelining=True)
    take_a_batch(rig)
    rig.say(OK, "550 who?", "550 who?", "354 go")

    assert rig.told == ["accepted", "accepted", "refused 550", "refused 550", "later"]
    (warning,) = rig.accepted.warnings
    assert warning == (
        f"{SERVER} can't begin another transaction (354 go);"
        " 1 of 5 recipients not tried, send to them again"
    )
    # No dot: the server could take it for a mail. It is gone without a word.
    assert rig.lines() == []
    assert rig.closed is not None
    assert rig.closed.reset


def test_354_without_recipients_ends_the_session_before_the_next_transaction() -> None:
    rig = split(*THREE, pipelining=True)
    rig.say(OK, "550 who?", "550 who?", "354 go")

    assert rig.told == ["refused 550", "refused 550", "later"]
    assert rig.failed.retryable
    assert len(rig.failed.warnings) == 1
    assert rig.closed is not None


def test_the_same_in_the_last_transaction_leaves_no_recipient_out() -> None:
    rig = split(*THREE, pipelining=True)
    take_a_batch(rig)
    rig.say(OK, "550 who?")
    assert rig.told == ["accepted", "accepted", "refused 550"]
    assert rig.accepted.warnings == ()
    rig.say("354 go")

    assert rig.lines() == []
    assert rig.closed is not None


def test_a_server_that_refuses_rset_is_not_asked_for_more() -> None:
    rig = split(*THREE, limits="RCPTMAX=1")
    transaction(rig, "u1@d.test")
    rig.say("550 no", "502 what is RSET?")

    assert rig.told == ["accepted", "refused 550", "later"]
    assert "can't begin another transaction (502 what is RSET?)" in rig.accepted.warnings[0]
    assert rig.closed is not None


# MAILMAX


def test_those_for_whom_no_transaction_is_left_are_not_lost() -> None:
    rig = split(*FIVE, limits="MAILMAX=2 RCPTMAX=2")
    transaction(rig, *FIVE[:2])
    transaction(rig, *FIVE[2:4])

    assert rig.told == [*["accepted"] * 4, "later"]
    (warning,) = rig.accepted.warnings
    assert warning == (
        f"{SERVER} takes 2 emails in a session (LIMITS MAILMAX);"
        " 1 of 5 recipients not tried, send to them again"
    )
    assert rig.lines() == ["QUIT"]


def test_where_all_who_were_tried_are_refused_the_others_make_it_worth_another_attempt() -> None:
    rig = split(*THREE, limits="MAILMAX=1 RCPTMAX=2")
    rig.say(OK, "550 who?", "551 gone")

    assert rig.told == ["refused 550", "refused 551", "later"]
    failed = rig.failed
    assert failed.retryable
    assert "MAILMAX" in failed.warnings[0]
    assert failed.detail.endswith("none of 3 recipients; for example, at rcpt: 551 gone")


# What can be read only once


FACTS = MailFacts(size=5, eight_bit=False, nul=False, longest_line=3)


def test_a_stream_that_can_be_read_only_once_is_not_begun_where_it_takes_two_transactions() -> None:
    rig = EsmtpRig(*THREE, offers=["LIMITS RCPTMAX=2"], content=StreamedContent(None)).greet()

    assert rig.lines() == ["QUIT"]
    assert rig.failed.kind is FailureKind.LOCAL
    assert rig.failed.detail == (
        f"{SERVER} accepts 2 recipients at a time, and the email can be read only once;"
        " give a path, or bytes"
    )


@pytest.mark.parametrize("facts", [FACTS, None])
def test_a_stream_is_sent_where_it_is_read_as_often_as_it_can_be(facts: MailFacts | None) -> None:
    to = THREE if facts else THREE[:2]
    rig = EsmtpRig(*to, offers=["LIMITS RCPTMAX=2"], content=StreamedContent(facts)).greet()

    assert rig.line() == "MAIL FROM:<a@b.test>"


# Whatever happens


@dataclass
class Fate:
    """A server that keeps to the rules, lets chance decide, and writes down what it did.

    Attributes:
        ledger: what has become of each recipient, by the server's own account.
    """

    rig: EsmtpRig
    to: tuple[str, ...]
    most: int
    is_lmtp: bool
    next_choice: Callable[[list[str]], str]
    ledger: dict[str, str] = field(default_factory=dict[str, str])
    transactions: int = 0
    is_open: bool = False
    must_reset: bool = False
    taken: list[str] = field(default_factory=list[str])
    batch: tuple[str, ...] = ()

    def run(self) -> None:
        for _ in range(1000):
            if self.rig.closed is not None:
                return
            if self.rig.body is not None:
                self._body()
            else:
                assert self.rig.said, "both sides wait"
                self._command(self.rig.line())
        raise AssertionError("no end")

    def _command(self, line: str) -> None:
        verb = line.partition(" ")[0]
        if verb in ("RCPT", "DATA") and not (self.is_open and (verb == "RCPT" or self.taken)):
            # A broken one wants data for nobody.
            self._reply(self.next_choice(["503", "503", "354"]) if verb == "DATA" else "503")
            return
        if verb == "MAIL":
            assert not self.is_open, "a transaction in a transaction"
            assert not self.must_reset, "no RSET after BDAT"
            start = self.transactions * self.most
            self.batch = self.to[start : start + self.most]
            assert self.batch, "a transaction for nobody"
            self.transactions += 1
            self.taken = []
        reply = self.next_choice({"DATA": ["354"], "QUIT": ["221"]}.get(verb, ["250"]))
        good = reply[0] == ("3" if verb == "DATA" else "2")
        match verb:
            case "MAIL":
                self.is_open = good
                self._note(self.batch, reply)
            case "RCPT":
                address = line.removeprefix("RCPT TO:<").partition(">")[0]
                assert address in self.batch
                if good:
                    self.taken.append(address)
                self._note([address], reply)
            case "DATA":
                self._note(self.taken, reply)
            case "RSET" if good:
                self.is_open = self.must_reset = False
            case _:
                pass
        assert verb != "BDAT", "it comes with its chunk"
        self._reply(reply)

    def _body(self) -> None:
        """Take the mail data, unless the server does not want to."""
        early = self.next_choice(["", ""])
        if early and early != "lose":
            self._note(self.taken, early)
        if early:
            self._reply(early)
            return
        if self.rig.said:
            assert self.rig.line().startswith("BDAT ")
            self.must_reset = True
        assert self.rig.send_body()
        self.rig.said.clear()
        self.is_open = False
        waiting = list(self.taken)
        for address in waiting:
            self.ledger[address] = "doubt"
        while waiting and self.rig.closed is None:
            reply = self.next_choice(["250"])
            whom = waiting[:1] if self.is_lmtp else waiting
            waiting = waiting[len(whom) :]
            if reply[0] == "2":
                self.must_reset = False
                for address in whom:
                    self.ledger[address] = "accepted"
            self._note(whom, reply)
            self._reply(reply)
            if reply == "421" and self.rig.closed is None:
                self.rig.eof()

    def _note(self, whom: list[str] | tuple[str, ...], reply: str) -> None:
        if reply == "lose" or reply[0] in "23":
            return
        for address in whom:
            self.ledger[address] = "later" if reply[0] == "4" else "refused"

    def _reply(self, reply: str) -> None:
        if reply == "lose":
            self.rig.lose()
        else:
            self.rig.say(f"{reply} text")


BAD = ["450", "550", "421", "lose"]


@given(
    count=st.integers(1, 7),
    most=st.integers(1, 4),
    mails=st.none() | st.integers(1, 4),
    offers=st.sets(st.sampled_from(["PIPELINING", "CHUNKING"])),
    is_lmtp=st.booleans(),
    fates=st.lists(st.integers(0, 9), max_size=40),
)
@example(count=3, most=1, mails=None, offers={"PIPELINING"}, is_lmtp=False, fates=[0, 8, 2, 1, 1])
def test_the_outcome_is_what_the_server_did_whatever_it_did(
    *, count: int, most: int, mails: int | None, offers: set[str], is_lmtp: bool, fates: list[int]
) -> None:
    to = tuple(f"u{number}@d.test" for number in range(count))
    limits = f"LIMITS RCPTMAX={most}" + (f" MAILMAX={mails}" if mails else "")
    rig = EsmtpRig(*to, offers=[limits, *offers], is_lmtp=is_lmtp).greet()
    rest = iter(fates)

    def choose(good: list[str]) -> str:
        """Mostly good."""
        fate = next(rest, 0)
        return BAD[fate - 6] if fate > 5 else good[fate % len(good)]

    server = Fate(rig, to, most, is_lmtp, choose)
    server.run()

    verdict = rig.verdict
    assert verdict is not None
    assert len(rig.told) == count
    assert server.transactions <= (mails or count)
    for result in verdict.recipients:
        truth = server.ledger.get(result.address, "not tried")
        assert result.accepted is (truth == "accepted"), truth
        assert result.maybe_accepted is (truth == "doubt"), truth
        assert result.retryable is (truth in ("later", "not tried")), truth
    truths = set(server.ledger.values())
    if isinstance(verdict, Accepted):
        assert "accepted" in truths
        if "doubt" in truths or len(server.ledger) < count:
            assert verdict.warnings
    else:
        assert isinstance(verdict, Failed)
        assert "accepted" not in truths
        assert verdict.maybe_accepted is ("doubt" in truths)
        assert not (verdict.retryable and verdict.maybe_accepted)
        assert not verdict.retryable or any(r.retryable for r in verdict.recipients)
