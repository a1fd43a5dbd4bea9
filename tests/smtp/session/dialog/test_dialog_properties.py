"""The dialog against a server that says anything: what must hold whatever comes."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from conversations.rig import MAIL, Rig
from hypothesis import event, given, settings
from hypothesis import strategies as st

from pykka_smtp.smtp.mail.mail_data import encode_whole
from pykka_smtp.smtp.words.verdict import Accepted, Failed, FailureKind

DATA = encode_whole(MAIL)

# What the client may say: any beginning of this, and nothing else.
COMMANDS = [
    rb"EHLO c\.test\r\n",
    rb"(?:HELO c\.test\r\n)?",
    rb"MAIL FROM:<a@b\.test>(?: BODY=8BITMIME)?(?: SIZE=[0-9]+)?\r\n",
    rb"RCPT TO:<r0@d\.test>\r\n",
    rb"RCPT TO:<r1@d\.test>\r\n",
    rb"RCPT TO:<r2@d\.test>\r\n",
    rb"DATA\r\n",
    re.escape(DATA) + rb"\.\r\n",
]


def grammar(recipients: int) -> re.Pattern[bytes]:
    """What a client with so many recipients may have said, wherever it stopped."""
    rules = [rule for n, rule in enumerate(COMMANDS) if not 3 + recipients <= n < 6]
    pattern = b""
    for rule in reversed(rules):
        pattern = b"(?:" + rule + pattern + b")?"
    return re.compile(pattern + rb"(?:QUIT\r\n)?")


# What the server does


@dataclass
class Server:
    """Sees what a server sees, and answers as it should."""

    rig: Rig
    heard: int = 0
    greeted: bool = False

    def right_answer(self) -> bytes:
        """The reply to the oldest command that has none."""
        if not self.greeted:
            self.greeted = True
            return b"220 mx.test\r\n"
        if self.rig.dot_out and self.heard <= self.rig.stream.find(b".\r\n" + DATA[-2:]):
            self.heard = len(self.rig.stream)
            return b"250 taken\r\n"
        line, end, _ = bytes(self.rig.stream[self.heard :]).partition(b"\r\n")
        if not end:
            return b""
        self.heard += len(line) + 2
        answers = {b"EHLO": b"250-mx.test\r\n250 PIPELINING\r\n", b"DATA": b"354 go\r\n"}
        return answers.get(line[:4], b"221 bye\r\n" if line == b"QUIT" else b"250 ok\r\n")


@dataclass
class Log:
    """What happened, for the judge: octets of the server, commands, the dot, in this order."""

    events: list[tuple[str, bytes]] = field(default_factory=list)
    written: int = 0

    def server(self, octets: bytes) -> None:
        self.events.append(("S", octets))

    def client(self, rig: Rig) -> None:
        """Note what the client has said since, but for the mail data."""
        new = bytes(rig.stream[self.written :])
        self.written = len(rig.stream)
        if new.endswith(b"\r\n.\r\n"):
            self.events.append(("dot", b""))
        else:
            self.events += [("C", line) for line in new.split(b"\r\n")[:-1]]


# The judge


@dataclass
class Truth:
    """What really happened, found out by reading the log once, slowly."""

    answered: list[tuple[str, int]] = field(default_factory=list)
    is_broken: bool = False
    rest: bytes = b""
    surplus: list[int] = field(default_factory=list)
    early_dot: bool = False

    @property
    def verdict(self) -> int | None:
        """The code of the reply to the dot, if it can be trusted."""
        dots = [code for command, code in self.answered if command == "dot"]
        return dots[0] if dots and not self.early_dot else None

    @property
    def rcpts(self) -> list[int]:
        return [code for command, code in self.answered if command.startswith("RCPT")]

    @property
    def is_accepted(self) -> bool:
        """Whether the server took the mail, and nothing else can have been meant."""
        return (
            self.verdict is not None
            and 200 <= self.verdict <= 299
            and any(200 <= code <= 299 for code in self.rcpts)
        )


LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)


def find_out(log: Log) -> Truth:
    truth = Truth()
    owed = ["greeting"]
    lines: list[bytes] = []
    for kind, octets in log.events:
        if kind == "C":
            owed.append(octets.decode())
        elif kind == "dot":
            owed.append("dot")
            truth.early_dot = bool(truth.rest or lines)
        else:
            *whole, truth.rest = (truth.rest + octets).split(b"\n")
            for line in whole:
                found = LINE.fullmatch(line.removesuffix(b"\r"))
                if found is None or (lines and lines[0] != found[1]):
                    truth.is_broken = True
                    return truth
                lines.append(found[1])
                if found[2] == b"-":
                    continue
                if owed:
                    truth.answered.append((owed.pop(0), int(found[1])))
                else:
                    truth.surplus.append(int(found[1]))
                lines = []
    truth.rest = truth.rest or b"".join(lines)
    return truth


# The play

REPLIES = st.builds(
    lambda code, texts: b"".join(
        b"%d%b%b\r\n" % (code, b" " if n == len(texts) else b"-", text)
        for n, text in enumerate(texts, 1)
    ),
    st.one_of(
        st.sampled_from([220, 221, 250, 251, 354, 421, 450, 500, 502, 550, 552, 554]),
        st.integers(200, 599),
    ),
    st.lists(st.sampled_from([b"", b"ok", b"2.0.0 ok", b"5.7.1 no"]), min_size=1, max_size=3),
)
MOVES = st.one_of(
    *[st.just(("right", b""))] * 6,
    st.tuples(st.just("say"), REPLIES),
    st.tuples(st.just("right and say"), REPLIES),
    st.tuples(st.just("right and say"), st.sampled_from([b"2", b"25", b"421", b"\r\n", b"250-"])),
    st.tuples(st.just("say"), st.binary(max_size=6)),
    st.tuples(st.just("right, but"), st.integers(0, 40).map(lambda n: b"%d" % n)),
    st.tuples(st.just("right, cut at"), st.integers(0, 40).map(lambda n: b"%d" % n)),
    *[st.just(("body", b""))] * 2,
)
RIGHT = ("right", b"")
BODY = ("body", b"")
# First some steps as they should be, or no deviation would ever come late; then anything.
PLAYS = st.builds(
    lambda steps, moves: [move for _ in range(steps) for move in (RIGHT, BODY)] + moves,
    st.integers(0, 9),
    st.lists(MOVES, max_size=12),
)
ENDS: list[Callable[[Rig], None]] = [
    Rig.eof,
    Rig.lose,
    Rig.time_out,
    lambda rig: rig.perform(rig.dialog.cancel()),
    lambda rig: rig.perform(rig.dialog.fail(FailureKind.INTERNAL, "defect")),
]


def pieces_of(move: tuple[str, bytes], server: Server) -> Iterator[bytes]:
    """What the server says in this move."""
    what, given_octets = move
    octets = b"" if what == "say" else server.right_answer()
    if what == "right, but" and octets:
        place = int(given_octets) % len(octets)
        octets = octets[:place] + b"7" + octets[place + 1 :]
    elif what == "right, cut at" and octets:
        place = int(given_octets) % len(octets)
        yield octets[:place]
        octets = octets[place:]
    elif what != "right, but":
        octets += given_octets
    yield octets


def play(recipients: int, moves: list[tuple[str, bytes]], end: int) -> tuple[Rig, Log]:
    rig, log = Rig(*(f"r{n}@d.test" for n in range(recipients))), Log()
    server = Server(rig)
    rig.connect()
    for move in moves:
        if rig.closed:
            break
        if move[0] == "body":
            if rig.body is not None:
                rig.send_body()
                log.client(rig)
            continue
        for octets in pieces_of(move, server):
            if octets and not rig.closed:
                # Where the verdict falls, the judge knows no more than the dialog did.
                log.server(octets)
                rig.hear(octets)
                log.client(rig)
                judge(rig, log)
    judge(rig, log)
    if not rig.closed:
        verdict = rig.verdict
        ENDS[end](rig)
        judge_end(rig, log, was_decided=verdict is not None)
    return rig, log


JUDGED = "_judged"


def judge(rig: Rig, log: Log) -> None:
    """Compare the verdict with the truth, at the moment in which it came."""
    verdict = rig.verdict
    if verdict is None or hasattr(rig, JUDGED):
        return
    setattr(rig, JUDGED, True)
    truth = find_out(log)
    if isinstance(verdict, Accepted):
        assert truth.is_accepted
        assert verdict.reply.code == truth.verdict
        assert not truth.rest
        assert not truth.is_broken
        assert set(truth.surplus) <= {421}
        assert [result.accepted for result in verdict.recipients] == [
            200 <= code <= 299 for code in truth.rcpts
        ]
        return
    certain = truth.verdict is not None and 400 <= truth.verdict <= 599
    assert not truth.is_accepted or truth.surplus or truth.rest or truth.is_broken
    assert verdict.maybe_accepted is (rig.dot_out and not certain)
    assert not any(result.accepted for result in verdict.recipients)
    if certain:
        assert verdict.reply is not None
        assert verdict.reply.code == truth.verdict


def judge_end(rig: Rig, log: Log, *, was_decided: bool) -> None:
    """After an end that no reply announced."""
    truth = find_out(log)
    assert rig.verdict is not None
    assert rig.closed is not None
    if was_decided:
        return
    assert isinstance(rig.verdict, Failed)
    assert rig.verdict.maybe_accepted is rig.dot_out
    # Held back because octets are here that may belong to a second verdict.
    assert truth.verdict is None or truth.rest


@settings(max_examples=400)
@given(st.integers(1, 3), PLAYS, st.integers(0, len(ENDS) - 1))
def test_a_server_that_says_anything_gets_one_verdict_that_is_true(
    recipients: int, moves: list[tuple[str, bytes]], end: int
) -> None:
    rig, log = play(recipients, moves, end)

    verdict = rig.verdict
    assert verdict is not None
    assert rig.dialog.is_over
    assert [result.address for result in verdict.recipients] == [
        f"r{n}@d.test" for n in range(recipients)
    ]
    assert grammar(recipients).fullmatch(bytes(rig.stream)), bytes(rig.stream)
    if isinstance(verdict, Failed):
        assert not (verdict.maybe_accepted and verdict.retryable)
        assert verdict.detail.isprintable()
        event(f"{verdict.kind.name} at {verdict.stage}")
    else:
        event("accepted")
    assert len(log.events) < 200


@given(st.lists(st.binary(max_size=30), max_size=10), st.integers(0, len(ENDS) - 1))
def test_a_server_that_talks_rubbish_gets_one_verdict(pieces: list[bytes], end: int) -> None:
    rig = Rig().connect()
    for piece in pieces:
        if not rig.closed:
            rig.hear(piece)
    if not rig.closed:
        ENDS[end](rig)

    assert isinstance(rig.verdict, Failed)
    assert not rig.verdict.maybe_accepted
    assert not rig.dot_out


@pytest.mark.parametrize("recipients", [1, 2, 3])
def test_a_server_that_keeps_to_the_rules_takes_the_mail(recipients: int) -> None:
    rig, _ = play(recipients, [RIGHT, BODY] * 10, 0)

    assert isinstance(rig.verdict, Accepted)
    assert rig.stream.endswith(b"\r\n.\r\nQUIT\r\n")


# That the judge can find fault


@pytest.mark.parametrize(
    ("events", "accepted"),
    [
        ([("dot", b""), ("S", b"250 ok\r\n")], True),
        ([("dot", b""), ("S", b"251 o"), ("S", b"k\r\n")], True),
        ([("S", b"25"), ("dot", b""), ("S", b"0 ok\r\n")], False),
        ([("S", b"250 ok\r\n"), ("dot", b"")], False),
        ([("dot", b""), ("S", b"354 ok\r\n")], False),
        ([("dot", b""), ("S", b"250-ok\r\n550 no\r\n")], False),
        ([("dot", b""), ("S", b"250 ok")], False),
    ],
)
def test_the_judge_knows_an_accepted_mail(
    events: list[tuple[str, bytes]], *, accepted: bool
) -> None:
    before = [
        ("S", b"220 a\r\n"),
        ("C", b"RCPT TO:<r0@d.test>"),
        ("S", b"250 a\r\n"),
        ("C", b"DATA"),
        ("S", b"354 a\r\n"),
    ]

    assert find_out(Log(before + events)).is_accepted is accepted


@pytest.mark.parametrize(
    "stream",
    [
        b"MAIL FROM:<a@b.test>\r\n",
        b"EHLO c.test\r\nHELO c.test\r\nHELO c.test\r\n",
        b"EHLO c.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<r1@d.test>\r\n",
        b"EHLO c.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<r0@d.test>\r\n.\r\n",
        b"EHLO c.test\r\nQUIT\r\nQUIT\r\n",
        b"EHLO c.test\n",
    ],
)
def test_the_grammar_knows_what_a_client_must_not_say(stream: bytes) -> None:
    assert not grammar(3).fullmatch(stream)
