"""Several mails on one session: what is said again, what is not, and when it ends."""

from collections.abc import Callable
from typing import Any

import pytest
from conversations.kept_rig import SPECULATIVE, KeptRig
from conversations.rig import MAIL, SERVER
from hypothesis import given
from hypothesis import strategies as st
from servers.twins import Twin

from pykka_smtp.smtp.mail.content import CompleteContent, Content, StreamedContent
from pykka_smtp.smtp.mail.delivery_options import DeliveryOptions, Dsn
from pykka_smtp.smtp.mail.envelope import Envelope
from pykka_smtp.smtp.mail.mail_data import MailFacts, encode_whole
from pykka_smtp.smtp.sasl.secret import Secret
from pykka_smtp.smtp.session.dialog.dialog import Dialog
from pykka_smtp.smtp.session.dialog.idle_dialog import IdleDialog
from pykka_smtp.smtp.session.opening.session import Session
from pykka_smtp.smtp.session.step import Action, Close, Release
from pykka_smtp.smtp.session.transaction.delivery import Delivery
from pykka_smtp.smtp.session.transaction.recipients import Recipient, split_into_transactions
from pykka_smtp.smtp.words.extensions import Extensions
from pykka_smtp.smtp.words.stage import Stage
from pykka_smtp.smtp.words.verdict import FailureKind

OK = "250 ok"
TAKEN = "250 taken"
PLAIN = ()
GROUPS = ("PIPELINING",)
CHUNKS = ("CHUNKING",)
FACTS = MailFacts(size=5, eight_bit=False, nul=False, longest_line=3)
PATHS = tuple(f"u{number}@d.test" for number in range(250))


def first(*to: str, offers: tuple[str, ...] = PLAIN, **given: Any) -> KeptRig:
    """Come as far as the first mail of a session."""
    rig = KeptRig(*to, offers=offers, **given)
    rig.greet()
    return rig


def after(rig: KeptRig, *to: str, **given: Any) -> KeptRig:
    """Begin another mail on the session that one has left."""
    assert rig.released
    return KeptRig(*to, session=rig.session, is_lmtp=rig.session.is_lmtp, **given).resume()


def deliver(rig: KeptRig, rcpt: str = OK, dot: str = TAKEN) -> KeptRig:
    """Take a mail for one recipient, however the server is sent one."""
    extensions = rig.session.extensions
    if extensions.chunking and extensions.pipelining:
        rig.speculative()
        rig.say(OK, rcpt, dot)
        return rig
    rig.say(OK, rcpt, *([] if extensions.chunking else ["354 go"]))
    rig.said.clear()
    rig.send_body()
    rig.said.clear()
    rig.say(dot)
    return rig


# Released instead of closed


@pytest.mark.parametrize("offers", [PLAIN, GROUPS, CHUNKS, SPECULATIVE])
def test_a_kept_session_is_released_after_the_verdict_without_quit(
    offers: tuple[str, ...],
) -> None:
    rig = deliver(first(offers=offers))

    assert rig.told == ["accepted"]
    assert rig.released
    assert rig.closed is None
    assert rig.lines() == []


def test_a_session_that_is_not_kept_ends_with_quit() -> None:
    rig = deliver(first(offers=GROUPS, keeps=False))

    assert rig.told == ["accepted"]
    assert not rig.released
    assert rig.lines() == ["QUIT"]


def test_a_released_dialog_ignores_all_events() -> None:
    rig = deliver(first())
    dialog, verdict = rig.dialog, rig.verdict

    heard: list[Any] = [
        *dialog.receive_data(b"421 too late\r\n"),
        *dialog.receive_eof(),
        *dialog.connection_lost("read", 104, "reset"),
        *dialog.timed_out(1.0),
        *dialog.cancel(),
        *dialog.connected(),
        *dialog.start_next(),
    ]

    assert heard == []
    assert dialog.is_over
    assert dialog.verdict is verdict


def test_the_release_comes_with_the_last_reply_and_not_before_the_verdict() -> None:
    rig = first(offers=GROUPS)
    rig.say(OK, OK, "354 go")
    rig.said.clear()
    rig.data()

    actions = rig.dialog.receive_data(b"250 taken\r\n")

    assert [type(action).__name__ for action in actions] == ["Accepted", "Release"]
    assert isinstance(actions[-1], Release)


@pytest.mark.parametrize(
    "behind", [b"250 taken\r\n250 what?\r\n", b"250 taken\r\n25", b"250 taken\r\n421 bye\r\n"]
)
def test_octets_behind_the_verdict_mean_that_the_session_is_not_kept(behind: bytes) -> None:
    rig = first(offers=GROUPS)
    rig.say(OK, OK, "354 go")
    rig.said.clear()
    rig.data()
    rig.hear(behind)
    if rig.closed is None:
        rig.eof()

    assert not rig.released


def test_a_refused_mail_leaves_the_session_to_the_next() -> None:
    rig = deliver(first(), dot="554 no")
    assert rig.told == ["refused 554"]
    assert rig.released

    assert deliver(after(rig)).told == ["accepted"]


def test_a_mail_that_the_server_cannot_take_leaves_the_session_as_it_was() -> None:
    rig = deliver(first(offers=("SIZE 40",)))
    large = after(rig, content=CompleteContent(b"x" * 39))

    assert large.failed.kind is FailureKind.LOCAL
    assert large.released
    assert large.lines() == []
    assert deliver(after(large)).told == ["accepted"]


def test_a_mail_that_asks_for_more_safety_than_there_is_leaves_the_session_as_it_was() -> None:
    rig = deliver(first())
    careful = after(rig, options=DeliveryOptions(require_tls=True))

    assert careful.failed.kind is FailureKind.SECURITY
    assert careful.released
    assert deliver(after(careful)).told == ["accepted"]


@pytest.mark.parametrize("greeting", ["421 busy", "554 go away", "250 what?"])
def test_a_session_that_was_never_open_is_not_kept(greeting: str) -> None:
    rig = KeptRig()
    rig.connect()
    rig.say(greeting)

    assert rig.failed.stage is Stage.GREETING
    assert not rig.released
    assert not rig.session.is_open


def test_a_session_that_ends_in_421_is_not_kept() -> None:
    rig = deliver(first(), dot="421 closing")

    assert rig.told == ["later 421"]
    assert not rig.released
    assert rig.closed is not None


def test_lmtp_sessions_are_kept_as_well() -> None:
    rig = first("c@d.test", "e@d.test", offers=GROUPS, is_lmtp=True)
    rig.say(OK, OK, OK, "354 go")
    rig.said.clear()
    rig.data()
    rig.say(TAKEN)
    assert not rig.released
    rig.say("452 full")

    assert rig.told == ["accepted", "later 452"]
    assert rig.released
    again = after(rig)
    assert again.lines() == ["MAIL FROM:<a@b.test>", "RCPT TO:<c@d.test>", "DATA"]


# Resumed


def test_on_an_open_session_the_client_speaks_first_and_begins_with_mail() -> None:
    rig = after(deliver(first()), "e@d.test", sender="f@b.test")

    assert rig.lines() == ["MAIL FROM:<f@b.test>"]
    rig.say(OK)
    assert rig.lines() == ["RCPT TO:<e@d.test>"]
    rig.say(OK, "354 go")
    rig.said.clear()
    assert rig.data() == encode_whole(MAIL) + b".\r\n"
    rig.say("250 and another")
    assert rig.accepted.reply.lines == ("and another",)
    assert rig.released


@pytest.mark.parametrize(
    ("offers", "group"),
    [
        (GROUPS, ["MAIL FROM:<a@b.test>", "RCPT TO:<c@d.test>", "DATA"]),
        (CHUNKS, ["MAIL FROM:<a@b.test>"]),
        (("PIPELINING", "SIZE"), ["MAIL FROM:<a@b.test> SIZE=28", "RCPT TO:<c@d.test>", "DATA"]),
    ],
)
def test_what_the_server_offers_holds_for_all_mails_of_a_session(
    offers: tuple[str, ...], group: list[str]
) -> None:
    rig = deliver(first(offers=offers))

    for _ in range(3):
        rig = after(rig)
        assert [line for line in rig.lines() if not line.startswith("BDAT")] == group
        deliver(rig)
        assert rig.told == ["accepted"]


def test_a_resumed_dialog_stands_at_mail_and_asks_for_no_step_before_it() -> None:
    rig = deliver(first())
    resumed = KeptRig(session=rig.session)
    before = resumed.dialog.steps

    resumed.resume()

    assert resumed.dialog.stage is Stage.MAIL
    assert resumed.dialog.steps > before
    resumed.time_out()
    assert (resumed.failed.stage, resumed.failed.kind) == (Stage.MAIL, FailureKind.TIMEOUT)
    assert not resumed.failed.maybe_accepted


@pytest.mark.parametrize(
    ("reply", "told"), [("451 later", "later 451"), ("550 no", "refused 550"), (None, "later")]
)
def test_a_resumed_mail_that_fails_at_mail_says_so(reply: str | None, told: str) -> None:
    rig = after(deliver(first()))
    if reply is None:
        rig.eof()
    else:
        rig.say(reply)

    assert rig.told == [told]
    assert rig.failed.stage is Stage.MAIL
    assert rig.delivery.has_reply is (reply is not None)


def test_the_transcript_of_a_resumed_mail_begins_with_mail() -> None:
    rig = deliver(after(deliver(first())))

    assert rig.trace[0] == "C: MAIL FROM:<a@b.test>"
    assert rig.trace[-1] == "S: 250 taken"


def test_the_bound_on_the_replies_is_that_of_one_mail_not_of_the_session() -> None:
    rig = first()
    long = "250-" + "x" * 4000 + "\r\n"
    for _ in range(20):
        rig.hear((long * 15 + "250 ok\r\n").encode())  # 60 kB of reply to MAIL
        deliver_rest(rig)
        assert rig.told == ["accepted"]
        rig = after(rig)


def deliver_rest(rig: KeptRig) -> None:
    rig.say(OK, "354 go")
    rig.said.clear()
    rig.data()
    rig.say(TAKEN)


# RSET: where a transaction was begun and came to nothing, and nowhere else


def test_no_rset_follows_a_complete_transaction() -> None:
    for dot in (TAKEN, "554 no"):
        rig = deliver(first(), dot=dot)
        assert not rig.session.needs_reset
        assert after(rig).lines() == ["MAIL FROM:<a@b.test>"]


def test_no_rset_follows_a_rejected_mail() -> None:
    rig = first()
    rig.say("550 no")

    assert rig.released
    assert after(rig).lines()[-1] == "MAIL FROM:<a@b.test>"


def test_after_all_recipients_were_refused_rset_comes_first() -> None:
    rig = first()
    rig.say(OK, "550 who?")
    assert rig.told == ["refused 550"]
    assert rig.released
    assert rig.lines()[-1] == "RCPT TO:<c@d.test>"  # not yet: perhaps there is no other mail

    again = after(rig)
    assert again.lines() == ["RSET"]
    again.say(OK)
    assert again.lines() == ["MAIL FROM:<a@b.test>"]
    deliver(again)
    assert again.told == ["accepted"]
    assert after(again).lines() == ["MAIL FROM:<a@b.test>"]  # and not a third time


def test_a_transaction_that_was_reset_is_not_reset_again() -> None:
    rig = first()
    rig.say(OK, "550 who?")
    again = after(rig)
    again.say("250 reset", "451 not now")
    assert again.told == ["later 451"]

    assert after(again).lines() == ["MAIL FROM:<a@b.test>"]


def test_after_data_was_refused_rset_comes_first() -> None:
    rig = first()
    rig.say(OK, OK, "451 not now")
    assert rig.released

    assert after(rig).lines() == ["RSET"]


def test_rset_goes_out_in_the_group() -> None:
    rig = first(offers=GROUPS)
    rig.say(OK, "550 who?", "503 for nobody")
    assert rig.released

    again = after(rig)
    assert again.lines() == ["RSET", "MAIL FROM:<a@b.test>", "RCPT TO:<c@d.test>", "DATA"]
    again.say("250 reset")
    assert again.verdict is None
    again.say(OK, OK, "354 go")
    again.data()
    again.say(TAKEN)
    assert again.told == ["accepted"]
    assert after(again).lines()[0] == "MAIL FROM:<a@b.test>"


@pytest.mark.parametrize("offers", [PLAIN, GROUPS])
@pytest.mark.parametrize("reply", ["502 what is RSET?", "451 not now", "354 go", "550 no"])
def test_a_server_that_refuses_rset_has_not_refused_the_mail(
    offers: tuple[str, ...], reply: str
) -> None:
    rig = first(offers=offers)
    rig.say(OK, "550 who?", *(["503 for nobody"] if offers else []))
    again = after(rig)
    again.say(reply)

    assert again.told[0].startswith("later")
    assert (again.failed.retryable, again.failed.stage) == (True, Stage.MAIL)
    assert not again.delivery.has_reply
    assert not again.released
    assert again.closed is not None


def test_421_to_rset_is_the_end_and_the_mail_may_be_tried_again() -> None:
    rig = first()
    rig.say(OK, "550 who?")
    again = after(rig)
    again.say("421 bye")

    assert again.told == ["later 421"]
    assert again.failed.kind is FailureKind.SMTP
    assert again.closed is not None


def test_a_mail_in_several_transactions_needs_no_rset_between_them_and_none_after() -> None:
    rig = first(*PATHS[:3], offers=("LIMITS RCPTMAX=1",))
    for _ in range(3):
        deliver(rig)
    assert rig.told == ["accepted"] * 3
    assert not any("RSET" in line for line in rig.trace)
    assert after(rig).lines() == ["MAIL FROM:<a@b.test>"]


# Warnings


def test_what_was_odd_about_the_session_is_said_with_each_mail() -> None:
    rig = KeptRig(offers=GROUPS)
    rig.connect()
    rig.hear(b"220 mx.test\n")
    rig.say("250 mx.test")
    rig.said.clear()
    deliver(rig)
    odd = f"{SERVER} ends lines in LF alone (RFC 5321 §2.3.8)"
    assert rig.accepted.warnings == (odd,)

    for _ in range(2):
        rig = after(rig)
        rig.said.clear()
        deliver(rig)
        assert rig.accepted.warnings == (odd,)


def test_what_was_odd_about_one_mail_is_not_said_of_the_next() -> None:
    options = DeliveryOptions(dsn=Dsn(notify="never"), priority=1)
    rig = deliver(first(options=options))
    assert len(rig.accepted.warnings) == 2

    rig = deliver(after(rig))
    assert rig.accepted.warnings == ()
    rig = deliver(after(rig, options=options))
    assert len(rig.accepted.warnings) == 2
    rig = deliver(after(rig), dot="554 no")
    assert rig.failed.warnings == ()


def test_a_verdict_keeps_its_warnings_when_the_next_mail_begins() -> None:
    rig = deliver(first(options=DeliveryOptions(priority=1)))
    verdict = rig.accepted
    deliver(after(rig))

    assert len(verdict.warnings) == 1


def test_a_reply_that_contradicts_itself_is_said_of_that_mail_alone() -> None:
    rig = deliver(first(), dot="250 5.7.1 refused")
    assert "text says otherwise" in rig.accepted.warnings[0]

    assert deliver(after(rig)).accepted.warnings == ()


# Secrets


def test_a_token_that_the_session_began_with_stays_secret_in_the_mails_after_the_first() -> None:
    token = "ya29.t0ken/of+mine"
    session = Session(server=SERVER, ehlo_name="c.test")
    said: list[str] = []

    def dialog() -> Dialog:
        delivery = Delivery(session, Envelope.of("a@b.test", "c@d.test"), CompleteContent(MAIL))
        return Twin(delivery, lambda _who, line: said.append(line), lambda text: text)

    first_of_all = dialog()
    assert first_of_all._redact is not None
    first_of_all._redact.learn(Secret(token))  # as from a function of the program's
    session.is_open = True
    second = dialog()
    second.start_next()
    actions = second.receive_data(f"550 not with {token}\r\n".encode())

    assert "550 not with ***" in said
    assert second._redact is not None
    second._redact.learn(Secret("another/t0ken"))
    assert second._redact(f"{token} another/t0ken") == "*** ***"
    assert token not in repr(actions)
    assert token not in repr(session)


# MAILMAX (RFC 9422 §4.1)


@pytest.mark.parametrize("offers", [PLAIN, GROUPS, SPECULATIVE])
def test_a_session_that_has_had_as_many_mails_as_the_server_takes_is_not_kept(
    offers: tuple[str, ...],
) -> None:
    rig = deliver(first(offers=(*offers, "LIMITS MAILMAX=3")))
    rig = deliver(after(rig))
    assert rig.session.transactions == 2
    rig = deliver(after(rig))

    assert rig.told == ["accepted"]
    assert not rig.released
    assert rig.lines() == ["QUIT"]


def test_a_mail_that_was_refused_counts_like_the_others() -> None:
    # RFC 9422 §4.1: all MAIL commands count, whatever the server said to them.
    rig = first(offers=("LIMITS MAILMAX=2",))
    rig.say("451 later")
    assert rig.session.transactions == 1
    rig = deliver(after(rig))

    assert rig.told == ["accepted"]
    assert not rig.released


def test_each_transaction_of_a_mail_counts() -> None:
    rig = first(*PATHS[:3], offers=("LIMITS RCPTMAX=1 MAILMAX=4",))
    for _ in range(3):
        deliver(rig)
    assert rig.session.transactions == 3
    rig = after(rig, *PATHS[:3])
    deliver(rig)

    assert rig.told == ["accepted", "later", "later"]
    assert "not tried" in rig.accepted.warnings[0]
    assert not rig.released


# IdleDialog: nobody uses the connection


def test_an_unsolicited_reply_while_idle_aborts_the_connection() -> None:
    # Whatever it says would be taken for the answer to the next command.
    for octets in (b"421 idle for too long\r\n", b"250 ok\r\n", b"2", b"\0"):
        rest = IdleDialog()
        actions = rest.receive_data(octets)
        assert actions == [Close(reset=True)]
        assert rest.is_over


def test_a_server_that_leaves_a_resting_connection_is_left() -> None:
    rest = IdleDialog()

    assert rest.receive_eof() == [Close()]
    assert rest.is_over


def test_a_resting_connection_that_breaks_needs_no_close() -> None:
    rest = IdleDialog()

    assert rest.connection_lost("read", 104, "Connection reset by peer") == []
    assert rest.is_over


def test_who_gives_a_resting_connection_up_takes_leave_and_does_not_wait() -> None:
    rest = IdleDialog()

    assert rest.cancel() == [b"QUIT\r\n", Close()]
    assert rest.is_over


def test_a_defect_ends_a_resting_connection() -> None:
    assert IdleDialog().fail(FailureKind.INTERNAL, "defect") == [Close(reset=True)]


ENDS: dict[str, Callable[[IdleDialog], list[Action]]] = {
    "data": lambda rest: rest.receive_data(b"x"),
    "eof": IdleDialog.receive_eof,
    "lost": lambda rest: rest.connection_lost("read", None, "x"),
    "cancel": IdleDialog.cancel,
    "fail": lambda rest: rest.fail(FailureKind.INTERNAL, "x"),
}


@given(st.lists(st.sampled_from(list(ENDS)), max_size=6))
def test_a_resting_connection_ends_once(events: list[str]) -> None:
    rest = IdleDialog()
    actions = [ENDS[event](rest) for event in events]

    assert all(later == [] for later in actions[1:])
    assert rest.is_over is bool(events)


def test_a_resting_connection_looks_like_a_dialog_that_owes_nothing() -> None:
    rest = IdleDialog()
    dialog = Twin(
        Delivery(
            Session(server=SERVER, ehlo_name="c.test"),
            Envelope.of("a@b.test", "c@d.test"),
            CompleteContent(MAIL),
        )
    )

    for name in (
        "steps",
        "stage",
        "verdict",
        "may_end_mail_data",
        "needs_channel_binding",
        "is_over",
    ):
        assert hasattr(rest, name)
        assert type(getattr(rest, name)) is type(getattr(dialog, name))
    assert not rest.is_over


# 100 recipients at a time (RFC 5321 §4.5.3.1.8)


@pytest.mark.parametrize(
    ("count", "batches"),
    [(1, [1]), (99, [99]), (100, [100]), (101, [100, 1]), (250, [100, 100, 50])],
)
def test_no_transaction_has_more_recipients_than_every_server_takes(
    count: int, batches: list[int]
) -> None:
    recipients = [Recipient(path) for path in PATHS[:count]]

    taken, rest = split_into_transactions(recipients, Extensions({}))

    assert [len(batch) for batch in taken] == batches
    assert [recipient for batch in taken for recipient in batch] == recipients
    assert list(rest) == []


@pytest.mark.parametrize(
    ("limits", "before", "batches", "left"),
    [
        ("RCPTMAX=250", 0, [250], 0),
        ("RCPTMAX=120", 0, [120, 120, 10], 0),
        ("MAILMAX=2", 0, [100, 100], 50),
        ("MAILMAX=5", 3, [100, 100], 50),
        ("MAILMAX=3", 3, [], 250),
        ("MAILMAX=3", 9, [], 250),
        ("MAILMAX=3 RCPTMAX=250", 2, [250], 0),
    ],
)
def test_limits_of_the_server_go_before_the_usual_one(
    limits: str, before: int, batches: list[int], left: int
) -> None:
    recipients = [Recipient(path) for path in PATHS]

    taken, rest = split_into_transactions(
        recipients, Extensions({"LIMITS": limits}), transactions_before=before
    )

    assert [len(batch) for batch in taken] == batches
    assert len(rest) == left


def rcpts(rig: KeptRig) -> int:
    """Take one transaction of a mail to many, and return for how many it was."""
    lines = rig.lines()
    assert lines[0] == "MAIL FROM:<a@b.test>"
    assert lines[-1] == "DATA"
    count = len(lines) - 2
    rig.say(*[OK] * (count + 1), "354 go")
    rig.data()
    rig.say(TAKEN)
    return count


@pytest.mark.parametrize(
    ("count", "batches"), [(100, [100]), (101, [100, 1]), (250, [100, 100, 50])]
)
def test_a_mail_to_many_goes_out_a_hundred_at_a_time_over_one_session_and_has_one_outcome(
    count: int, batches: list[int]
) -> None:
    rig = first(*PATHS[:count], offers=GROUPS)

    assert [rcpts(rig) for _ in batches] == batches
    assert rig.told == ["accepted"] * count
    assert [result.address for result in rig.accepted.recipients] == list(PATHS[:count])
    assert rig.session.transactions == len(batches)
    assert rig.released
    assert rig.lines() == []


def test_a_mail_to_many_comes_between_others_on_a_kept_session() -> None:
    rig = deliver(first(offers=GROUPS))
    rig = after(rig, *PATHS)
    assert [rcpts(rig) for _ in range(3)] == [100, 100, 50]

    assert rig.told == ["accepted"] * 250
    assert deliver(after(rig)).told == ["accepted"]


@pytest.mark.parametrize("count", [100, 101, 250])
def test_a_stream_that_can_be_read_only_once_goes_out_once_to_all(count: int) -> None:
    # To split it at a limit that the server has not named would be to refuse it. The server may
    # take more than a hundred; those that it does not take are told apart (452).
    rig = first(*PATHS[:count], offers=GROUPS, content=StreamedContent(None))
    lines = rig.lines()

    assert len(lines) == count + 2
    rig.say(*[OK] * 101, *["452 too many recipients"] * (count - 100), "354 go")
    rig.data()
    rig.say(TAKEN)
    assert rig.told == ["accepted"] * 100 + ["later 452"] * (count - 100)


def test_a_stream_that_can_be_read_only_once_is_not_begun_where_the_server_takes_a_hundred() -> (
    None
):
    rig = first(*PATHS[:101], offers=("LIMITS RCPTMAX=100",), content=StreamedContent(None))

    assert rig.failed.kind is FailureKind.LOCAL
    assert "accepts 100 recipients at a time" in rig.failed.detail
    assert rig.lines() == []
    assert rig.released


@pytest.mark.parametrize("content", [StreamedContent(FACTS), None])
def test_what_can_be_read_again_goes_out_once_for_each_hundred(content: Content | None) -> None:
    rig = first(*PATHS[:101], offers=GROUPS, content=content)

    assert [rcpts(rig) for _ in range(2)] == [100, 1]
    assert rig.told == ["accepted"] * 101


# Some of the recipients


def test_the_envelope_for_some_is_the_same_in_all_else() -> None:
    options = DeliveryOptions(priority=1)
    envelope = Envelope.of("a@b.test", PATHS[:5], options)

    part = envelope.only(PATHS[1:3])

    assert part.forward_paths == PATHS[1:3]
    assert part.reverse_path == "a@b.test"
    assert part.options is options
    assert envelope.forward_paths == PATHS[:5]


def test_the_envelope_for_all_is_the_envelope() -> None:
    envelope = Envelope.of("<>", PATHS[:5])

    assert envelope.only(iter(PATHS[:5])) is envelope
    assert envelope.only(PATHS[:4]).reverse_path == ""


def test_the_envelope_for_some_may_have_options_that_name_others() -> None:
    # Each recipient is asked for his own; those of the others are not his fault.
    dsn = Dsn(orcpt={"u0@d.test": "first@x.test", "u1@d.test": "second@x.test"})
    envelope = Envelope.of("a@b.test", PATHS[:3], DeliveryOptions(dsn=dsn))

    part = envelope.only(["u1@d.test", "u2@d.test"])

    rig = KeptRig(offers=("PIPELINING", "DSN"))
    rig.delivery = Delivery(rig.session, part, CompleteContent(MAIL))
    rig.dialog = Twin(rig.delivery)
    rig.greet()
    assert rig.lines()[1:3] == [
        "RCPT TO:<u1@d.test> ORCPT=rfc822;second@x.test",
        "RCPT TO:<u2@d.test>",
    ]


@pytest.mark.parametrize("paths", [(), ("x@d.test",), ("u0@d.test", "x@d.test"), ("U0@d.test",)])
def test_an_envelope_for_other_recipients_is_rejected(paths: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="some of the recipients"):
        Envelope.of("a@b.test", PATHS[:3]).only(paths)


def test_the_envelope_for_some_names_each_once() -> None:
    part = Envelope.of("a@b.test", PATHS[:3]).only(["u1@d.test", "u1@d.test"])

    assert part.forward_paths == ("u1@d.test",)
