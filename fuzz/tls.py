"""The third target: the connection itself, with TLS and without, on a network that is slow."""

# Invariant: whatever the server says or does, under TLS or in clear, however its records are cut,
# and however few octets the system takes at a time, the connection ends within its time, after
# exactly one verdict on each mail, and that is the truth: accepted only if a complete 2yz reply,
# and nothing else, began after the last octet of the mail had left the transport; maybe_accepted if
# and only if it had left and no complete verdict came; the same for each recipient. Half a record,
# or what lies unread in the socket, may be the beginning of a reply. Of a mail that was called not
# sent, nothing goes out any more that could complete it.

import contextlib
import errno
import functools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pykka_smtp.actors import event_loop, mail_source, wire
from pykka_smtp.actors.connection import Connection
from pykka_smtp.actors.options import Options, collect_options
from pykka_smtp.actors.tls import Tls, open_channel, remember_session
from pykka_smtp.smtp.delivery import Delivery
from pykka_smtp.smtp.dialog import Dialog
from pykka_smtp.smtp.session import Session
from pykka_smtp.smtp.verdict import Failed, FailureKind, Verdict

from .choices import Choices
from .judge import judge
from .ledger import Ledger
from .network import Line, Loop, Transport
from .scene import Mail
from .server import Server
from .tls_scene import TIMEOUT, TlsScene, choose_scene
from .tls_server import NAME, Hesitant, TlsServer, contexts
from .violation import Hang, UndefinedOutcome, Violation, insist

_PIECE = 4096
"""Octets that are written at a time: few, so that a mail of many pieces is soon out."""
_MOST_MOVES = 40
_MOST_STEPS = 2000
_READ = 65_536
_YES, _NO = b"250 2.0.0 ok\r\n", b"554 5.7.1 no\r\n"


def run(data: bytes) -> str:
    """Play one session.

    Returns:
        What became of its last mail, in a word or two.
    """
    choices = Choices(data)
    scene = choose_scene(choices)
    loop = Loop(is_selector=scene.is_selector)
    with _in_place_of_the_real(loop), contextlib.closing(Play(scene, choices, loop)) as play:
        play.run()
    return play.ending


@contextlib.contextmanager
def _in_place_of_the_real(loop: Loop) -> Iterator[None]:
    """Have all connections live on this loop, and write mails in small pieces."""
    real, modules = event_loop._thread, (vars(wire), vars(mail_source))
    pieces = [module["PIECE"] for module in modules]
    event_loop._thread = cast("Any", loop)
    for module in modules:
        module["PIECE"] = _PIECE
    Hesitant.waits = False
    try:
        yield
    finally:
        event_loop._thread = real
        for module, piece in zip(modules, pieces, strict=True):
            module["PIECE"] = piece
        Hesitant.waits = False


@functools.cache
def _options(way: str, kind: str) -> Options:
    context = None if way == "off" else contexts(kind).client
    options = collect_options(
        NAME, 25, tls=way, tls_context=context, timeout=TIMEOUT, deadline=20.0
    )
    if options.tls is not None:
        _begin_session(options.tls, kind)
    return options


def _begin_session(tls: Tls, kind: str) -> None:
    """Have a TLS session that can be taken up again: or the first input would go another way."""
    channel, server = open_channel(tls), TlsServer(contexts(kind).server)
    octets = channel.begin()
    while octets:
        server.receive(octets)
        channel.receive(server.take())
        octets = channel.take()
    remember_session(tls, channel)


@dataclass(slots=True)
class Arrival:
    """Octets that have come from the server, and that the client has not read to their end.

    Attributes:
        left: how many are left.
        text: what they say, once they are complete; in clear, what is left of it.
        size: how many there were: the length of the record, or 0 in clear.
        is_last: whether nothing that follows can be read: an alert, or a record that is damaged.
        is_noise: whether it is no TLS, where TLS should be.
    """

    left: int
    text: bytes = b""
    size: int = 0
    is_last: bool = False
    is_noise: bool = False


class FuzzedConnection(Connection):
    """A connection that says how much it reads."""

    def __init__(self, options: Options, note: Callable[[int], None]) -> None:
        super().__init__(options)
        self._note = note

    def data_received(self, data: bytes) -> None:
        """Note how much it is, first of all."""
        self._note(len(data))
        super().data_received(data)


class Play:
    """One session, from the connection to the end; also who owns the connection.

    Attributes:
        ending: what became of the last mail that was decided, in a word or two.
    """

    def __init__(self, scene: TlsScene, choices: Choices, loop: Loop) -> None:
        self._choices = choices
        self._scene = scene
        self._loop = loop
        self._ledger = Ledger(is_lmtp=scene.is_lmtp, in_tls=scene.way == "implicit")
        self._server = Server(scene.as_scene(), self._ledger)
        self._line = Line(self._hear_client)
        self._tls: TlsServer | None = None
        self._flights: list[bytes] = []  # what TLS itself has to say
        self._arrived: deque[Arrival] = deque()
        self._has_noise = False  # the client has met what is no TLS
        self._is_deaf = False  # the client can read nothing any more
        self._has_ended = False  # the server has sent FIN
        self._may_cut = False
        self._session = self._new_session()
        self._mails = 0
        self._first = 0  # of the transactions that are about the mail under way
        self._verdict: Verdict | None = None
        self._complete = 0  # transactions that had come whole when the verdict came
        self._is_closed = self._is_released = False
        self._found: Violation | None = None
        self.ending = ""
        self._connection = FuzzedConnection(
            _options(scene.way, scene.kind), self._guarded(self._note_read)
        )
        self._transport = Transport(loop, self._line, self._connection)

    def close(self) -> None:
        """Let go of the sockets, and of what was to be run."""
        self._line.close()
        self._loop.close()

    def run(self) -> None:
        """Play it; all that must hold is checked on the way."""
        choices = self._choices
        self._begin_mail()
        self._connection.connection_made(cast("Any", self._transport))
        self._loop.turn()
        self._look()
        reached = choices.pick(_PLACES)
        for _ in range(_MOST_STEPS):
            if self._is_closed or reached(self):
                break
            self._step()
        self._may_cut = True
        for _ in range(_MOST_MOVES):
            if choices.is_used_up or self._is_closed:
                break
            self._after(choices.pick(_REST_MOVES if self._is_released else _MOVES))
        self._may_cut = False
        for number in range(_MOST_STEPS):
            if self._is_closed:
                break
            self._step()
            if number > _MOST_STEPS // 2:
                self._after(Play._tick)  # a server that goes on for ever
        insist(self._is_closed, "it does not end", Hang)
        insist(self._verdict is not None, "no verdict", UndefinedOutcome)

    # What the connection tells its owner.

    def connected(self) -> None:
        """It stands."""

    def decided(self, verdict: Verdict) -> None:
        """Judge the verdict."""
        self._guarded(self._judge)(verdict)

    def released(self) -> None:
        """The connection may serve another mail."""
        self._guarded(self._release)()

    def _release(self) -> None:
        self._is_released = True
        self._connection.rest(self)
        insist(not self._ledger.has_more, "a session is kept in which more was said")
        insist(not self._ledger.owed, "a session is kept in which replies are owed")

    def closed(self) -> None:
        """The connection is gone."""
        if self._is_closed:
            self._found = self._found or UndefinedOutcome("closed twice")
        self._is_closed = True

    def _judge(self, verdict: Verdict) -> None:
        insist(self._verdict is None, "a second verdict", UndefinedOutcome)
        self._verdict = verdict
        detail = getattr(verdict, "detail", "")
        is_ours = isinstance(verdict, Failed) and verdict.kind is FailureKind.INTERNAL
        insist(not is_ours, f"a defect of ours: {detail}", UndefinedOutcome)
        own = self._ledger.transactions[self._first :]
        self._complete = sum(transaction.data is not None for transaction in own)
        ending = judge(self._scene.as_scene(), self._mail, self._ledger, own, verdict)
        way = "in clear" if self._tls is None else "TLS"
        bold = "bold, " if any(transaction.is_bold for transaction in own) else ""
        kept = "kept, " if self._mails > 1 else ""
        self.ending = f"{way}: {kept}{bold}{ending}"

    def _guarded(self, function: Callable[..., None]) -> Callable[..., None]:
        """Keep what is found from the connection, which would end on it as on a defect."""

        def guarded(*args: Any) -> None:
            try:
                function(*args)
            except Violation as violation:
                self._found = self._found or violation

        return guarded

    # Mails.

    @property
    def _is_data_owed(self) -> bool:
        """Whether the reply is due after which the mail goes out."""
        return [item.verb for item in self._ledger.owed] == ["DATA"]

    @property
    def _mail(self) -> Mail:
        return self._scene.mails[self._mails - 1]

    def _new_session(self) -> Session:
        scene = self._scene.as_scene()
        return Session(
            server=f"{NAME}:25", ehlo_name="c.test", is_lmtp=scene.is_lmtp, tls_policy=scene.tls
        )

    def _begin_mail(self) -> None:
        """Give the connection the next mail."""
        mail = self._scene.mails[self._mails]
        self._mails += 1
        self._verdict, self._is_released = None, False
        self._first = len(self._ledger.transactions)
        self._ledger.may_be_bold = mail.keeps and not self._session.quirks.speaks_unasked
        source = mail.open_source(is_seekable=True) if mail.piece else None
        dialog = Dialog(Delivery(self._session, mail.envelope, mail.content, keeps=mail.keeps))
        self._connection.run(self, dialog, source=source)

    def _go_on(self) -> None:
        """Send the next mail in this session, or end it, as a Mailer would."""
        connection, is_last = self._connection, self._mails == len(self._scene.mails)
        if not is_last and connection.is_usable:
            self._begin_mail()
        else:
            self._is_released = False
            connection.discard()

    # What goes from one side to the other.

    def _hear_client(self, octets: bytes) -> None:
        self._guarded(self._hear)(octets)

    def _hear(self, octets: bytes) -> None:
        """These have left the client."""
        ledger = self._ledger
        if self._tls is None and self._is_tls_due and octets[:1] == b"\x16":
            self._tls = TlsServer(contexts(self._scene.kind).server)
        text, tls = octets, self._tls
        if tls is not None:
            was_up = tls.is_up
            text = b"" if tls.is_broken else tls.receive(octets)
            if tls.is_up and not was_up and not ledger.in_tls:
                ledger.start_tls()
            if flight := tls.take():
                self._flights.append(flight)
        if not text:
            return
        before = [t for t in ledger.transactions if t.data is not None]
        ledger.client(text)
        # What is here, and can't have been read before this left, was said before it came. Not so
        # for a bold mail, which is owed replies before its end.
        for transaction in ledger.transactions if self._line.waiting else ():
            if transaction.data is not None and transaction not in before:
                transaction.too_early = transaction.too_early or not transaction.is_bold

    @property
    def _is_tls_due(self) -> bool:
        return self._ledger.tls_agreed or self._scene.way == "implicit"

    def _note_read(self, count: int) -> None:
        """The client reads so many octets."""
        ledger = self._ledger
        self._line.waiting -= count
        while count:
            here = self._arrived[0]
            step = min(count, here.left)
            count -= step
            here.left -= step
            if here.is_noise:
                self._is_deaf = self._has_noise = ledger.has_unread = True
            elif not here.size:
                text, here.text = here.text[:step], here.text[step:]
                ledger.server(text)
            else:
                ledger.has_unread = self._has_noise or bool(here.left)
                if not (here.left or self._is_deaf):
                    ledger.server(here.text)
                    self._is_deaf = here.is_last
            if not here.left:
                self._arrived.popleft()

    def _put(self, *arrivals: tuple[bytes, Arrival]) -> None:
        """Let octets come, and the client read them, cut anywhere."""
        octets = b"".join(piece for piece, _ in arrivals)
        if not octets or self._has_ended or self._line.is_reset or self._transport.is_closing():
            return
        self._arrived.extend(arrival for _, arrival in arrivals)
        how = self._choices.below(8) if self._may_cut else 0
        pieces = self._choices.cut(octets, most=2) if self._may_cut else [octets]
        if how >= 6:
            self._line.put(octets)
            if how == 7 and self._ledger._data is not None:
                return  # it is read later
            for piece in pieces:
                self._read(len(piece))
                self._let_commands_leave()
            return
        for number, piece in enumerate(pieces):
            if number and self._choices.one_in(3):
                self._drain()
            self._line.put(piece)
            self._read()
            self._let_commands_leave()

    def _read(self, most: int = _READ) -> None:
        """The client's loop reads what has come."""
        if self._transport.is_closing():
            return
        if self._ledger.offers or self._ledger.transactions:
            self._line.room = self._scene.portion  # all that comes before a mail is small
        try:
            data = self._line.read(most)
        except BlockingIOError:
            return
        if data:
            self._connection.data_received(data)
        else:
            self._connection.eof_received()
            self._transport.close()
        self._loop.turn()

    def _read_all(self) -> None:
        while self._line.waiting and not self._transport.is_closing():
            self._read()

    def _drain(self) -> None:
        """The system takes some more of what the client has written.

        What has come by then is read before the end of a mail leaves: which of the two was first is
        the system's secret.
        """
        if self._connection._dot_written:
            self._read_all()
        if self._scene.portion is not None:
            self._line.room = self._scene.portion
        self._transport.writable()

    def _is_amid_commands(self) -> bool:
        """Whether commands wait to leave.

        They fit into any system's buffers, but under TLS perhaps not alone: a server that answers
        commands which it has not got yet is not at issue here.
        """
        waits = self._transport.get_write_buffer_size() > 0 or Hesitant.waits
        return waits and self._ledger._data is None

    def _let_commands_leave(self) -> None:
        for _ in range(_MOST_STEPS):
            if not self._is_amid_commands() or Hesitant.waits:
                break
            self._drain()
            self._loop.turn()

    def _say(self, octets: bytes) -> None:
        """Let the server say this, or something like it where TLS should begin."""
        tls = self._tls
        if self._is_amid_commands():
            self._drain()
            return
        if tls is None and not self._is_tls_due:
            self._put((octets, Arrival(len(octets), octets)))
        elif tls is None or not tls.is_up:
            self._put((octets, Arrival(len(octets), is_noise=True)))
        elif tls.may_write:
            parts = self._choices.cut(octets, most=1) if self._may_cut else [octets]
            self._put_records(*((tls.seal(part), part) for part in parts if part))

    def _put_records(self, *records: tuple[bytes, bytes], is_last: bool = False) -> None:
        """Let records come: each with the text in it."""
        self._put(*((r, Arrival(len(r), text, len(r), is_last)) for r, text in records if r))

    # Moves.

    def _after(self, move: Callable[["Play"], None]) -> None:
        """Make a move, and see what the client does."""
        move(self)
        self._loop.turn()
        self._look()

    def _look(self) -> None:
        if self._found is not None:
            raise self._found
        if isinstance(self._verdict, Failed):
            own = self._ledger.transactions[self._first :]
            complete = sum(transaction.data is not None for transaction in own)
            insist(complete == self._complete, "a mail goes out after its end", UndefinedOutcome)

    def _step(self) -> None:
        """Do what should come next."""
        self._after(Play._right)

    def _right(self) -> None:
        if self._line.is_reset:
            self._reset()
        elif self._line.waiting or (self._has_ended and not self._transport.is_closing()):
            self._read()
        elif self._transport.get_write_buffer_size():
            self._drain()
        elif Hesitant.waits:
            self._go_on_with_tls()
        elif self._flights:
            self._put_flight()
        elif self._is_released:
            self._go_on()
        elif self._ledger.has_quit and not self._ledger.owed:
            self._take_leave()
        elif self._ledger.owed and (self._tls is None or self._tls.is_up):
            self._say(self._server.right())
        else:
            self._tick()

    def _put_flight(self) -> None:
        """Let what TLS itself has to say come: a part of a handshake, session tickets."""
        if self._flights:
            self._put_records((self._flights.pop(0), b""))

    def _ask(self) -> None:
        """Ask for the client's certificate, amid whatever is under way; tickets follow."""
        tls = self._tls
        if tls is not None and tls.may_write and contexts(self._scene.kind).asks:
            self._flush_flights()
            self._put_records((tls.ask(), b""))

    def _flush_flights(self) -> None:
        while self._flights:  # records come in the order in which they were sealed
            self._put_flight()

    def _hesitate(self) -> None:
        """Have the client's TLS wait for the server, with whatever is to be written."""
        if self._tls is not None and self._tls.is_up and contexts(self._scene.kind).asks:
            Hesitant.waits = True

    def _go_on_with_tls(self) -> None:
        Hesitant.waits = False
        self._ask()

    def _other(self) -> None:
        self._say_in_order(self._server.other(self._choices))

    def _right_and_more(self) -> None:
        more = self._server.other(self._choices)
        self._say_in_order(self._server.right() + more)

    def _sealed(self, octets: bytes) -> tuple[bytes, Arrival] | None:
        """What comes if the server says this, where it can say anything that is understood."""
        tls = self._tls
        if self._has_ended or self._line.is_reset or self._transport.is_closing() or not octets:
            return None
        if tls is None:
            return None if self._is_tls_due else (octets, Arrival(len(octets), octets))
        self._flush_flights()
        if not tls.may_write or self._transport.is_closing() or self._has_ended:
            return None
        sealed = tls.seal(octets)
        return (sealed, Arrival(len(sealed), octets, len(sealed))) if sealed else None

    def _two(self) -> None:
        """Say that the mail may come, and more; the client reads the one, and a part of the other.

        So the end of the mail may be due with an early reply in the socket, or half of it here.
        """
        if self._is_amid_commands():
            return
        first = self._sealed(self._server.right()) if self._is_data_owed else None
        if first is None:
            return
        second = self._sealed(_YES if self._choices.one_in(2) else _NO)
        assert second is not None
        self._arrived.extend((first[1], second[1]))
        self._line.put(first[0] + second[0])
        self._read(len(first[0]) + self._choices.pick((0, 1, 4, 12, 30, 0)))
        self._look()
        if self._choices.one_in(2):
            self._drain_all()

    def _half_then_out(self) -> None:
        """Let half of a reply come, then all leave that is written, then the rest come."""
        if self._is_amid_commands():
            return
        sealed = self._sealed(self._server.right() or _YES)
        if sealed is None:
            return
        octets, arrival = sealed
        cut = 1 + self._choices.below(max(1, min(256, len(octets) - 1)))
        self._arrived.append(arrival)
        self._line.put(octets[:cut])
        self._read_all()
        self._drain_all()
        self._line.put(octets[cut:])
        if self._choices.one_in(4):
            self._right_and_reset()
        self._read_all()

    def _early(self) -> None:
        """Say yes or no to a mail that is on its way, then let it leave."""
        self._say_in_order(self._choices.pick((_YES, _NO, _YES + _YES)))
        self._loop.turn()
        self._drain_all()

    def _right_and_reset(self) -> None:
        """Say what is right, and reset: the client may read the one before it meets the other."""
        sealed = None if self._is_amid_commands() else self._sealed(self._server.right())
        if sealed is not None:
            self._arrived.append(sealed[1])
            self._line.put(sealed[0])
        self._reset()

    def _drain_all(self) -> None:
        for _ in range(_MOST_STEPS):
            if not self._transport.get_write_buffer_size():
                break
            self._drain()
            self._loop.turn()

    def _half(self) -> None:
        self._say_in_order(self._server.half(self._choices))

    def _rubbish(self) -> None:
        self._say_in_order(self._server.rubbish(self._choices))

    def _twisted(self) -> None:
        self._say_in_order(self._server.twisted(self._choices))

    def _say_right(self) -> None:
        self._say_in_order(self._server.right())

    def _say_in_order(self, octets: bytes) -> None:
        self._flush_flights()
        self._say(octets)

    def _damage(self) -> None:
        """Let a record come that is not as it was sealed."""
        tls = self._tls
        if tls is None or not tls.may_write:
            return
        self._flush_flights()
        record = bytearray(tls.seal(b"250 2.0.0 ok\r\n"))
        if not record:
            return
        record[5 + self._choices.below(len(record) - 5)] ^= 1
        self._put_records((bytes(record), b""), is_last=True)

    def _noise(self) -> None:
        """Let clear text come where TLS is."""
        if self._tls is not None:
            octets = self._server.rubbish(self._choices)
            self._put((octets, Arrival(len(octets), is_noise=True)))

    def _alert(self) -> None:
        """Let the server end TLS by an alert. It can't read what the client writes from then on."""
        tls = self._tls
        if tls is None or tls.is_broken:
            return
        self._flush_flights()
        self._may_cut, may_cut = False, self._may_cut
        self._put_records((tls.alert(), b""), is_last=True)
        self._may_cut = may_cut

    def _take_leave(self) -> None:
        """Let the server say that it says no more, and close."""
        tls = self._tls
        if tls is not None and tls.may_write and not self._has_ended:
            self._flush_flights()
            self._put_records((tls.farewell(), b""), is_last=True)
            if self._choices.one_in(4):
                return
        self._end()

    def _end(self) -> None:
        """Let FIN come."""
        if not (self._has_ended or self._line.is_reset):
            self._has_ended = True
            self._line.put_end()
            if not self._choices.one_in(3):
                while not self._transport.is_closing():
                    self._read()

    def _reset(self) -> None:
        """Let RST come: the client's loop reads what is here, or finds out as it writes."""
        self._line.is_reset = True
        match self._choices.below(3):
            case 0:
                self._read_all()
            case 1:
                pass
            case _:
                return  # whoever writes next finds out
        if not self._transport.is_closing():
            error = ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
            self._transport.break_off(error)

    def _tick(self) -> None:
        self._loop.advance()

    def _wait(self) -> None:
        """Let all the time go by that a step may take."""
        for _ in range(8):
            self._loop.advance()
            self._loop.turn()

    def _stall(self) -> None:
        """Stand still as a whole process, while the server speaks: the clock is looked at first."""
        tls, line = self._tls, self._line
        octets = self._server.right() or self._server.other(self._choices)
        is_clear = tls is None and not self._is_tls_due
        may_speak = is_clear or (tls is not None and tls.may_write and not self._flights)
        has_buffered = self._transport.get_write_buffer_size() > 0
        if may_speak and not (has_buffered or self._has_ended or line.is_reset or line.waiting):
            sealed = octets if tls is None else tls.seal(octets)
            size = 0 if tls is None else len(sealed)
            if sealed:
                self._arrived.append(Arrival(len(sealed), octets, size))
                line.put(sealed)
        self._loop.advance(10.0)

    def _cancel(self) -> None:
        self._connection.cancel()


_PLACES: Sequence[Callable[[Play], bool]] = (
    *[lambda play: play._connection._dot_written] * 4,
    *[lambda play: play._is_data_owed] * 3,
    *[lambda play: play._ledger._data is not None] * 2,
    lambda play: play._connection._dot_written and play._mails == len(play._scene.mails),
    lambda play: play._is_data_owed and play._mails == len(play._scene.mails),
    lambda play: any(t.data is not None for t in play._ledger.transactions),
    lambda _play: False,  # all of it
    lambda play: play._verdict is not None,
    lambda play: bool(play._ledger.transactions),
    lambda play: play._ledger.in_tls and play._tls is not None,
    lambda play: play._tls is not None,
    lambda _play: True,  # nothing
    lambda play: play._is_released,
    lambda play: play._mails > 1,
)
"""How far all is as it should be, before anything goes wrong: or nothing would come late."""
_MOVES: Sequence[Callable[[Play], None]] = (
    *[Play._right] * 8,
    *[Play._drain] * 5,
    *[Play._two] * 6,
    *[Play._half_then_out] * 6,
    *[Play._early] * 4,
    *[Play._right_and_reset] * 4,
    *[Play._other] * 4,
    *[Play._half] * 3,
    *[Play._say_right] * 3,
    *[Play._ask] * 4,
    *[Play._put_flight] * 2,
    *[Play._read] * 3,
    *[Play._right_and_more] * 3,
    *[Play._reset] * 2,
    *[Play._end] * 2,
    *[Play._hesitate] * 2,
    Play._rubbish,
    Play._twisted,
    Play._damage,
    Play._noise,
    Play._alert,
    Play._take_leave,
    Play._go_on_with_tls,
    Play._tick,
    Play._wait,
    Play._stall,
    Play._cancel,
)
_REST_MOVES: Sequence[Callable[[Play], None]] = (
    *[Play._right] * 6,
    *(Play._ask, Play._put_flight, Play._read, Play._drain, Play._other, Play._tick),
    *(Play._end, Play._reset, Play._take_leave),
)
"""The moves while nobody uses the session."""

_AT_THE_END = (Play._two, Play._half_then_out, Play._early, Play._right_and_reset)
_AT = (0, 4)  # places: the end of the mail is written; it is about to be
SEEDS: Sequence[bytes] = (
    *(b"", bytes(24), b"\1", b"\x08", b"\x0a\x20", bytes([0, 0, 3, 1])),
    *(
        bytes([way, slow << 4, 0, 0, 1, place, _MOVES.index(move), how, 0, 0])
        for way in (0, 1, 10)
        for slow in (0, 2)
        for place in _AT
        for move in _AT_THE_END
        for how in (0, 1)
    ),
)
"""Inputs to begin with: the plain ones; and where truth is lost, on either loop and in clear."""
