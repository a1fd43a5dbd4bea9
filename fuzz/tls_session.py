"""One session of the TLS target: a real connection, its server, and what goes between them.

It is the connection's owner, too, and judges what that is told, at the moment in which it is.
"""

import contextlib
import functools
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from pykka_smtp.actors.loop import event_loop
from pykka_smtp.actors.net.data import mail_source
from pykka_smtp.actors.net.tls.tls import Tls, open_channel, remember_session
from pykka_smtp.actors.net.wire import wire
from pykka_smtp.actors.net.wire.connection import Connection
from pykka_smtp.actors.options.options import Options, collect_options
from pykka_smtp.smtp.mail.content import Content
from pykka_smtp.smtp.mail.envelope import Envelope
from pykka_smtp.smtp.session.dialog.dialog import Dialog
from pykka_smtp.smtp.session.express_dialog import dialog_for
from pykka_smtp.smtp.session.opening.session import Session
from pykka_smtp.smtp.session.transaction.delivery import Delivery
from pykka_smtp.smtp.words.verdict import Failed, FailureKind, Verdict

from .choices import Choices
from .judge import judge
from .ledger import Ledger
from .network import Line, Loop, Transport
from .scene import Mail
from .server import Server
from .tls_scene import TIMEOUT, TlsScene
from .tls_server import NAME, Hesitant, TlsServer, contexts
from .violation import UndefinedOutcome, Violation, insist

MOST_STEPS = 2000
"""Steps that a session may take."""
_PIECE = 4096
"""Octets that are written at a time: few, so that a mail of many pieces is soon out."""
_READ = 65_536


@contextlib.contextmanager
def in_place_of_the_real(loop: Loop) -> Iterator[None]:
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


def _dialog_alone(
    session: Session, envelope: Envelope, content: Content, keep_open: bool, *_nothing: None
) -> Dialog:
    return Dialog(Delivery(session, envelope, content, keep_open=keep_open))


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
    """A connection that says how much it reads, and when a transaction begins that was held."""

    def __init__(
        self, options: Options, note: Callable[[int], None], note_beginning: Callable[[], None]
    ) -> None:
        super().__init__(options)
        self._note, self._note_beginning = note, note_beginning

    def data_received(self, data: bytes) -> None:
        """Note how much it is, first of all."""
        self._note(len(data))
        super().data_received(data)

    def _write_end(self) -> None:
        if self._dialog.held is not None:
            self._note_beginning()
        super()._write_end()


class TlsSession:
    """One session, as far as it is the same whatever the server does.

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
            _options(scene.way, scene.kind),
            self._guarded(self._note_read),
            self._guarded(self._note_beginning),
        )
        self._transport = Transport(loop, self._line, self._connection)

    def close(self) -> None:
        """Let go of the sockets, and of what was to be run."""
        self._line.close()
        self._loop.close()

    # What the connection tells its owner.

    def connected(self) -> None:
        """It stands."""

    def decided(self, verdict: Verdict) -> None:
        """Judge the verdict."""
        self._guarded(self._judge)(verdict)

    def released(self) -> None:
        """The connection may serve another mail."""
        self._session = self._connection._dialog.session  # another one, after a hand-over
        self._guarded(self._release)()

    def _release(self) -> None:
        self._is_released = True
        self._connection.set_idle(self)
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
        speculative = (
            "speculative, " if any(transaction.is_speculative for transaction in own) else ""
        )
        kept = "kept, " if self._mails > 1 else ""
        self.ending = f"{way}: {kept}{speculative}{ending}"

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
    def _is_held_next(self) -> bool:
        """Whether the reply is due after which a transaction begins that goes by BDAT.

        All of it in one go, or its MAIL: either goes out only while no input is pending.
        """
        is_offered = "CHUNKING" in self._scene.offers
        is_ready = self._tls is not None or self._scene.way == "off"
        verbs = [item.verb for item in self._ledger.owed]
        return is_offered and is_ready and verbs in (["EHLO"], ["END"])

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
        self._ledger.may_be_speculative = mail.keeps and not self._session.quirks.sends_unsolicited
        source = mail.open_source(is_seekable=True) if mail.piece else None
        # Every second email goes by the dialog alone, as with debug=True.
        make = dialog_for if self._mails % 2 else _dialog_alone
        dialog = make(self._session, mail.envelope, mail.content, mail.keeps, None, None)
        self._connection.run(self, dialog, source=source)

    def _note_beginning(self) -> None:
        """The client begins a transaction that was held."""
        self._ledger.has_unheard = self._line.waiting > 0 or self._ledger.has_more

    def _go_on(self) -> None:
        """Send the next mail in this session, or end it, as a Mailer would."""
        connection, is_last = self._connection, self._mails == len(self._scene.mails)
        if not is_last and connection.is_reusable:
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
        # for a speculative mail, which is owed replies before its end.
        for transaction in ledger.transactions if self._line.waiting else ():
            if transaction.data is not None and transaction not in before:
                transaction.too_early = transaction.too_early or not transaction.is_speculative

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
        for _ in range(MOST_STEPS):
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

    # What the moves are made of.

    def _after(self, move: Callable[[], None]) -> None:
        """Make a move, and see what the client does."""
        move()
        self._loop.turn()
        self._look()

    def _look(self) -> None:
        if self._found is not None:
            raise self._found
        if isinstance(self._verdict, Failed):
            own = self._ledger.transactions[self._first :]
            complete = sum(transaction.data is not None for transaction in own)
            insist(complete == self._complete, "a mail goes out after its end", UndefinedOutcome)

    def _put_flight(self) -> None:
        """Let what TLS itself has to say come: a part of a handshake, session tickets."""
        if self._flights:
            self._put_records((self._flights.pop(0), b""))

    def _flush_flights(self) -> None:
        while self._flights:  # records come in the order in which they were sealed
            self._put_flight()

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

    def _drain_all(self) -> None:
        for _ in range(MOST_STEPS):
            if not self._transport.get_write_buffer_size():
                break
            self._drain()
            self._loop.turn()
