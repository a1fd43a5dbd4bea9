"""TLS without a socket: octets in, octets out.

asyncio's own TLS is a transport that hides its state. Here the connection knows at any moment
which input is decrypted, whether part of a record is pending, and which output is still to be
sent. It works the same on all loops.
"""

import contextlib
import ssl

_HEADER = 5
"""Octets of a record's header; the last two of them are its length (RFC 8446 §5.1)."""
_READ = 16_384
"""The maximum of plaintext octets in a record (RFC 8446 §5.1), so one read returns all of it."""
_ALERT, _HANDSHAKE = 21, 22  # content types (RFC 8446 §5.1)
_CLIENT_HELLO, _CERTIFICATE = 1, 11  # handshake types (RFC 5246 §7.4)
_MIN_WITH_CERTIFICATE = 200
"""Octets of the client's last flight in TLS 1.3 with a certificate; without, it has about 110."""


class TlsChannel:
    """The client's side of one TLS connection, without I/O.

    Call `begin` and send its result. Then pass all input to `receive`, and send the result of
    `take` after each call. Once `is_up`, send the results of `encrypt`.

    Attributes:
        is_up: whether the handshake is complete on this side. In TLS 1.3, the server may still
            reject the client's certificate.
        has_heard: whether the server has sent data under TLS.
        is_closed: whether the server has sent close_notify (RFC 8446 §6.1).
        error: the error that ended TLS, or None. After it, nothing can be read or written.
        gave_certificate: whether a client certificate was sent.
        met_clear_text: whether the server's reply to the handshake was not TLS at all.
        has_part: whether an incomplete record is pending.
        is_holding: whether output waits for the end of a second handshake.
    """

    def __init__(
        self, context: ssl.SSLContext, server_hostname: str, session: ssl.SSLSession | None = None
    ) -> None:
        """Prepare a connection.

        Args:
            context: the context. It is not changed.
            server_hostname: the name for SNI, and for the certificate if the context checks it.
            session: a session of the same context and name to resume, or None.
        """
        self.is_up: bool = False
        self.has_heard: bool = False
        self.is_closed: bool = False
        self.error: ssl.SSLError | None = None
        self.gave_certificate: bool = False
        self.met_clear_text: bool = False
        # Attributes, not properties, because they are read for each record.
        self.has_part: bool = False
        self.is_holding: bool = False
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=server_hostname, session=session
        )
        self._has_begun = False  # whether the server has sent anything
        self._header = b""  # the incomplete header of the current record
        self._missing = 0  # octets until the end of the current record, once its header is complete
        self._held = b""  # output that can't be encrypted yet

    def begin(self) -> bytes:
        """Return the first octets of the handshake."""
        self._shake_hands()
        return self._outgoing.read()

    def receive(self, octets: bytes) -> bytes:
        """Decrypt octets from the server; return the plaintext. Send the result of `take` next.

        Args:
            octets: the input, split anywhere.
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
            self._track_records(octets)
        # Otherwise it is exactly one record, the usual case.
        self._incoming.write(octets)
        if not self.is_up and not self._shake_hands():
            return b""
        text = self._read()
        if self.is_holding and self.error is None:
            held, self._held, self.is_holding = self._held, b"", False
            self._write(held)
        return text

    def take(self) -> bytes:
        """Return output that `encrypt` did not return, such as handshake messages and alerts."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def encrypt(self, text: bytes) -> bytes:
        """Return the encrypted form of a text; empty if it has to wait, or after an error."""
        if self.is_holding:
            self._held += text
        elif self.error is None:
            self._write(text)
        return self._outgoing.read()

    def close(self) -> bytes:
        """Return the close_notify alert (RFC 8446 §6.1)."""
        if self.error is None and self.is_up:
            # Raises if the server's own close_notify has not arrived; ours is written by then.
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()
        return self._outgoing.read()

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
        """The session to resume the connection with, or None if the server has sent no ticket."""
        session = self._tls.session
        return session if session is not None and session.has_ticket else None

    @property
    def is_resumed(self) -> bool:
        """Whether an earlier session was resumed."""
        return bool(self._tls.session_reused)

    def _track_records(self, octets: bytes) -> None:
        """Track where records begin and end; OpenSSL knows, but has no function for it."""
        if self._header:
            octets = self._header + octets
        at, end = self._missing, len(octets)
        while at + _HEADER <= end:
            at += _HEADER + (octets[at + 3] << 8 | octets[at + 4])
        self._missing, self._header = max(at - end, 0), octets[at:]
        self.has_part = at != end

    def _shake_hands(self) -> bool:
        """Continue the handshake; return whether it is complete."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._fail_internal(error)
        else:
            self.is_up = True
        flight = self._outgoing.read()
        self.gave_certificate = self.gave_certificate or _has_certificate(flight)
        self._outgoing.write(flight)
        return self.is_up

    def _read(self) -> bytes:
        text = b""
        try:
            # A read without pending input would cost an exception.
            while self._incoming.pending:
                part = self._tls.read(_READ)
                if not part:
                    self.is_closed = True
                    break
                text = text + part if text else part
        except ssl.SSLWantReadError:
            pass  # a record without text, such as a session ticket
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
        # Without the traceback: its frames refer to this object, a reference cycle.
        self.error = error.with_traceback(None)


def _has_certificate(flight: bytes) -> bool:
    """Whether the client's part of a handshake has a certificate; the ssl module doesn't tell."""
    if not flight:
        return False
    if flight[0] != _HANDSHAKE:
        # TLS 1.3: a dummy record (RFC 8446 §D.4), then everything is encrypted.
        return len(flight) > _MIN_WITH_CERTIFICATE
    # TLS 1.2: in plaintext. A client without certificate sends an empty list (RFC 5246 §7.4.6).
    is_list = flight[_HEADER : _HEADER + 1] == bytes([_CERTIFICATE])
    return is_list and int.from_bytes(flight[_HEADER + 4 : _HEADER + 7]) > 0
