"""The second target: a whole session against a server that says anything."""

# Invariant: whatever the server says or does, at any moment and in any pieces, and however the
# session is cut short, no dialog in it raises, each ends within a bounded number of steps in
# exactly one verdict, and that is the truth: accepted only if a complete 2yz reply, and nothing
# else, came after the last octet of the mail; maybe_accepted if and only if the mail had gone out
# and no complete verdict came; the same for each recipient. What the client says is always what an
# RFC 5321 server may be told in that place, also in the second mail of a session and in a mail that
# goes out before anybody has said yes; the mail arrives as it was, and no secret shows. A server
# that was found to speak unasked gets no speculative mail, and no session is reused by BDAT.

from collections.abc import Callable, Sequence

from .choices import Choices
from .client import Client
from .judge import judge
from .ledger import Ledger
from .resting import Resting
from .scene import Scene, choose_scene
from .server import Server
from .violation import Hang, UndefinedOutcome, insist

_RIGHT_STEPS = (200, 0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 17, 20, 24, 28, 32, 40)
"""How many steps are as they should be, before anything goes wrong: or nothing would come late."""
_MOST_MOVES = 48
_ENDS = 6

SEEDS: Sequence[bytes] = (
    b"",
    bytes(24),
    bytes([0, 0, 0, 0, 4, 0, 0, 0]),
    bytes([3, 0, 0, 0, 4, 0, 0, 0]),
    bytes([0, 2, 0, 15, 224, 0, 0, 1, 2, 0, 0, 0, 0]),
    bytes([0, 3, 1, 0, 15, 32, 0, 0, 1, 4, 0, 0, 0, 0]),
    bytes([*[0] * 17, 1, 2]),
    bytes([*[0] * 16, 1, *[0] * 6, 1, 2]),
)
"""Inputs to begin with: the plain one, LMTP, recipients, TLS, AUTH, speculative, two mails."""


def run(data: bytes) -> str:
    """Play one session.

    Returns:
        What became of its last mail, in a word or two.
    """
    play = Play(Choices(data))
    play.run()
    return play.ending


class Play:
    """One session, from the connection to the end.

    Attributes:
        scene: what it is about.
        ledger: what was really said.
        client: our side, for the mail under way.
        ending: what became of the last mail that was decided, in a word or two.
    """

    def __init__(self, choices: Choices) -> None:
        self._choices = choices
        self.scene: Scene = choose_scene(choices)
        self.ledger = Ledger(is_lmtp=self.scene.is_lmtp, in_tls=self.scene.is_implicit)
        self._server = Server(self.scene, self.ledger)
        self._clients: list[Client] = []
        self._first = 0  # of the transactions that are about the mail under way
        self._is_judged = False
        self._resting: Resting | None = None  # where the session has been left to another mail
        self.ending = ""
        self._compared = 0  # transactions whose data was looked at
        self._begin_mail()

    @property
    def client(self) -> Client:
        """Our side, for the mail under way."""
        return self._clients[-1]

    @property
    def _is_over(self) -> bool:
        return self.client.is_closed or (self._resting is not None and self._resting.is_over)

    def run(self) -> None:
        """Play it; all that must hold is checked on the way."""
        choices = self._choices
        self.client.connect()
        for _ in range(choices.pick(_RIGHT_STEPS)):
            self._step()
        for _ in range(_MOST_MOVES):
            if choices.is_used_up or self._is_over:
                break
            if self._resting is not None:
                choices.pick(_REST_MOVES)(self)
            else:
                choices.pick(_MOVES if self.client.body is None else _BODY_MOVES)(self)
            self._look()
        if not self._is_over:
            self._end()
            self._look()
        insist(self._is_over, "it does not end", Hang)
        for client in self._clients:
            insist(client.verdict is not None, "no verdict", UndefinedOutcome)
            client.check_silence()
            client.check_secrets()

    def _begin_mail(self) -> None:
        """Make a client for the next mail."""
        mail = self.scene.mails[len(self._clients)]
        session = self.client.session if self._clients else None
        self._clients.append(Client(self.scene, mail, self.ledger, self._choices, session))
        self._first = len(self.ledger.transactions)
        self._is_judged = False
        self.ledger.may_be_speculative = (
            mail.keeps and not self.client.session.quirks.sends_unsolicited
        )

    def _look(self) -> None:
        """Judge the verdict when it comes, and each mail when it has arrived."""
        for transaction in self.ledger.transactions[self._compared :]:
            if transaction.data is not None:
                self._compared += 1
                self._check_mail(transaction.data, transaction.parameters)
        client = self.client
        if client.verdict is not None and not self._is_judged:
            self._is_judged = True
            own = self.ledger.transactions[self._first :]
            ending = judge(self.scene, client.mail, self.ledger, own, client.verdict)
            speculative = (
                "speculative, " if any(transaction.is_speculative for transaction in own) else ""
            )
            kept = "kept, " if len(self._clients) > 1 else ""
            self.ending = f"{kept}{speculative}{ending}"
        if client.is_released and self._resting is None:
            insist(not self.ledger.has_more, "a session is kept in which more was said")
            insist(not self.ledger.owed, "a session is kept in which replies are owed")
            is_odd = client.session.quirks.sends_unsolicited and "CHUNKING" in self.ledger.offers
            insist(not is_odd, "a session is kept with a server that speaks unasked")
            self._resting = Resting(self.ledger)

    def _check_mail(self, data: bytes, parameters: dict[bytes, bytes]) -> None:
        insist(data == self.client.data, "another mail than that which went in")
        declared = parameters.get(b"BODY", b"7BIT")
        insist(data.isascii() or declared != b"7BIT", "8-bit data that was not announced")
        if declared != b"BINARYMIME":
            insist(b"\0" not in data, "a NUL")
            longest = max(map(len, data.split(b"\r\n")))
            insist(longest <= 998, f"a line of {longest} octets")
        size = parameters.get(b"SIZE")
        insist(size is None or int(size) == len(data), "another size than was declared")

    # Moves.

    def _say(self, octets: bytes) -> None:
        """Let the server say this, in pieces, and look at what comes of each."""
        for piece in self._choices.cut(octets, most=2):
            if self.client.is_over:
                return
            if self.client.waits_for != "tls":
                self.ledger.server(piece)
            self.client.hear(piece)
            self._look()

    def _step(self) -> None:
        """Do what should come next."""
        client = self.client
        if client.is_over:
            self._go_on()
        elif client.waits_for == "tls":
            client.start_tls()
        elif client.waits_for == "call":
            client.callable_returned()
        elif client.body is not None:
            client.write_body()
        else:
            self._say(self._server.right())
        self._look()

    def _go_on(self) -> None:
        """Send the next mail on the session that was left to it, or leave it alone."""
        if self._resting is None or self._resting.is_over:
            return
        if len(self._clients) == len(self.scene.mails):
            self._resting.end(0)
            return
        self._resting = None
        self._begin_mail()
        self.client.resume()

    def _right_at_once(self) -> None:
        """Answer all that is owed, in one piece."""
        octets = b""
        owed = list(self.ledger.owed)
        for _ in owed:
            octets += self._server.right()
            if self.ledger.owed:
                self.ledger.owed.rotate(-1)
        self.ledger.owed.clear()
        self.ledger.owed.extend(owed)
        self._say(octets)

    def _right_twice(self) -> None:
        right = self._server.right()
        self._say(right + right)

    def _contradict(self) -> None:
        """Refuse a command of a group, and say yes to all that follow it, the mail included."""
        refusal = self._server.refusal(self._choices)
        octets, owed = b"", list(self.ledger.owed)
        place = self._choices.below(max(1, len(owed)))
        for number in range(len(owed)):
            octets += refusal if number == place else b"250 2.0.0 queued\r\n"
        self._say(octets)

    def _surplus_then_right(self) -> None:
        """Say what comes too late: a second reply to the mail before, then what is right."""
        if len(self._clients) > 1:
            self._say(self._server.other(self._choices))
            self._right_at_once()

    def _pause(self) -> None:
        """Stand still as a whole process, while the server speaks: time is up when we go on.

        What is here by then is heard first.
        """
        octets = b""
        for _ in range(1 + self._choices.below(3)):
            octets += self._server.right() or self._server.other(self._choices)
        if self.client.waits_for or not octets:
            return
        self.ledger.server(octets)
        self.client.hear(octets)
        self._look()
        if not self.client.is_over:
            self.client.end(2 + self._choices.below(2))

    def _right_and_more(self) -> None:
        more = self._server.other(self._choices)
        self._say(self._server.right() + more)

    def _right_and_rubbish(self) -> None:
        rubbish = self._server.rubbish(self._choices)
        self._say(self._server.right() + rubbish)

    def _other(self) -> None:
        self._say(self._server.other(self._choices))

    def _rubbish(self) -> None:
        self._say(self._server.rubbish(self._choices))

    def _twisted(self) -> None:
        self._say(self._server.twisted(self._choices))

    def _half(self) -> None:
        self._say(self._server.half(self._choices))

    def _echo(self) -> None:
        self._say(self._server.echo(self._choices))

    def _swap(self) -> None:
        """Answer the second command before the first."""
        owed = self.ledger.owed
        if len(owed) > 1:
            owed[0], owed[1] = owed[1], owed[0]
            second = self._server.right()
            owed[0], owed[1] = owed[1], owed[0]
            self._say(second)

    def _write_body(self) -> None:
        self.client.write_body()

    def _interrupt(self) -> None:
        """Let what is under way besides the conversation go wrong."""
        if self.client.waits_for == "tls":
            self.client.fail_tls()
        elif self.client.waits_for == "call":
            self.client.fail_call()

    def _end(self) -> None:
        if self._resting is None:
            self.client.end(self._choices.below(_ENDS))
        else:
            self._resting.end(self._choices.below(_ENDS))

    def _speak_to_nobody(self) -> None:
        assert self._resting is not None
        self._resting.hear(self._server.other(self._choices))


_MOVES: Sequence[Callable[[Play], None]] = (
    *[Play._step] * 24,
    *[Play._right_at_once] * 6,
    *[Play._other] * 8,
    *[Play._write_body] * 6,
    *[Play._half] * 3,
    *[Play._twisted] * 3,
    *[Play._rubbish] * 3,
    *[Play._echo] * 3,
    *[Play._right_and_more] * 2,
    *[Play._right_and_rubbish] * 2,
    *[Play._contradict] * 2,
    Play._surplus_then_right,
    Play._pause,
    Play._right_twice,
    Play._swap,
    Play._interrupt,
    Play._end,
)
_REST_MOVES: Sequence[Callable[[Play], None]] = (
    *[Play._step] * 6,
    Play._speak_to_nobody,
    Play._end,
)
"""The moves while nobody uses the session."""
_BODY_MOVES: Sequence[Callable[[Play], None]] = (
    *[Play._write_body] * 7,
    *[Play._half] * 3,
    *[Play._other] * 2,
    *[Play._rubbish] * 2,
    Play._step,
    Play._end,
)
"""The moves while mail data goes out: the dot is where truth is lost."""
