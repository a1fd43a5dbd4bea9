"""The express lane beside the dialog: whatever happens, both say the same.

`Twin` compares them at each event. The other tests of this floor, and the fuzzer, play with twins,
too; here something happens at each octet of the sessions that go all the way.
"""

import datetime as dt
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from conversations.rig import MAIL, SERVER
from servers.effort import times

from fuzz import dialog as fuzzed_dialog
from fuzz.twin import Twin, lanes
from pykka_smtp.smtp.mail.compose import TextEmail
from pykka_smtp.smtp.mail.content import CompleteContent, ComposedContent, Content, StreamedContent
from pykka_smtp.smtp.mail.delivery_options import NO_OPTIONS, DeliveryOptions
from pykka_smtp.smtp.mail.envelope import Envelope
from pykka_smtp.smtp.session.dialog.dialog import Dialog
from pykka_smtp.smtp.session.express_dialog import ExpressDialog, dialog_for
from pykka_smtp.smtp.session.opening.session import Session, TlsPolicy
from pykka_smtp.smtp.session.step import Action, CommandGroup, Release, SendMailData
from pykka_smtp.smtp.session.transaction.delivery import Delivery
from pykka_smtp.smtp.words.extensions import Extensions
from pykka_smtp.smtp.words.quirks import Quirks
from pykka_smtp.smtp.words.reply import Reply
from pykka_smtp.smtp.words.verdict import Accepted, FailureKind

SECRET = "s3cr3t"
LARGE = b"Subject: x\r\n\r\n" + b"y" * 70 + b"\r\n" + (b"z" * 70 + b"\r\n") * 1000


def redact(text: str) -> str:
    return text.replace(SECRET, "***")


@dataclass(frozen=True)
class Case:
    """One email, in a session that goes all the way.

    Attributes:
        is_kept: whether emails went before it in the session.
        keep_open: whether the session is left to another one.
        has_secret: whether the session has credentials.
        is_by_line: whether the server writes each reply on its own.
    """

    offers: tuple[str, ...] = ("PIPELINING", "8BITMIME", "SIZE 1000000")
    recipients: int = 1
    is_kept: bool = False
    keep_open: bool = False
    has_secret: bool = False
    is_by_line: bool = False
    data: bytes = MAIL

    def twin(self, session: Session | None = None) -> Twin:
        paths = [f"r{number}@d.test" for number in range(self.recipients)]
        session = session or Session(server=SERVER, ehlo_name="c.test")
        if self.is_kept:
            session.extensions = Extensions.from_reply(Reply(250, ("mx.test", *self.offers)))
            session.is_open, session.transactions = True, 1
        delivery = Delivery(
            session,
            Envelope.of("a@b.test", paths),
            CompleteContent(self.data),
            keep_open=self.keep_open,
        )
        return Twin(delivery, redact=redact if self.has_secret else None)


CHUNKING = ("PIPELINING", "CHUNKING", "8BITMIME")
CASES = {
    "fresh": Case(),
    "fresh, by BDAT": Case(offers=CHUNKING),
    "fresh, and kept": Case(keep_open=True),
    "fresh, and kept, by BDAT": Case(keep_open=True, offers=CHUNKING),
    "fresh, line by line": Case(recipients=2, is_by_line=True),
    "kept": Case(is_kept=True, keep_open=True),
    "kept, three recipients": Case(is_kept=True, keep_open=True, recipients=3),
    "kept, line by line": Case(is_kept=True, keep_open=True, recipients=2, is_by_line=True),
    "kept, speculative": Case(is_kept=True, keep_open=True, offers=CHUNKING),
    "kept, speculative, line by line": Case(
        is_kept=True, keep_open=True, offers=CHUNKING, recipients=2, is_by_line=True
    ),
    "kept, too large to be speculative": Case(
        is_kept=True, keep_open=True, offers=CHUNKING, data=LARGE
    ),
    "the last of a kept session": Case(is_kept=True),
    "with credentials": Case(is_kept=True, keep_open=True, has_secret=True),
    "with credentials, speculative": Case(
        is_kept=True, keep_open=True, has_secret=True, offers=CHUNKING, recipients=2
    ),
}


class Play:
    """A server that accepts everything, until what is to happen happens.

    Args:
        case: the session.
        at: the octet of the server's before which it happens.
        happens: what; returns whether the session goes on, or what the server says instead of the
            rest of the line.
    """

    def __init__(
        self, case: Case, at: int = -1, happens: Callable[["Play"], bool | bytes] | None = None
    ) -> None:
        self._case = case
        self.dialog = case.twin()
        self._at = at
        self._happens = happens
        self.said = 0
        self.lines: list[int] = []  # the octets at which they begin
        self.actions: list[Action] = []

    def run(self) -> "Play":
        dialog = self.dialog
        if self._case.is_kept:
            self._perform(dialog.start_next())
        else:
            self._perform(dialog.connected())
            self.say(b"220 mx.test ESMTP ready\r\n")
        return self

    def say(self, octets: bytes) -> None:
        if self.dialog.is_over:
            return
        pieces = [octets]
        if self._case.is_by_line and octets[3:4] == b" ":
            pieces = octets.splitlines(keepends=True)
        for piece in pieces:
            self._say(piece)

    def _say(self, octets: bytes) -> None:
        first = self._at - self.said
        for line in octets.splitlines(keepends=True):
            self.lines.append(self.said)
            self.said += len(line)
        if 0 <= first < len(octets) and self._happens is not None:
            happens, self._happens = self._happens, None
            if first:
                self.hear(octets[:first])
            instead = not self.dialog.is_over and happens(self)
            if not instead or self.dialog.is_over:
                return
            octets = octets[first:]
            if isinstance(instead, bytes):
                octets = instead + octets.partition(b"\r\n")[2]
        self.hear(octets)

    def hear(self, octets: bytes) -> None:
        self._perform(self.dialog.receive_data(octets))

    def _perform(self, actions: list[Action]) -> None:
        self.actions += actions
        for action in actions:
            match action:
                case bytes():
                    self._answer(action)
                case CommandGroup():
                    if self.dialog.may_end_mail_data:
                        self.dialog.begin_held()
                        self._answer(action.octets)
                case SendMailData(is_speculative=True):
                    if self.dialog.may_end_mail_data:
                        self.dialog.begin_held()
                        self.dialog.mail_data_sent()
                        self._answer(action.head, b"250 2.0.0 Ok: queued as 4F2\r\n")
                case SendMailData():
                    if self.dialog.may_end_mail_data:
                        self.dialog.mail_data_sent()
                        self.say(b"250 2.0.0 Ok: queued as 4F2\r\n")
                case _:
                    pass

    def _answer(self, commands: bytes, more: bytes = b"") -> None:
        replies = b""
        for line in commands.splitlines():
            match line[:4]:
                case b"EHLO":
                    lines = ["mx.test", *self._case.offers]
                    text = "".join(f"250-{line}\r\n" for line in lines[:-1])
                    replies += f"{text}250 {lines[-1]}\r\n".encode()
                case b"RCPT":
                    replies += b"250 2.1.5 " + line[8:] + b" Ok\r\n"
                case b"DATA":
                    replies += b"354 End data with <CR><LF>.<CR><LF>\r\n"
                case b"QUIT":
                    replies += b"221 2.0.0 Bye\r\n"
                case b"BDAT":
                    pass
                case _:
                    replies += b"250 2.1.0 Ok\r\n"
        if replies + more:
            self.say(replies + more)


def ends(what: Callable[[Twin], list[Action]]) -> Callable[[Play], bool | bytes]:
    def happens(play: Play) -> bool:
        what(play.dialog)
        return False

    return happens


def says(octets: bytes) -> Callable[[Play], bool | bytes]:
    def happens(play: Play) -> bool:
        play.hear(octets)
        return True

    return happens


def instead(octets: bytes) -> Callable[[Play], bool | bytes]:
    return lambda _play: octets


def a_reply_and_half_a_record(play: Play) -> bool:
    play.dialog.has_unread = True
    return True


def half_a_record(play: Play) -> bool:
    play.dialog.has_unread = True
    play.hear(b"")
    play.dialog.has_unread = False
    return True


def half_a_record_and_the_end(play: Play) -> bool:
    play.dialog.has_unread = True
    play.hear(b"")
    play.dialog.receive_eof()
    return False


def becomes_odd(play: Play) -> bool:
    play.dialog.session.quirks.sends_unsolicited = True
    return True


HAPPENINGS: dict[str, Callable[[Play], bool | bytes]] = {
    "a cut": lambda _play: True,
    "EOF": ends(lambda dialog: dialog.receive_eof()),
    "a reset": ends(lambda dialog: dialog.connection_lost("read", 104, "reset by peer")),
    "a timeout": ends(lambda dialog: dialog.timed_out(30.0)),
    "the deadline": ends(lambda dialog: dialog.timed_out(300.0, whole=True)),
    "a cancellation": ends(lambda dialog: dialog.cancel()),
    "an error of ours": ends(lambda dialog: dialog.fail(FailureKind.INTERNAL, "defect")),
    "half a TLS record": half_a_record,
    "half a TLS record, and EOF": half_a_record_and_the_end,
    "a reply, and half a TLS record": a_reply_and_half_a_record,
    "a quirk seen elsewhere": becomes_odd,
    "instead, 251": instead(b"251 2.1.5 forwards\r\n"),
    "instead, 250 alone": instead(b"250\r\n"),
    "instead, 550": instead(b"550 5.1.1 unknown\r\n"),
    "instead, 452": instead(b"452 4.5.3 too many\r\n"),
    "instead, 421": instead(b"421 4.3.2 bye\r\n"),
    "instead, two lines": instead(b"250-a\r\n250 b\r\n"),
    "instead, a long line": instead(b"250 " + b"x" * 5000 + b"\r\n"),
    "instead, a secret": instead(f"250 {SECRET}\r\n".encode()),
    "instead, a contradiction": instead(b"250 5.7.1 rejected\r\n"),
    "instead, one beyond ASCII": instead("250 \u00e4\r\n".encode()),
    "instead, one not to be printed": instead(b"250 a\tb\r\n"),
    "instead, LF alone": instead(b"250 ok\n"),
    "nothing in particular": says(b""),
    "rubbish": says(b"x"),
    "a line end": says(b"\n"),
    "NUL": says(b"\0"),
    "beyond ASCII": says("\u00e4".encode()),
    "no UTF-8": says(b"\xff"),
    "another 250": says(b"250 ok\r\n"),
    "a refusal": says(b"550 5.7.1 no\r\n"),
    "a deferral": says(b"451 4.3.0 later\r\n"),
    "421": says(b"421 bye\r\n"),
    "354": says(b"354 go\r\n"),
    "two lines": says(b"250-a\r\n250 b\r\n"),
    "a long line": says(b"250 " + b"x" * 5000 + b"\r\n"),
    "a secret": says(f"250 {SECRET}\r\n".encode()),
    "a contradiction": says(b"250 5.7.1 rejected\r\n"),
}
FIRST_WORDS = list(HAPPENINGS).index("instead, 251")
"""From here on it is the server that says something; before, it is the network, or time."""


@pytest.mark.parametrize("name", CASES)
def test_a_session_that_is_as_most_are_goes_all_the_way_on_the_express_lane(name: str) -> None:
    play = Play(CASES[name]).run()

    assert isinstance(play.dialog.verdict, Accepted)
    assert type(play.dialog.express) is ExpressDialog
    assert play.dialog.express.is_over
    assert isinstance(play.actions[-1], Release) is CASES[name].keep_open


def octets_of(case: Case) -> int:
    return Play(case).run().said


def at_every(step: int, words_step: int, names: Sequence[str] = tuple(CASES)) -> None:
    """Let each thing happen at so many octets; what the server says, at fewer."""
    for name in names:
        case = CASES[name]
        for number, (what, happens) in enumerate(HAPPENINGS.items()):
            each = step if number < FIRST_WORDS else words_step
            whole = Play(case).run()
            for at in sorted({*range(number % each, whole.said, each), *whole.lines}):
                play = Play(case, at, happens)
                try:
                    play.run()
                    if not play.dialog.is_over:
                        play.dialog.cancel()
                except Exception as error:
                    raise AssertionError(f"{name}: {what} before octet {at}") from error
                assert play.dialog.verdict is not None


def test_whatever_happens_at_some_octets_both_say_the_same() -> None:
    at_every(times(29, thoroughly=13), times(29, thoroughly=13))


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", CASES)
def test_whatever_happens_at_any_octet_both_say_the_same(name: str) -> None:
    at_every(1, times(11, thoroughly=1), [name])


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name].keep_open])
def test_a_second_email_follows_whatever_became_of_the_first(name: str) -> None:
    """The session is as a dialog leaves it."""
    case, followed = CASES[name], 0
    for at in range(octets_of(case)):
        for happens in (HAPPENINGS["a cut"], becomes_odd, half_a_record):
            play = Play(case, at, happens).run()
            if not isinstance(play.actions[-1], Release):
                continue
            second = Play(Case(offers=case.offers, keep_open=True))
            second.dialog = case.twin(play.dialog.session)
            second._perform(second.dialog.start_next())
            assert second.dialog.verdict is not None
            followed += 1
    assert followed >= octets_of(case)  # after a cut always


def test_random_sessions_are_the_same_on_both() -> None:
    random_sessions(times(400, thoroughly=1_000))


@pytest.mark.long
@pytest.mark.timeout(600)
def test_many_random_sessions_are_the_same_on_both() -> None:
    random_sessions(times(3_000, thoroughly=10_000))


def random_sessions(count: int) -> None:
    draw = random.Random(20261201)  # noqa: S311 - tests
    before = lanes.copy()
    for _ in range(count):
        fuzzed_dialog.run(draw.randbytes(draw.randrange(200)))
    assert all(lanes[what] > before[what] for what in ("all the way", "handed over"))


LETTER = TextEmail(
    from_address="a@b.test",
    to=(("C", "c@d.test"),),
    subject="x",
    body="y",
    date=dt.datetime(2024, 2, 29, 12, 0, tzinfo=dt.UTC),
    message_id="<1@b.test>",
)
OPEN = Session(
    server=SERVER,
    ehlo_name="c.test",
    is_open=True,
    extensions=Extensions({"PIPELINING": "", "SIZE": "100"}),
)


@pytest.mark.parametrize(
    ("content", "sender", "is_express"),
    [
        (CompleteContent(MAIL), "a@b.test", True),
        (CompleteContent(MAIL), "<>", True),
        (ComposedContent(LETTER), "a@b.test", False),  # is larger than SIZE allows
        (CompleteContent(b"x" * 99 + b"\r\n"), "a@b.test", False),
        (CompleteContent(b"\0"), "a@b.test", False),
        (CompleteContent(b"\xff"), "a@b.test", False),
        (CompleteContent(b""), "a@b.test", False),
        (CompleteContent(b"x" * 999), "a@b.test", False),
        (CompleteContent(MAIL, needs_smtputf8=True), "a@b.test", False),
        (StreamedContent(None), "a@b.test", False),
        (CompleteContent(MAIL), "\u00fc@b.test", False),
    ],
)
def test_what_a_server_may_not_take_is_left_to_the_dialog(
    content: Content, sender: str, is_express: bool
) -> None:
    twin = Twin(Delivery(OPEN, Envelope.of(sender, "c@d.test"), content, keep_open=True))

    twin.start_next()

    assert (type(twin.express) is ExpressDialog) is is_express


@pytest.mark.parametrize(
    "changes",
    [
        {"is_lmtp": True},
        {"needs_reset": True},
        {"use_ehlo": False, "is_open": False},
    ],
)
def test_an_odd_session_does_not_begin_on_the_express_lane(changes: dict[str, object]) -> None:
    session = Session(server=SERVER, ehlo_name="c.test", is_open=True, extensions=OPEN.extensions)
    for name, value in changes.items():
        setattr(session, name, value)

    assert type(dialog_of(session)) is Dialog


@pytest.mark.parametrize("name", ["sends_unsolicited", "rejects_bdat", "closes_without_reply"])
def test_a_server_with_a_fault_is_left_to_the_dialog(name: str) -> None:
    session = Session(server=SERVER, ehlo_name="c.test", is_open=True, extensions=OPEN.extensions)
    session.quirks = Quirks(**{name: True})
    lane = dialog_of(session)

    lane.start_next()

    assert type(lane) is Dialog


def dialog_of(session: Session, options: DeliveryOptions = NO_OPTIONS) -> Dialog:
    envelope = Envelope.of("a@b.test", "c@d.test", options)
    return dialog_for(session, envelope, CompleteContent(MAIL), True, None, None)


def test_an_email_with_options_or_a_transcript_does_not_begin_on_the_express_lane() -> None:
    envelope = Envelope.of("a@b.test", "c@d.test")

    traced = dialog_for(OPEN, envelope, CompleteContent(MAIL), True, lambda *_: None, None)

    assert type(traced) is Dialog
    assert type(dialog_of(OPEN, DeliveryOptions(priority=1))) is Dialog
    assert type(dialog_of(OPEN)) is ExpressDialog


@pytest.mark.parametrize("policy", TlsPolicy)
def test_a_session_that_is_to_have_tls_is_left_to_the_dialog(policy: TlsPolicy) -> None:
    for offers in (("PIPELINING",), ("PIPELINING", "STARTTLS")):
        session = Session(server=SERVER, ehlo_name="c.test", tls_policy=policy)
        twin = Case(offers=offers).twin(session)
        twin.connected()
        twin.receive_data(b"220 mx.test\r\n")
        twin.receive_data(f"250-mx.test\r\n250-{offers[0]}\r\n250 {offers[-1]}\r\n".encode())

        goes_on = policy is TlsPolicy.OFF or (
            policy is not TlsPolicy.REQUIRED and "STARTTLS" not in offers
        )
        assert (type(twin.express) is ExpressDialog) is goes_on


def test_after_an_error_in_the_middle_of_handing_over_it_is_handed_over_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The session is not touched before all is repeated: it would be repeated differently."""
    lane = dialog_of(Session(server=SERVER, ehlo_name="c.test"))
    lane.connected()
    lane.receive_data(b"220 mx.test\r\n")
    lane.receive_data(b"250-mx.test\r\n250 PIPELINING\r\n")
    lane.receive_data(b"250 ok\r\n250 ok\r\n354 go\r\n")
    lane.mail_data_sent()

    def fails(_self: Dialog, _data: bytes) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(Dialog, "receive_data", fails)
        with pytest.raises(ZeroDivisionError):
            lane.receive_eof()
    assert type(lane) is ExpressDialog
    actions = lane.receive_eof()

    assert type(lane) is Dialog
    assert getattr(actions[0], "maybe_accepted", None) is True


@pytest.mark.parametrize("offers", [("PIPELINING",), CHUNKING])
def test_half_a_record_that_came_before_all_was_out_is_no_final_reply(
    offers: tuple[str, ...],
) -> None:
    twin = Case(is_kept=True, keep_open=True, offers=offers).twin()
    twin.start_next()
    if twin.held is None:
        twin.receive_data(b"250 ok\r\n250 ok\r\n354 go\r\n")
    else:
        twin.begin_held()

    twin.has_unread = True
    twin.mail_data_sent()
    twin.has_unread = False
    twin.receive_data(b"250 ok\r\n")

    assert type(twin.express) is Dialog
    assert not isinstance(twin.verdict, Accepted)
