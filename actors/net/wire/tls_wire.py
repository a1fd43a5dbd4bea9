"""How a connection does TLS: from its first octet on (RFC 8314 §3), or by STARTTLS (RFC 3207).

The transport below is always one in clear: what it has is what the operating system is given.
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
        """Do what the dialog asks for; a defect of ours ends it."""
        raise NotImplementedError

    def restart_clock(self) -> None:
        """Give what begins now the whole time of a step."""
        raise NotImplementedError

    @property
    def is_shaking_hands(self) -> bool:
        """Whether a TLS handshake is under way."""
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
        """Begin the handshake, unless the server has said more in clear."""
        if self._dialog.is_over or self._transport.is_closing():
            return  # it broke before this had its turn; whoever saw that ends it
        if not self._how.is_implicit and self.has_something_to_read():
            # It can't be TLS, where the client speaks first. The dialog judges it (RFC 3207 §6).
            self._loop.call_soon(guard.call, self, self.start_tls)
            return
        self._tls = open_channel(self._how)
        self.restart_clock()
        self._transport.write(self._tls.begin())

    def receive_tls(self, octets: bytes) -> None:
        """Take octets of TLS; let the dialog judge what is said in them."""
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
            self.said_farewell()
        elif was_holding or self._dot_written or self._last is not None:
            self._go_on_writing(was_holding=was_holding and not tls.is_holding)

    def _take_up_tls(self, *, early: bool) -> None:
        """Go on under TLS: nothing of ours, not even a certificate, has gone out under it yet.

        Args:
            early: whether the server has spoken before it was asked to.
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
            detail = f"{name} broke the protocol: it spoke under TLS before it was asked to"
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

    def said_farewell(self) -> None:
        """Take note that the server has said that it says no more."""
        raise NotImplementedError

    def tls_broke(self, error: ssl.SSLError) -> None:
        """End on broken TLS.

        In TLS 1.3 a server may refuse us when the handshake is over, as we see it: until it has
        said something, its alert is one of the handshake.
        """
        tls, dialog = self._tls, self._dialog
        assert tls is not None
        if dialog.is_over:
            self._transport.close()
            return
        if tls.is_up and (tls.has_heard or not is_alert(error)):
            # The number of an SSLError is OpenSSL's, not the system's.
            self.perform(dialog.connection_lost("read", None, str(error)))
            self._transport.abort()  # who keeps it unused has nothing more to say, and can't
            return
        detail = failure_of(error, tls, self._how, self._options.name)
        self.perform(dialog.fail(FailureKind.SECURITY, detail, stage=self._handshake_stage))

    def note_session(self) -> None:
        """Remember the TLS session, for the next connection to this server."""
        tls = self._tls
        if tls is not None and tls.has_heard and not self._is_session_noted:
            self._is_session_noted = True
            remember_session(self._how, tls)
