"""The dialog: whatever happens, and wherever, there is one verdict, and it is true."""

import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from conversations.rig import MAIL, RESET, SERVER, Rig

from pykka_smtp.smtp.mail.content import CompleteContent, Rendition, StreamedContent
from pykka_smtp.smtp.mail.envelope import Envelope
from pykka_smtp.smtp.session.dialog.dialog import Dialog
from pykka_smtp.smtp.session.opening.session import Session
from pykka_smtp.smtp.session.step import Close, Script
from pykka_smtp.smtp.session.transaction.delivery import MAX_REPLIES, MAX_REPLIES_EACH, Delivery
from pykka_smtp.smtp.words.command import GREETING, Command
from pykka_smtp.smtp.words.reply import Reply
from pykka_smtp.smtp.words.stage import Stage
from pykka_smtp.smtp.words.verdict import Accepted, Failed, FailureKind

TO = ("c@d.test", "e@f.test")
REFUSED = Reply(550, ("5.1.1 who?",))


@dataclass(frozen=True)
class Turn:
    """What the server says when it is its turn, or the mail data.

    Attributes:
        stage: what the client waits for, or does.
        octets: what the server says; none where the client sends the mail data.
    """

    stage: Stage
    octets: bytes = b""


BEGINNING = [Turn(Stage.GREETING, b"220 mx.test\r\n")]
ENVELOPE = [
    Turn(Stage.MAIL, b"250 2.1.0 ok\r\n"),
    Turn(Stage.RCPT, b"250 2.1.5 ok\r\n"),
    Turn(Stage.RCPT, b"550 5.1.1 who?\r\n"),
    Turn(Stage.DATA, b"354 go\r\n"),
    Turn(Stage.BODY),
    Turn(Stage.DOT, b"250-2.0.0 taken\r\n250 2.0.0 as 1234\r\n"),
    Turn(Stage.QUIT, b"221 bye\r\n"),
]
ROUTES = {
    "one by one": [*BEGINNING, Turn(Stage.EHLO, b"250-mx.test\r\n250 SIZE\r\n"), *ENVELOPE],
    "in a group": [*BEGINNING, Turn(Stage.EHLO, b"250-mx.test\r\n250 PIPELINING\r\n"), *ENVELOPE],
    "with HELO": [
        *BEGINNING,
        Turn(Stage.EHLO, b"502 what?\r\n"),
        Turn(Stage.EHLO, b"250 mx.test\r\n"),
        *ENVELOPE,
    ],
}
EACH_ROUTE = pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES)

ENDS: dict[str, tuple[FailureKind, Callable[[Rig], object]]] = {
    "the server closes": (FailureKind.CONNECTION, Rig.eof),
    "the connection breaks": (FailureKind.CONNECTION, Rig.lose),
    "a write fails": (
        FailureKind.CONNECTION,
        lambda rig: rig.perform(rig.dialog.connection_lost("write", 32, "Broken pipe")),
    ),
    "a step takes too long": (FailureKind.TIMEOUT, Rig.time_out),
    "the whole takes too long": (
        FailureKind.TIMEOUT,
        lambda rig: rig.perform(rig.dialog.timed_out(300, whole=True)),
    ),
    "the actor is stopped": (FailureKind.CANCELLED, lambda rig: rig.perform(rig.dialog.cancel())),
    "the mail can't be read on": (
        FailureKind.LOCAL,
        lambda rig: rig.perform(rig.dialog.fail(FailureKind.LOCAL, f"no disk, {SERVER}")),
    ),
    "something is below what was asked": (
        FailureKind.SECURITY,
        lambda rig: rig.perform(rig.dialog.fail(FailureKind.SECURITY, f"no TLS, {SERVER}")),
    ),
    "we have a defect": (
        FailureKind.INTERNAL,
        lambda rig: rig.perform(rig.dialog.fail(FailureKind.INTERNAL, f"defect, {SERVER}")),
    ),
}
PASSING = {FailureKind.CONNECTION, FailureKind.TIMEOUT, FailureKind.CANCELLED}


def take(rig: Rig, turn: Turn) -> None:
    if turn.octets:
        rig.hear(turn.octets)
    else:
        assert rig.send_body()


def moments(route: list[Turn]) -> Iterator[tuple[Rig, Stage, list[Turn]]]:
    """Play a route up to each octet; tell where that is, and what is behind."""
    for number, turn in enumerate(route):
        for part in range(len(turn.octets) or 1):
            rig = Rig(*TO).connect()
            for earlier in route[:number]:
                take(rig, earlier)
            for octet in turn.octets[:part]:
                rig.hear(bytes([octet]))
            yield rig, turn.stage, route[:number]


def failure(rig: Rig) -> Failed:
    assert isinstance(rig.verdict, Failed)
    return rig.verdict


def rig_at(route: list[Turn], stage: Stage, *, to: tuple[str, ...] = TO) -> Rig:
    """Play a route up to a stage."""
    rig = Rig(*to).connect()
    for turn in route:
        if turn.stage is stage:
            return rig
        take(rig, turn)
    raise AssertionError(f"there is no {stage}")


def taking_all(route: list[Turn], recipients: int) -> list[Turn]:
    """The route on which every one of so many recipients is taken."""
    first = next(number for number, turn in enumerate(route) if turn.stage is Stage.RCPT)
    return route[:first] + route[first : first + 1] * recipients + route[first + 2 :]


def codes(rig: Rig) -> list[int | None]:
    assert rig.verdict is not None
    replies = [result.reply for result in rig.verdict.recipients]
    return [None if reply is None else reply.code for reply in replies]


def nothing_more_happens(rig: Rig) -> None:
    dialog, verdict = rig.dialog, rig.verdict
    assert rig.closed is not None
    assert dialog.is_over
    assert not dialog.may_end_mail_data
    for actions in (
        dialog.connected(),
        dialog.receive_data(b"250 ok\r\n"),
        dialog.receive_data(b"nonsense\r\n"),
        dialog.receive_eof(),
        dialog.connection_lost("write", 32, "Broken pipe"),
        dialog.timed_out(1),
        dialog.cancel(),
        dialog.fail(FailureKind.INTERNAL, "defect"),
    ):
        assert actions == []
    assert dialog.verdict is verdict


# The way through


@EACH_ROUTE
def test_a_mail_is_accepted_on_each_route(route: list[Turn]) -> None:
    rig = Rig(*TO).connect()
    for turn in route:
        assert rig.dialog.stage is turn.stage
        take(rig, turn)

    assert isinstance(rig.verdict, Accepted)
    assert rig.verdict.reply == Reply(250, ("2.0.0 taken", "2.0.0 as 1234"))
    assert [result.accepted for result in rig.verdict.recipients] == [True, False]
    assert codes(rig) == [250, 550]
    assert rig.verdict.warnings == ()
    assert rig.closed == Close(reset=False)
    assert rig.stream.endswith(b"\r\n.\r\nQUIT\r\n")
    nothing_more_happens(rig)


def test_a_group_is_written_at_once_and_never_with_quit() -> None:
    rig = Rig(*TO).connect()
    rig.hear(b"220 mx.test\r\n")
    rig.said.clear()
    rig.hear(b"250-mx.test\r\n250 PIPELINING\r\n")

    assert bytes(rig.said) == (
        b"MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nRCPT TO:<e@f.test>\r\nDATA\r\n"
    )


def test_nothing_is_written_before_the_server_has_spoken() -> None:
    rig = Rig().connect()

    assert not rig.stream
    assert [command is GREETING for command in rig.owed] == [True]


@EACH_ROUTE
def test_each_step_is_counted_and_octets_that_are_none_are_not(route: list[Turn]) -> None:
    rig = Rig(*TO).connect()
    for turn in route:
        steps = rig.dialog.steps
        for octet in turn.octets[:-1]:
            rig.hear(bytes([octet]))
            assert rig.dialog.steps == steps
        take(rig, turn if not turn.octets else Turn(turn.stage, turn.octets[-1:]))
        assert rig.dialog.steps > steps


# Failures without a reply, at every octet


@pytest.mark.parametrize("end", ENDS)
@EACH_ROUTE
def test_a_failure_at_any_octet_gives_one_verdict_and_it_is_true(
    route: list[Turn], end: str
) -> None:
    kind, happen = ENDS[end]
    seen: set[Stage] = set()
    for rig, stage, behind in moments(route):
        assert rig.dialog.stage is stage
        has_refused = any(turn.octets.startswith(b"550") for turn in behind)

        happen(rig)

        nothing_more_happens(rig)
        assert rig.closed == Close(reset=True)
        if stage is Stage.QUIT:
            assert isinstance(rig.verdict, Accepted)
            continue
        failed = failure(rig)
        assert failed.kind is kind
        assert failed.stage is stage
        assert failed.maybe_accepted is rig.dot_out is (stage is Stage.DOT)
        assert failed.retryable is (kind in PASSING and not failed.maybe_accepted)
        assert failed.reply is None
        assert SERVER in failed.detail
        assert failed.detail.isprintable()
        assert ("may have been accepted" in failed.detail) is failed.maybe_accepted
        assert [result.address for result in failed.recipients] == list(TO)
        assert not any(result.accepted for result in failed.recipients)
        # Only a refusal of its own is a recipient's last word.
        assert [r.reply for r in failed.recipients] == [None, REFUSED if has_refused else None]
        seen.add(stage)

    assert seen == {turn.stage for turn in route} - {Stage.QUIT}


def test_a_failure_before_the_connection_stands_gives_a_verdict_too() -> None:
    for happen in (Rig.eof, Rig.time_out, lambda rig: rig.perform(rig.dialog.cancel())):
        rig = Rig()
        happen(rig)
        assert failure(rig).stage is Stage.CONNECT
        assert not failure(rig).maybe_accepted
        nothing_more_happens(rig)


def test_a_connection_that_stands_too_late_is_not_used() -> None:
    rig = Rig()
    rig.perform(rig.dialog.cancel())

    rig.connect()

    assert not rig.stream


def test_a_lost_connection_tells_what_the_system_said() -> None:
    rig = Rig().connect()
    rig.lose()

    failed = failure(rig)
    assert (failed.operation, failed.errno) == ("read", RESET)
    assert failed.detail == (
        f"lost the connection waiting for the greeting of {SERVER}: Connection reset by peer"
    )


def test_a_timeout_says_which_limit_expired() -> None:
    step, whole = Rig().connect(), Rig().connect()

    step.perform(step.dialog.timed_out(0.5))
    whole.perform(whole.dialog.timed_out(300, whole=True))

    assert failure(step).detail == (f"timed out after 0.5 s waiting for the greeting of {SERVER}")
    assert failure(whole).detail == (
        f"exceeded the deadline of 300 s waiting for the greeting of {SERVER}"
    )


# Replies that refuse, at every stage


FAILURES = {
    # stage: what 299, 399, 421, 450, 552 and 599 mean there
    Stage.GREETING: "PROTOCOL PROTOCOL later later no no",
    Stage.EHLO: "- PROTOCOL later later no no",
    Stage.MAIL: "- PROTOCOL later later no no",
    Stage.RCPT: "- PROTOCOL later later later no",
    Stage.DATA: "PROTOCOL - later later no no",
    Stage.BODY: "PROTOCOL PROTOCOL later later no no",
    Stage.DOT: "- doubt later later no no",
}
CODES = (299, 399, 421, 450, 552, 599)


@pytest.mark.parametrize("to", [TO[:1], TO], ids=["one recipient", "two recipients"])
@pytest.mark.parametrize("stage", FAILURES)
@pytest.mark.parametrize("code", CODES)
@EACH_ROUTE
def test_a_refusal_at_any_stage_is_told_as_it_is(
    route: list[Turn], code: int, stage: Stage, to: tuple[str, ...]
) -> None:
    meaning = FAILURES[stage].split()[CODES.index(code)]
    rig = rig_at(taking_all(route, len(to)), stage, to=to)
    octets = f"{code} because\r\n".encode()

    rig.hear(octets)
    if stage is Stage.RCPT and rig.verdict is None and len(to) > 1:
        rig.hear(octets)

    if meaning == "-":
        assert not isinstance(rig.verdict, Failed)
        return
    failed = failure(rig)
    assert failed.kind is (FailureKind.SMTP if meaning in ("later", "no") else FailureKind.PROTOCOL)
    assert failed.stage is stage
    assert failed.retryable is (meaning in ("later", "PROTOCOL"))
    assert failed.maybe_accepted is (meaning == "doubt")
    assert failed.detail.isprintable()
    assert SERVER in failed.detail
    unsolicited = stage is Stage.BODY and meaning == "PROTOCOL"
    assert failed.reply == (None if unsolicited else Reply(code, ("because",)))
    assert not any(result.accepted for result in failed.recipients)
    doubtful = unsolicited or meaning == "doubt"
    assert [result.reply for result in failed.recipients] == [
        None if doubtful else Reply(code, ("because",))
    ] * len(to)
    says_goodbye = meaning in ("later", "no") and code != 421 and stage is not Stage.BODY
    if says_goodbye:
        for _ in range(9):  # replies that are still owed
            rig.hear(b"503 no\r\n")
    assert rig.stream.endswith(b"QUIT\r\n") is says_goodbye
    assert rig.closed is not None


@EACH_ROUTE
def test_a_server_may_say_421_behind_any_reply(route: list[Turn]) -> None:
    for turn in route:
        if not turn.octets:
            continue
        rig = rig_at(route, turn.stage)

        rig.hear(turn.octets + b"421 4.3.2 bye\r\n")

        nothing_more_happens(rig)
        assert b"QUIT\r\n" not in rig.stream or turn.stage is Stage.QUIT
        if turn.stage in (Stage.DOT, Stage.QUIT):
            assert isinstance(rig.verdict, Accepted)
            continue
        failed = failure(rig)
        assert failed.kind is FailureKind.SMTP
        assert failed.reply == Reply(421, ("4.3.2 bye",))
        assert (failed.retryable, failed.maybe_accepted) == (True, False)


# The owed-reply rule


@pytest.mark.parametrize("code", [220, 250, 354, 450, 550])
@pytest.mark.parametrize("name", ["one by one", "with HELO"])
def test_a_reply_that_is_not_owed_is_believed_at_no_stage(name: str, code: int) -> None:
    route = ROUTES[name]
    for number, turn in enumerate(route):
        if not turn.octets or turn.stage is Stage.QUIT:
            continue
        rig = Rig(*TO).connect()
        for earlier in route[:number]:
            take(rig, earlier)

        rig.hear(turn.octets + f"{code} surplus\r\n".encode())

        nothing_more_happens(rig)
        failed = failure(rig)
        early = turn.stage is Stage.DATA and code in (450, 550)  # a refusal of the mail data
        assert failed.kind is (FailureKind.SMTP if early else FailureKind.PROTOCOL)
        assert failed.maybe_accepted is (turn.stage is Stage.DOT)
        assert f"{code} surplus" in failed.detail


@EACH_ROUTE
def test_a_part_of_a_reply_that_is_not_owed_holds_back_what_is_due(route: list[Turn]) -> None:
    for number, turn in enumerate(route):
        if not turn.octets or turn.stage is Stage.QUIT:
            continue
        rig = Rig(*TO).connect()
        for earlier in route[:number]:
            take(rig, earlier)
        said, owed = bytes(rig.stream), len(rig.owed)

        rig.hear(turn.octets + b"2")

        assert rig.stream == said
        assert rig.body is None
        assert rig.verdict is None
        if owed > 1:
            continue  # in a group it may be a part of the next reply
        rig.hear(b"50 surplus\r\n")
        assert failure(rig).kind is FailureKind.PROTOCOL
        assert failure(rig).maybe_accepted is (turn.stage is Stage.DOT)
        assert rig.stream == said


def test_a_part_of_an_early_reply_keeps_the_dot_back() -> None:
    rig = rig_at(ROUTES["one by one"], Stage.BODY)
    assert rig.dialog.may_end_mail_data

    rig.hear(b"25")
    assert not rig.dialog.may_end_mail_data
    assert not rig.send_body()
    rig.hear(b"0 taken\r\n")

    assert failure(rig).kind is FailureKind.PROTOCOL
    assert failure(rig).stage is Stage.BODY
    assert not failure(rig).maybe_accepted


def test_the_dot_is_not_allowed_before_its_time_nor_after() -> None:
    for stage in (Stage.GREETING, Stage.MAIL, Stage.DATA, Stage.DOT, Stage.QUIT):
        assert not rig_at(ROUTES["one by one"], stage).dialog.may_end_mail_data


def test_the_dot_is_not_allowed_any_more_when_the_mail_is_given_up() -> None:
    rig = rig_at(ROUTES["one by one"], Stage.BODY)

    rig.time_out()

    assert not rig.dialog.may_end_mail_data


# Leaving hard, so that nothing can be taken for a mail


@pytest.mark.parametrize("octets", [b"550 no\r\n", b"450 no\r\n", b"421 bye\r\n", b"250 ok\r\n"])
def test_mail_data_that_is_under_way_is_broken_off_hard(octets: bytes) -> None:
    rig = rig_at(ROUTES["one by one"], Stage.BODY)

    rig.hear(octets)

    assert isinstance(rig.verdict, Failed)
    assert rig.closed == Close(reset=True)


@pytest.mark.parametrize(
    "refusals", [b"550 no\r\n250 ok\r\n250 ok\r\n", b"250 ok\r\n550 no\r\n550 no\r\n"]
)
def test_354_without_recipients_is_aborted_without_a_dot(
    refusals: bytes,
) -> None:
    rig = rig_at(ROUTES["in a group"], Stage.MAIL)

    rig.hear(refusals)
    assert rig.closed is None
    rig.hear(b"354 go\r\n")

    assert failure(rig).reply == Reply(550, ("no",))
    assert rig.closed == Close(reset=True)
    assert rig.body is None
    assert rig.stream.endswith(b"DATA\r\n")


# A mail that is decided stays decided


@pytest.mark.parametrize("end", ENDS)
def test_an_accepted_mail_stays_accepted(end: str) -> None:
    rig = rig_at(ROUTES["one by one"], Stage.QUIT)
    verdict = rig.verdict
    assert isinstance(verdict, Accepted)

    ENDS[end][1](rig)

    assert rig.verdict is verdict
    nothing_more_happens(rig)


@pytest.mark.parametrize("octets", [b"500 what?\r\n", b"421 bye\r\n", b"354 go\r\n", b"\xff\r\n"])
def test_an_accepted_mail_stays_accepted_whatever_quit_is_answered(octets: bytes) -> None:
    rig = rig_at(ROUTES["one by one"], Stage.QUIT)

    rig.hear(octets)

    assert isinstance(rig.verdict, Accepted)
    nothing_more_happens(rig)


@pytest.mark.parametrize("end", ENDS)
@EACH_ROUTE
def test_a_refused_mail_stays_refused(route: list[Turn], end: str) -> None:
    for after in (b"", b"5", b"503 no\r\n", b"503 no\r\n503 no\r\n"):
        rig = rig_at(route, Stage.MAIL)
        rig.hear(b"550 no\r\n")
        verdict = failure(rig)
        rig.hear(after)

        ENDS[end][1](rig)

        assert rig.verdict is verdict
        assert verdict.reply == Reply(550, ("no",))
        nothing_more_happens(rig)


def test_surplus_behind_a_refusal_ends_the_session_without_another_word() -> None:
    rig = rig_at(ROUTES["one by one"], Stage.MAIL)
    said = bytes(rig.stream)

    rig.hear(b"550 no\r\n250 ok\r\n")

    assert failure(rig).reply == Reply(550, ("no",))
    assert rig.stream == said
    nothing_more_happens(rig)


# What a listener hears


def test_every_line_of_the_session_is_traced() -> None:
    rig = Rig(*TO).connect()
    for turn in ROUTES["in a group"]:
        take(rig, turn)

    assert rig.trace == [
        "S: 220 mx.test",
        "C: EHLO c.test",
        "S: 250-mx.test",
        "S: 250 PIPELINING",
        "C: MAIL FROM:<a@b.test>",
        "C: RCPT TO:<c@d.test>",
        "C: RCPT TO:<e@f.test>",
        "C: DATA",
        "S: 250 2.1.0 ok",
        "S: 250 2.1.5 ok",
        "S: 550 5.1.1 who?",
        "S: 354 go",
        f"C: <{len(MAIL)} octets of mail>",
        "C: .",
        "S: 250-2.0.0 taken",
        "S: 250 2.0.0 as 1234",
        "C: QUIT",
        "S: 221 bye",
    ]


def test_an_unsolicited_reply_is_in_the_transcript() -> None:
    rig = Rig().connect()
    rig.hear(b"220 mx.test\r\n250\r\n")

    assert rig.trace == ["S: 220 mx.test", "S: 250"]


def test_a_stream_of_unknown_size_is_traced_as_such() -> None:
    rig = Rig(content=StreamedContent(None)).connect()
    for octets in (b"220 a\r\n", b"250 a\r\n", b"250 a\r\n", b"250 a\r\n", b"354 a\r\n"):
        rig.hear(octets)
    assert rig.send_body()

    assert rig.trace[-2:] == ["C: <mail data>", "C: ."]


class Secretive(Delivery):
    """Says one line with a secret."""

    def script(self) -> Script:
        yield GREETING
        yield Command(Stage.AUTH, "AUTH PLAIN s3cr3t", shown="AUTH PLAIN ***")


def test_a_secret_goes_over_the_wire_and_not_into_the_trace() -> None:
    lines: list[str] = []
    delivery = Secretive(
        Session(server=SERVER, ehlo_name="c.test"),
        Envelope.of("a@b.test", "c@d.test"),
        CompleteContent(MAIL),
    )
    dialog = Dialog(delivery, lambda who, line: lines.append(f"{who}: {line}"))
    dialog.connected()

    assert dialog.receive_data(b"220 mx.test\r\n") == [b"AUTH PLAIN s3cr3t\r\n"]
    assert lines == ["S: 220 mx.test", "C: AUTH PLAIN ***"]
    assert dialog.stage is Stage.AUTH


def test_publishing_needs_no_receivers() -> None:
    rig = Rig(*TO)
    rig.dialog._trace = None
    rig.connect()
    for turn in ROUTES["in a group"]:
        take(rig, turn)

    assert isinstance(rig.verdict, Accepted)


@EACH_ROUTE
@pytest.mark.parametrize("error", [OSError("no space left"), SystemExit(3)], ids=repr)
def test_a_listener_that_raises_does_not_swallow_the_verdict(
    route: list[Turn], error: BaseException
) -> None:
    def raises(who: str, line: str) -> None:
        raise error

    rig = Rig(*TO, trace=raises).connect()
    for turn in route:
        take(rig, turn)

    assert isinstance(rig.verdict, Accepted)


# Bounds, and defects of ours


def test_the_text_of_all_replies_together_has_a_bound() -> None:
    to = tuple(f"u{number}@d.test" for number in range(200))
    rig = Rig(*to).connect()
    rig.hear(b"220 mx.test\r\n")
    rig.hear(b"250-mx.test\r\n250-LIMITS RCPTMAX=200\r\n250 PIPELINING\r\n")
    rig.hear(b"250 ok\r\n")
    reply = b"250-" + b"x" * 4000 + b"\r\n250 " + b"x" * 4000 + b"\r\n"

    taken = 0
    while rig.verdict is None:
        rig.hear(reply)
        taken += 8000

    failed = failure(rig)
    assert failed.kind is FailureKind.PROTOCOL
    assert "too much text" in failed.detail
    bound = MAX_REPLIES + MAX_REPLIES_EACH * len(to)
    assert bound - 8000 < taken <= bound + 8000
    nothing_more_happens(rig)


def test_long_replies_to_many_recipients_are_within_the_bound() -> None:
    to = tuple(f"u{number}@d.test" for number in range(5000))
    rig = Rig(*to).connect()
    rig.hear(b"220 mx.test\r\n")
    rig.hear(b"250-mx.test\r\n250-LIMITS RCPTMAX=5000\r\n250 PIPELINING\r\n")
    rig.hear(b"250 ok\r\n" + (b"250 " + b"x" * 506 + b"\r\n") * 5000 + b"354 go\r\n")
    assert rig.send_body()
    rig.hear(b"250 taken\r\n")

    assert isinstance(rig.verdict, Accepted)


def test_the_final_reply_counts_even_over_the_bound() -> None:
    rig = rig_at(ROUTES["one by one"], Stage.DOT)
    rig.dialog._reply_bytes = MAX_REPLIES * 2

    rig.hear(b"250 taken\r\n")

    assert isinstance(rig.verdict, Accepted)


def test_the_replies_to_a_group_do_not_copy_the_group_for_each() -> None:
    to = tuple(f"u{number}@d.test" for number in range(5000))
    rig = Rig(*to)
    rig.dialog.cut_every = 0  # a recording takes memory, too
    rig.connect()
    rig.hear(b"220 mx.test\r\n")
    rig.hear(b"250-mx.test\r\n250 PIPELINING\r\n")
    rig.dialog._trace = None
    rig.hear(b"250 ok\r\n")
    tracemalloc.start()
    try:
        for _ in range(50):
            rig.hear(b"250 ok\r\n")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 5000 * 8 // 2


class Broken(CompleteContent):
    """A mail that cannot be rendered, by a defect of ours."""

    def render(self, *, eight_bit: bool, binary: bool = False) -> Rendition:
        raise ZeroDivisionError


def test_an_internal_error_can_be_a_failure() -> None:
    rig = Rig(content=Broken(MAIL)).connect()
    rig.hear(b"220 mx.test\r\n")
    with pytest.raises(ZeroDivisionError):
        rig.dialog.receive_data(b"250 mx.test\r\n")

    rig.perform(rig.dialog.fail(FailureKind.INTERNAL, "defect"))

    assert failure(rig).kind is FailureKind.INTERNAL
    nothing_more_happens(rig)
