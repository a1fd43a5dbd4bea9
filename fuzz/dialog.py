"""The second target: a whole session against a server that says anything."""

# Invariant: whatever the server says or does, at any moment and in any pieces, and however the
# session is cut short, the dialog never raises, ends within a bounded number of steps in exactly
# one verdict, and that is the truth: accepted only if a complete 2yz reply, and nothing else, came
# after the last octet of the mail; maybe_accepted if and only if the mail had gone out and no
# complete verdict came; the same for each recipient. What the client says is always what an
# RFC 5321 server may be told in that place, the mail arrives as it was, and no secret shows.

from collections.abc import Callable, Sequence

from .choices import Choices
from .client import Client
from .judge import judge
from .ledger import Ledger
from .scene import Scene, choose_scene
from .server import Server
from .violation import Hang, UndefinedOutcome, insist

_RIGHT_STEPS = (60, 0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14)
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
)
"""Inputs to begin with: the plain session, LMTP, several recipients, TLS, AUTH."""


def run(data: bytes) -> str:
    """Play one session.

    Returns:
        What became of the mail, in a word or two.
    """
    play = Play(Choices(data))
    play.run()
    return play.ending


class Play:
    """One session, from the connection to the end.

    Attributes:
        scene: what it is about.
        ledger: what was really said.
        client: our side.
        ending: what became of the mail, in a word or two.
    """

    def __init__(self, choices: Choices) -> None:
        self._choices = choices
        self.scene: Scene = choose_scene(choices)
        self.ledger = Ledger(is_lmtp=self.scene.is_lmtp, in_tls=self.scene.is_implicit)
        self.client = Client(self.scene, self.ledger, choices)
        self._server = Server(self.scene, self.ledger)
        self.ending = ""
        self._compared = 0  # transactions whose data was looked at

    def run(self) -> None:
        """Play it; all that must hold is checked on the way."""
        choices, client = self._choices, self.client
        client.connect()
        for _ in range(choices.pick(_RIGHT_STEPS)):
            self._step()
        for _ in range(_MOST_MOVES):
            if choices.is_used_up or client.is_closed:
                break
            choices.pick(_MOVES if client.body is None else _BODY_MOVES)(self)
            self._look()
        if not client.is_closed:
            client.end(choices.below(_ENDS))
            self._look()
        insist(client.is_closed, "it does not end", Hang)
        insist(client.verdict is not None, "no verdict", UndefinedOutcome)
        client.check_silence()
        client.check_secrets()

    def _look(self) -> None:
        """Judge the verdict when it comes, and each mail when it has arrived."""
        for transaction in self.ledger.transactions[self._compared :]:
            if transaction.data is not None:
                self._compared += 1
                self._check_mail(transaction.data, transaction.parameters)
        if self.client.verdict is not None and not self.ending:
            self.ending = judge(self.scene, self.ledger, self.client.verdict)

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
            if self.client.is_closed:
                return
            if self.client.waits_for != "tls":
                self.ledger.server(piece)
            self.client.hear(piece)
            self._look()

    def _step(self) -> None:
        """Do what should come next."""
        client = self.client
        if client.is_closed:
            return
        if client.waits_for == "tls":
            client.start_tls()
        elif client.waits_for == "call":
            client.supply()
        elif client.body is not None:
            client.write_body()
        else:
            self._say(self._server.right())
        self._look()

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
        self.client.end(self._choices.below(_ENDS))


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
    Play._right_twice,
    Play._swap,
    Play._interrupt,
    Play._end,
)
_BODY_MOVES: Sequence[Callable[[Play], None]] = (
    *[Play._write_body] * 7,
    *[Play._half] * 3,
    *[Play._other] * 2,
    *[Play._rubbish] * 2,
    Play._step,
    Play._end,
)
"""The moves while mail data goes out: the dot is where truth is lost."""
