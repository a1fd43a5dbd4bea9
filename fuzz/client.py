"""The client's side of a fuzzed session: does what the dialog asks for, as a connection would.

It checks on the way that the dialog keeps to its own rules: one verdict, then the close, then
nothing; and that what goes out is what may go out.
"""

from pykka_smtp.actors.net.data.mail_source import FileSource, SourceError, pieces_of
from pykka_smtp.smtp.mail.content import Rendition
from pykka_smtp.smtp.mail.mail_data import MailDataEncoder, encode_whole
from pykka_smtp.smtp.sasl.secret import Secret
from pykka_smtp.smtp.session.opening.session import Session
from pykka_smtp.smtp.session.step import (
    Action,
    Close,
    CommandGroup,
    Release,
    RunCallable,
    SendMailData,
    StartTls,
)
from pykka_smtp.smtp.session.transaction.delivery import Delivery
from pykka_smtp.smtp.words.command import wire_of
from pykka_smtp.smtp.words.quirks import Quirks
from pykka_smtp.smtp.words.verdict import Accepted, Failed, FailureKind, Verdict

from .choices import Choices
from .ledger import Ledger
from .scene import Mail, Scene, leaks
from .twin import Twin
from .violation import Hang, UndefinedOutcome, Violation, insist

_MOST_ACTIONS = 64
"""Actions that one event may ask for."""
_RESET = 104  # ECONNRESET


class Client:
    """Drives the dialog of one mail.

    Args:
        scene: the session.
        mail: the mail.
        ledger: hears what goes out.
        choices: how what goes out is cut.
        session: what is known of the session, where another mail has left one.

    Attributes:
        mail: the mail.
        session: what is known of the session.
        dialog: the dialog.
        verdict: what became of the mail, once it is decided.
        is_closed: whether the dialog has ended the session.
        is_released: whether it has left the session to another mail.
        waits_for: ``"tls"`` or ``"call"`` where whoever does the I/O is at work.
        body: the pieces of the mail data that are still to be written, or None.
        data: the mail as the server should get it, once it was asked for.
        trace: the lines of the session.
        clear: what the client said where somebody could have listened.
    """

    def __init__(
        self,
        scene: Scene,
        mail: Mail,
        ledger: Ledger,
        choices: Choices,
        session: Session | None = None,
    ) -> None:
        self._scene = scene
        self.mail = mail
        self._ledger = ledger
        self._choices = choices
        self.verdict: Verdict | None = None
        self.is_closed = self.is_released = False
        self.waits_for = ""
        self.body: list[bytes] | None = None
        self.data = b""
        self.trace: list[str] = []
        self.clear = bytearray()
        self._call: RunCallable | None = None
        self._source: FileSource | None = None
        self._unreadable = ""  # why the mail could not be read to its end
        self._is_given = False  # to the operating system: what is left of the body will go out
        self._speculative: SendMailData | None = None  # has not begun to go out
        self._group: CommandGroup | None = None  # likewise
        self.session = session or Session(
            server="mx.test:25",
            ehlo_name="c.test",
            is_lmtp=scene.is_lmtp,
            tls_policy=scene.tls,
            authentication=scene.authentication,
            quirks=Quirks(sends_unsolicited=scene.sends_unsolicited),
        )
        self.dialog = Twin(
            Delivery(self.session, mail.envelope, mail.content, keep_open=mail.keeps),
            lambda who, line: self.trace.append(f"{who}: {line}"),
            scene.redactor,
        )

    @property
    def is_over(self) -> bool:
        """Whether nothing more is asked for."""
        return self.is_closed or self.is_released

    # What happens to the connection.

    def resume(self) -> None:
        """Begin on the connection that another mail has left."""
        self.perform(self.dialog.start_next())

    def connect(self) -> None:
        """The connection stands."""
        if self._scene.is_implicit:
            self.dialog.tls_is_up(verified=self._scene.is_verified)
        self.perform(self.dialog.connected())

    def hear(self, octets: bytes) -> None:
        """The server says this, in one piece."""
        if self.waits_for == "tls":
            # To a TLS library these are no reply, but a handshake that went wrong.
            self.fail_tls()
        else:
            self.perform(self.dialog.receive_data(octets))

    def start_tls(self) -> None:
        """The handshake went well."""
        self.waits_for = ""
        self._ledger.start_tls()
        self.perform(self.dialog.tls_started(verified=self._scene.is_verified, binding=b"b" * 32))

    def fail_tls(self) -> None:
        """The handshake went wrong."""
        self.waits_for = ""
        self.perform(
            self.dialog.fail(FailureKind.SECURITY, "no TLS with mx.test:25: WRONG_VERSION")
        )

    def callable_returned(self) -> None:
        """The program's function returns."""
        self.waits_for = ""
        assert self._call is not None
        self._scene.is_secret_known = True
        self.perform(self.dialog.callable_returned(self._call.function()))

    def fail_call(self) -> None:
        """The program's function raises."""
        self.waits_for = ""
        self.perform(self.dialog.fail(FailureKind.LOCAL, "the token callable raised OSError"))

    def write_body(self) -> None:
        """Write the next piece of the mail; the last one only while the server keeps silent.

        The operating system may take the last one, or all of a speculative mail, in pieces: then
        what is left goes out whatever the server says meanwhile.
        """
        if self.body is None or self.is_over:
            return
        if self._group is not None:
            self._begin_held(self._group)
            return
        if self._speculative is not None:
            self._begin_speculative(self._speculative)
            return
        if len(self.body) > 1:
            self._write(self.body.pop(0))
        elif self._is_given:
            self._write_last(self.body[0])
        elif self._unreadable:
            self.perform(self.dialog.fail(FailureKind.LOCAL, self._unreadable))
        elif self.dialog.may_end_mail_data:
            if self._choices.one_in(6) and len(pieces := self._choices.cut(self.body[0])) > 1:
                self.body, self._is_given = pieces, True
                self._write(self.body.pop(0))
            else:
                self._write_last(self.body[0])

    def _write_last(self, last: bytes) -> None:
        self.body = None
        self._write(last)
        self.dialog.mail_data_sent()

    def end(self, how: int) -> None:
        """Something ends the session from outside."""
        dialog = self.dialog
        match how:
            case 0:
                self.perform(dialog.receive_eof())
            case 1:
                self.perform(dialog.connection_lost("read", _RESET, "Connection reset by peer"))
            case 2:
                self.perform(dialog.timed_out(30.0))
            case 3:
                self.perform(dialog.timed_out(300.0, whole=True))
            case 4:
                self.perform(dialog.cancel())
            case _:
                self.perform(dialog.fail(FailureKind.INTERNAL, "defect in pykka-smtp: X: y"))

    # What the dialog asks for.

    def perform(self, actions: list[Action]) -> None:
        """Do what the dialog asks for."""
        insist(len(actions) <= _MOST_ACTIONS, f"{len(actions)} actions at once", Hang)
        for action in actions:
            insist(not self.is_over, "an action after the end")
            match action:
                case bytes():
                    insist(self.body is None, "a command amid the mail data")
                    insist(self.waits_for != "tls", "a command amid the handshake")
                    self._write(action)
                case SendMailData():
                    insist(self.verdict is None, "mail data after the verdict")
                    self._begin_body(action)
                case CommandGroup():
                    insist(self.waits_for != "tls", "a command amid the handshake")
                    self._begin_group(action)
                case StartTls():
                    self.waits_for = "tls"
                case RunCallable():
                    self.waits_for, self._call = "call", action
                case Accepted() | Failed():
                    insist(self.verdict is None, "a second verdict", UndefinedOutcome)
                    self.verdict = action
                case Release():
                    insist(self.verdict is not None, "a release without verdict", UndefinedOutcome)
                    insist(self.mail.keeps, "a release that nobody asked for")
                    insist(self.body is None, "a release amid the mail data")
                    self.is_released = True
                case Close():
                    insist(self.verdict is not None, "a close without verdict", UndefinedOutcome)
                    if self._is_given and self.body is not None and not action.reset:
                        self._write(b"".join(self.body))  # what the system has, it sends
                    self.is_closed, self.body, self.waits_for = True, None, ""
        insist(self.dialog.verdict is self.verdict, "another verdict", UndefinedOutcome)
        insist(self.dialog.is_over is self.is_over, "over, or not", UndefinedOutcome)
        insist(self.dialog.stage is not None, "no stage")

    def _begin_body(self, action: SendMailData) -> None:
        """Prepare the mail data: in pieces, the last of them with what ends it."""
        rendition, chunk = action.rendition, action.is_chunk
        insist(self.body is None, "a second mail at once")
        insist(
            self.mail.keeps or not action.is_speculative,
            "a speculative mail on a connection of its own",
        )
        self._is_given = False
        if action.is_speculative:
            self.body, self._speculative = [], action
            if not self._choices.one_in(8):  # else others have their turn first
                self._begin_speculative(action)
            return
        if action.head:
            self._write(action.head)
        wire: list[bytes] = []
        if rendition.data is not None:
            self.data = rendition.data if rendition.is_binary else _normal(rendition.data)
            pieces = self._choices.cut(rendition.data, most=3)
            if _is_as_it_stands(rendition) or len(pieces) < 2:
                data, binary = rendition.data, _is_as_it_stands(rendition)
                wire += pieces_of(data, transparent=not chunk, binary=binary)
            else:
                encoder = MailDataEncoder(transparent=not chunk)
                wire += [encoder.encode(piece) for piece in pieces] + [encoder.finish()]
        else:
            self._read(rendition, wire, transparent=not chunk)
        # The last octets of a chunk count as the dot does: held back until all else is out.
        wire = [*filter(None, wire)]
        last = wire.pop() if wire else b""
        self.body = [*wire, last + (b"" if chunk else b".\r\n")]
        if self.body == [b""]:
            self.write_body()  # an empty chunk is complete with the command that announces it

    def _begin_group(self, group: CommandGroup) -> None:
        """Write commands while the server keeps silent; others may have their turn first."""
        insist(self.body is None, "a command amid the mail data")
        self.body, self._group = [], group
        if not self._choices.one_in(8):
            self._begin_held(group)

    def _begin_held(self, group: CommandGroup) -> None:
        if self.dialog.may_end_mail_data:
            self.body = self._group = None
            self._ledger.has_unheard = self._ledger.has_more
            self.dialog.begin_held()
            self._write(wire_of(group.commands))

    def _begin_speculative(self, action: SendMailData) -> None:
        """Give all of a transaction to the operating system, which may take it in pieces.

        Only while the server keeps silent, as with the end of any other mail.
        """
        if not self.dialog.may_end_mail_data:
            return
        self._speculative, self._is_given = None, True
        self._ledger.has_unheard = self._ledger.has_more
        self.dialog.begin_held()
        rendition = action.rendition
        data = rendition.data
        assert data is not None
        self.data = data if rendition.is_binary else _normal(data)
        if not _is_as_it_stands(rendition):
            data = encode_whole(data, transparent=False)
        # The commands at least are out at once: they fit into any socket's buffer.
        first, *rest = self._choices.cut(data, most=3) if self._choices.one_in(3) else [data]
        self.body = [action.head + first, *rest]
        if rest:
            self.write_body()
        if len(self.body) == 1:
            self.write_body()

    def _read(self, rendition: Rendition, wire: list[bytes], *, transparent: bool) -> None:
        """Read the mail from its file, once more for each transaction."""
        if self._source is None:
            self._source = self.mail.open_source(is_seekable=rendition.facts is not None)
        source = self._source
        self.data = _normal(self.mail.data)
        source.begin(transparent=transparent, may_be_eight_bit=rendition.may_be_eight_bit)
        try:
            while (piece := source.read()) is not None:
                wire.append(piece)
        except SourceError as error:
            self._unreadable = str(error)

    def _write(self, octets: bytes) -> None:
        if not (self._ledger.in_tls and self._scene.is_verified):
            self.clear += octets
        self._ledger.client(octets)

    # What must hold in the end.

    def check_silence(self) -> None:
        """Whatever happens after the end, nothing comes of it."""
        dialog = self.dialog
        nothing: list[Action] = [
            *dialog.receive_data(b"250 ok\r\n"),
            *dialog.tls_started(verified=True),
            *dialog.callable_returned(Secret("x")),
            *dialog.receive_eof(),
            *dialog.cancel(),
            *dialog.connected(),
            *dialog.start_next(),
        ]
        insist(nothing == [], "it goes on after the end")
        insist(dialog.verdict is self.verdict, "the verdict changed", UndefinedOutcome)

    def check_secrets(self) -> None:
        """No secret in what people see, nor on the wire where others could listen.

        Raises:
            Violation: there is one.
        """
        if not self._scene.is_secret_known:
            return
        for text in (repr(self.verdict), *self.trace):
            if leaks(text, self._scene.secret):
                raise Violation(f"a secret shows: {text[:200]}")
        if not self._scene.may_show and leaks(self.clear.decode("latin-1"), self._scene.secret):
            raise Violation("a secret went out where anybody could have listened")


def _is_as_it_stands(rendition: Rendition) -> bool:
    """Whether the mail goes out without a change, as the connection has it."""
    facts = rendition.facts
    return rendition.is_binary or (facts is not None and facts.is_plain)


def _normal(data: bytes) -> bytes:
    """The mail with CRLF at the end of each line: what a server should store."""
    data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    return data if not data or data.endswith(b"\r\n") else data + b"\r\n"
