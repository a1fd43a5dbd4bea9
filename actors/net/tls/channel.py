"""TLS without a socket: octets in, octets out.

asyncio's own TLS is a transport that hides what is under way. Here the connection knows at any
moment what was decrypted, whether half a record is here, and what was encrypted and has still to
be sent. It is the same on all loops.
"""

import contextlib
import ssl

_HEADER = 5
"""Octets of a record's header; the last two of them are its length (RFC 8446 §5.1)."""
_READ = 16_384
"""Octets of text in a record, at most (RFC 8446 §5.1): none is left over by a read."""
_ALERT, _HANDSHAKE = 21, 22  # content types (RFC 8446 §5.1)
_CLIENT_HELLO, _CERTIFICATE = 1, 11  # handshake types (RFC 5246 §7.4)
_LEAST_WITH_CERTIFICATE = 200
"""Octets of our last flight in TLS 1.3, where a certificate is in it: without, it has about 110."""


class TlsChannel:
    """The client's side of one TLS connection. Never does any I/O.

    Call `begin`, and send what it returns; then give `receive` all that comes, and send what `take`
    returns after it. Once `is_up`, `encrypt` makes of text what is to be sent.

    Attributes:
        is_up: whether the handshake is done, as far as we can see: in TLS 1.3 the server may still
            refuse us.
        has_heard: whether the server has said something under TLS.
        is_closed: whether the server has said that it says no more (RFC 8446 §6.1).
        error: what broke it, or None. Nothing can be read or written any more then.
        gave_certificate: whether we have shown a certificate of ours.
        met_clear_text: whether the server answered the handshake with what is no TLS at all.
        has_part: whether a part of a record is here, which can't be read before the rest of it
            comes.
        is_holding: whether text waits to be encrypted, for the end of another handshake.
    """

    def __init__(
        self, context: ssl.SSLContext, server_hostname: str, session: ssl.SSLSession | None = None
    ) -> None:
        """Prepare a connection.

        Args:
            context: how to do TLS. It is not changed.
            server_hostname: the name for SNI, and for the certificate if the context checks it.
            session: one with the same context and name, to be taken up again if the server agrees.
        """
        self.is_up: bool = False
        self.has_heard: bool = False
        self.is_closed: bool = False
        self.error: ssl.SSLError | None = None
        self.gave_certificate: bool = False
        self.met_clear_text: bool = False
        # Attributes, as all of these: they are looked at for each record.
        self.has_part: bool = False
        self.is_holding: bool = False
        self._came = ssl.MemoryBIO()
        self._going = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._came, self._going, server_hostname=server_hostname, session=session
        )
        self._has_begun = False  # whether the server has said anything
        self._header = b""  # of the record under way, while it is not complete
        self._missing = 0  # octets of the record under way, once its header is complete
        self._held = b""  # text that can't be encrypted yet

    def begin(self) -> bytes:
        """Return our first octets."""
        self._shake_hands()
        return self._going.read()

    def receive(self, octets: bytes) -> bytes:
        """Take octets from the server; return the text in them. Send what `take` returns next.

        Args:
            octets: cut anywhere.
        """
        if self.error is not None or self.is_closed:
            return b""
        if octets and not self._has_begun:
            self._has_begun = True
            self.met_clear_text = octets[0] not in (_ALERT, _HANDSHAKE)
        if (
            self.has_part
            or len(octets) < _HEADER
            or len(octets) - _HEADER != octets[3] << 8 | octets[4]
        ):
            self._follow(octets)
        # Else it is one record, as mostly.
        self._came.write(octets)
        if not self.is_up and not self._shake_hands():
            return b""
        text = self._read()
        if self.is_holding and self.error is None:
            held, self._held, self.is_holding = self._held, b"", False
            self._write(held)
        return text

    def take(self) -> bytes:
        """Return what is to be sent, beside what `encrypt` returned."""
        return self._going.read() if self._going.pending else b""

    def encrypt(self, text: bytes) -> bytes:
        """Return what is to be sent for a text; nothing, where it has to wait or TLS is broken."""
        if self.is_holding:
            self._held += text
        elif self.error is None:
            self._write(text)
        return self._going.read()

    def close(self) -> bytes:
        """Return what tells the server that we say no more (RFC 8446 §6.1)."""
        if self.error is None and self.is_up:
            # The server's own farewell may not be here yet: what we have to say is said.
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()
        return self._going.read()

    @property
    def version(self) -> str | None:
        """The version of TLS, once it is up."""
        return self._tls.version()

    @property
    def cipher(self) -> str | None:
        """The name of the cipher suite, once it is up."""
        cipher = self._tls.cipher()
        return cipher[0] if cipher else None

    @property
    def certificate(self) -> bytes:
        """The server's certificate, in DER; empty if there is none."""
        return self._tls.getpeercert(binary_form=True) or b""

    @property
    def session(self) -> ssl.SSLSession | None:
        """What the connection can be taken up again with, if the server has given it."""
        session = self._tls.session
        return session if session is not None and session.has_ticket else None

    @property
    def is_resumed(self) -> bool:
        """Whether an earlier session was taken up again."""
        return bool(self._tls.session_reused)

    def _follow(self, octets: bytes) -> None:
        """Follow where records begin and end. OpenSSL knows, but doesn't tell."""
        if self._header:
            octets = self._header + octets
        at, end = self._missing, len(octets)
        while at + _HEADER <= end:
            at += _HEADER + (octets[at + 3] << 8 | octets[at + 4])
        self._missing, self._header = max(at - end, 0), octets[at:]
        self.has_part = at != end

    def _shake_hands(self) -> bool:
        """Go on with the handshake; return whether it is done."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._fail_internal(error)
        else:
            self.is_up = True
        flight = self._going.read()
        self.gave_certificate = self.gave_certificate or _has_certificate(flight)
        self._going.write(flight)
        return self.is_up

    def _read(self) -> bytes:
        text = b""
        try:
            # To ask for more than is here costs an exception.
            while self._came.pending:
                part = self._tls.read(_READ)
                if not part:
                    self.is_closed = True
                    break
                text = text + part if text else part
        except ssl.SSLWantReadError:
            pass  # what came was nothing to be read, such as a session ticket
        except ssl.SSLZeroReturnError:
            self.is_closed = True
        except ssl.SSLError as error:
            self._fail_internal(error)
        if text:
            self.has_heard = True
        return text

    def _write(self, text: bytes) -> None:
        size, at = len(text), 0
        try:
            at = self._tls.write(text)
            if at < size:
                view = memoryview(text)
                while at < size:
                    at += self._tls.write(view[at:])
        except ssl.SSLWantReadError:
            self._held, self.is_holding = text[at:], True
        except ssl.SSLError as error:
            self._fail_internal(error)

    def _fail_internal(self, error: ssl.SSLError) -> None:
        # Without the traceback: its frames would keep all that they have in a circle.
        self.error = error.with_traceback(None)


def _has_certificate(flight: bytes) -> bool:
    """Whether a certificate of ours is in our part of a handshake. The ssl module doesn't say."""
    if not flight:
        return False
    if flight[0] != _HANDSHAKE:
        # TLS 1.3: a record that says nothing (RFC 8446 §D.4), then all is encrypted.
        return len(flight) > _LEAST_WITH_CERTIFICATE
    # TLS 1.2: in clear. A client without one sends an empty list (RFC 5246 §7.4.6).
    is_list = flight[_HEADER : _HEADER + 1] == bytes([_CERTIFICATE])
    return is_list and int.from_bytes(flight[_HEADER + 4 : _HEADER + 7]) > 0
