"""A dialog, and somebody who does what it asks for: in memory, at once, and checking each rule."""

from servers.twins import Twin

from pykka_smtp.smtp.mail.content import CompleteContent, Content
from pykka_smtp.smtp.mail.delivery_options import NO_OPTIONS, DeliveryOptions
from pykka_smtp.smtp.mail.envelope import Envelope
from pykka_smtp.smtp.mail.mail_data import encode_whole
from pykka_smtp.smtp.session.dialog.transcript import Trace
from pykka_smtp.smtp.session.opening.session import Session
from pykka_smtp.smtp.session.step import Action, Close, CommandGroup, SendMailData, StartTls
from pykka_smtp.smtp.session.transaction.delivery import Delivery
from pykka_smtp.smtp.words.command import Command, wire_of
from pykka_smtp.smtp.words.verdict import Accepted, Failed, Verdict
from pykka_smtp.testing.talk.script import decode

SERVER = "mx.test:25"
MAIL = b"Subject: Hello\r\n\r\n.\r\nHello\r\n"
RESET = 104  # ECONNRESET


class Rig:
    """Drives one dialog as its docstring says, and sees to it that it keeps to that.

    Attributes:
        dialog: the dialog.
        said: the client's octets that nobody has looked at yet.
        stream: all of the client's octets.
        body: the mail data that is to be sent, once the dialog has asked for it.
        dot_out: whether the final dot has gone out.
        verdict: what became of the mail; comes once.
        closed: how the connection was closed, once it was.
        wants_tls: whether the dialog waits for TLS to be started.
        holds: whether what is held stays so: something lies unread in the socket.
        trace: the lines of the session.
        session: what is known of the session.
        released: whether the dialog has left the connection to the next mail.
    """

    def __init__(
        self,
        *recipients: str,
        sender: str = "a@b.test",
        content: Content | None = None,
        trace: Trace | None = None,
        session: Session | None = None,
        is_lmtp: bool = False,
        options: DeliveryOptions = NO_OPTIONS,
        keeps: bool = False,
    ) -> None:
        self.wants_tls = self.holds = self.released = False
        self.trace: list[str] = []
        self.said = bytearray()
        self.stream = bytearray()
        self.body: SendMailData | None = None
        self.dot_out = False
        self.verdict: Verdict | None = None
        self.closed: Close | None = None
        self.session = session or Session(server=SERVER, ehlo_name="c.test", is_lmtp=is_lmtp)
        self.delivery = Delivery(
            self.session,
            Envelope.of(sender, recipients or ("c@d.test",), options),
            content or CompleteContent(MAIL),
            keep_open=keeps,
        )
        self.dialog = Twin(self.delivery, trace or self._note)

    def _note(self, who: str, line: str) -> None:
        self.trace.append(f"{who}: {line}")

    def connect(self) -> "Rig":
        """The connection stands."""
        self.perform(self.dialog.connected())
        return self

    def hear(self, octets: bytes) -> None:
        """The server says this, in one piece."""
        self.perform(self.dialog.receive_data(octets))

    def start_tls(self) -> None:
        """TLS is up, and the server is the one that it should be."""
        assert self.wants_tls, "nobody asked for TLS"
        self.wants_tls = False
        self.perform(self.dialog.tls_started(verified=True))

    def send_body(self) -> bool:
        """Write the mail data and the final dot, if the dialog allows it."""
        assert self.body is not None
        if not self.dialog.may_end_mail_data:
            return False
        data = self.body.rendition.data
        self.write(encode_whole(data or b"") + b".\r\n")
        self.body = None
        self.dot_out = True
        self.dialog.mail_data_sent()
        return True

    def eof(self) -> None:
        """The server closes."""
        self.perform(self.dialog.receive_eof())

    def lose(self) -> None:
        """The connection breaks."""
        self.perform(self.dialog.connection_lost("read", RESET, "Connection reset by peer"))

    def time_out(self) -> None:
        """The server is silent for too long."""
        self.perform(self.dialog.timed_out(30.0))

    def perform(self, actions: list[Action]) -> None:
        """Do what the dialog asks for."""
        for action in actions:
            assert self.closed is None, f"{action!r} after the close"
            assert not self.released, f"{action!r} after the release"
            self.do(action)
        assert self.dialog.verdict is self.verdict
        assert self.dialog.is_over is (self.closed is not None or self.released)

    def do(self, action: Action) -> None:
        """Do one thing."""
        match action:
            case bytes():
                assert self.body is None, "a command amid the mail data"
                self.write(action)
            case StartTls():
                assert not self.said, "a command before TLS"
                self.wants_tls = True
            case SendMailData():
                assert self.verdict is None, "mail data after the verdict"
                assert not self.dot_out
                if action.head:
                    self.write(action.head)
                self.body = action
            case CommandGroup():
                if not self.holds:
                    self.begin_held(action)
            case Accepted() | Failed():
                assert self.verdict is None, "a second verdict"
                self.verdict = action
            case Close():
                assert self.verdict is not None, "a close without a verdict"
                self.closed = action

    def begin_held(self, group: CommandGroup) -> None:
        """Write a group that goes out only while no input is pending."""
        assert self.body is None, "a command amid the mail data"
        assert self.dialog.may_end_mail_data
        self.dialog.begin_held()
        self.write(wire_of(group.commands))

    def write(self, octets: bytes) -> None:
        """Let octets go out."""
        self.said += octets
        self.stream += octets

    def line(self) -> str:
        """Take the client's next line."""
        end = self.said.find(b"\r\n")
        assert end >= 0, f"the client says nothing here; its verdict: {self.verdict}"
        line = decode(bytes(self.said[:end]))
        del self.said[: end + 2]
        return line

    def data(self) -> bytes:
        """Take the mail data, which the client writes now, with the lone dot."""
        assert self.body is not None, f"the client sends no mail; its verdict: {self.verdict}"
        assert not self.said, f"unexpected before the mail data: {self.said!r}"
        assert self.send_body()
        data = bytes(self.said)
        self.said.clear()
        return data

    def has_left(self) -> bool:
        """Whether the connection is to be closed, and nobody overheard anything."""
        return self.closed is not None and not self.said

    # As `play.Player` names them.
    close = eof
    reset = lose
    fall_silent = time_out

    def lines(self) -> list[str]:
        """Take all complete lines that the client has said."""
        lines: list[str] = []
        while self.said:
            lines.append(self.line())
        return lines

    @property
    def owed(self) -> list[Command]:
        """The commands that wait for their reply."""
        return list(self.dialog._outstanding)
