"""TLS on a connection: from the first octet on (RFC 8314 §3), or after STARTTLS (RFC 3207).

The asyncio transport is always a plaintext one: its buffer is what the operating system gets.
"""

import ssl
from typing import TYPE_CHECKING

from ....smtp.session.step import Action
from ....smtp.words.stage import Stage
from ....smtp.words.verdict import FailureKind
from ...loop import guard
from ..tls.failures import CERTIFICATE_FAILED, failure_of, is_alert
from ..tls.tls import Tls, open_channel, remember_session
from .wire import ConnectionWriter

if TYPE_CHECKING:
    from ....smtp.words.peer import Peer
    from ..target import Target


class TlsWire(ConnectionWriter):
    """The half of a `Connection` that does TLS."""

    _options: "Target"
    _peer: "Peer | None"
    _is_session_noted = False

    def perform(self, actions: list[Action]) -> None:
        """Perform the dialog's actions; an internal error ends it."""
        raise NotImplementedError

    def restart_clock(self) -> None:
        """Start the timeout of a step anew."""
        raise NotImplementedError

    @property
    def is_shaking_hands(self) -> bool:
        """Whether a TLS handshake is in progress."""
        return self._tls is not None and not self._tls.is_up

    @property
    def _how(self) -> Tls:
        tls = self._options.tls
        assert tls is not None
        return tls

    @property
    def _handshake_stage(self) -> Stage:
        return Stage.CONNECT if self._how.is_implicit else Stage.STARTTLS

    def start_tls(self) -> None:
        """Begin the handshake, unless the server has sent more plaintext."""
        if self._dialog.is_over or self._transport.is_closing():
            return  # the connection was lost, and another callback ends it
        if not self._how.is_implicit and self.has_something_to_read():
            # Not TLS, in which the client sends first. The dialog judges it (RFC 3207 §6).
            self._loop.call_soon(guard.call, self, self.start_tls)
            return
        self._tls = open_channel(self._how)
        self.restart_clock()
        self._transport.write(self._tls.begin())

    def receive_tls(self, octets: bytes) -> None:
        """Decrypt octets from the server, and pass the plaintext to the dialog."""
        tls = self._tls
        assert tls is not None
        was_up, was_holding, dialog = tls.is_up, tls.is_holding, self._dialog
        text, has_part = tls.receive(octets), tls.has_part
        is_changed = dialog.has_unread is not has_part
        if is_changed:
            dialog.has_unread = has_part
        if not was_up and tls.is_up:
            self._take_up_tls(early=bool(text) and not self._how.is_implicit)
        self.write_own()
        if text or (is_changed and tls.is_up):
            self.perform(dialog.receive_data(text))
        if tls.error is not None:
            self.tls_broke(tls.error)
        elif tls.is_closed:
            self.end_of_input()
        elif was_holding or self._dot_written or self._last is not None:
            self._go_on_writing(was_holding=was_holding and not tls.is_holding)

    def _take_up_tls(self, *, early: bool) -> None:
        """Called after the handshake, before the client sends anything under TLS.

        Args:
            early: whether the server has sent data under TLS before any command.
        """
        tls, how, dialog, name = self._tls, self._how, self._dialog, self._options.name
        assert tls is not None
        self._peer = None
        self.restart_clock()
        objection = None if how.objection is None else how.objection(tls.certificate)
        if objection is not None:
            detail = f"{CERTIFICATE_FAILED} {name}: {objection}"
            self.perform(dialog.fail(FailureKind.SECURITY, detail, stage=self._handshake_stage))
        elif early:
            detail = f"{name} broke the protocol: it sent data under TLS before any command"
            self.perform(dialog.fail(FailureKind.PROTOCOL, detail))
        elif how.is_implicit:
            dialog.tls_is_up(verified=how.is_verified, binding=self._channel_binding())
            self.perform(dialog.connected())
        else:
            self.perform(
                dialog.tls_started(verified=how.is_verified, binding=self._channel_binding())
            )

    def _channel_binding(self) -> bytes | None:
        if not self._dialog.needs_channel_binding:
            return None
        from ..tls.channel_binding import server_end_point  # late: few need it

        assert self._tls is not None
        return server_end_point(self._tls.certificate)

    def end_of_input(self) -> None:
        """Called when the server has sent close_notify."""
        raise NotImplementedError

    def tls_broke(self, error: ssl.SSLError) -> None:
        """Called when TLS has failed.

        In TLS 1.3, a server may reject the client's certificate after the handshake is complete on
        this side. So an alert before any data counts as a failed handshake.
        """
        tls, dialog = self._tls, self._dialog
        assert tls is not None
        if dialog.is_over:
            self._transport.close()
            return
        if tls.is_up and (tls.has_heard or not is_alert(error)):
            # The number of an SSLError is OpenSSL's, not the system's.
            self.perform(dialog.connection_lost("read", None, str(error)))
            self._transport.abort()  # an idle connection has no dialog that would close it
            return
        detail = failure_of(error, tls, self._how, self._options.name)
        self.perform(dialog.fail(FailureKind.SECURITY, detail, stage=self._handshake_stage))

    def note_session(self) -> None:
        """Store the TLS session, for the next connection to this server."""
        tls = self._tls
        if tls is not None and tls.has_heard and not self._is_session_noted:
            self._is_session_noted = True
            remember_session(self._how, tls)
