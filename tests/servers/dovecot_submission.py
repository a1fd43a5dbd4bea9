"""Dovecot's submission server, which passes mails on while the client waits."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from .accounts import USERS
from .certificates import Tls
from .delivered import Delivered
from .dovecot import Dovecot
from .process import ServerProcess
from .rooted_server import DeliveringServer
from .server_root import ServerRoot, fill

SUBMISSION = """\
protocols = submission
submission_relay_host = 127.0.0.1
submission_relay_port = <relay_port>
submission_max_mail_size = <size_limit>
service submission-login {
  chroot =
  inet_listener submission {
    port = <port>
    ssl = <implicit>
  }
}
"""


class DovecotSubmission(Dovecot, DeliveringServer):
    """Dovecot's submission server on a free loopback port; only for those who logged in.

    Args:
        replies: what to say to recipients instead of yes, such as ``{"no@x.test": "550 5.1.1
            who?", "later@x.test": "450 4.2.0 greylisted"}``; ``"."`` is the reply to a mail.
        size_limit: octets of a mail, offered as SIZE.
        tls: how it speaks TLS, or None if it does not.
        auth: the mechanisms that it offers, of `MECHANISMS`; those that send the password in
            clear under TLS only, if ``tls`` is given.
        users: passwords by name.
    """

    def __init__(
        self,
        *,
        replies: Mapping[str, str] | None = None,
        size_limit: int = 50_000_000,
        tls: Tls | None = None,
        auth: Sequence[str] = ("PLAIN", "LOGIN"),
        users: Mapping[str, str] = USERS,
    ) -> None:
        super().__init__(tls, auth, users)
        self._size_limit = size_limit
        self._delivered = Delivered("received", replies=replies)

    def _protocol(self) -> str:
        return fill(SUBMISSION, relay_port=self._delivered.port, size_limit=self._size_limit)

    def _start(self, root: ServerRoot, exits: ExitStack) -> ServerProcess:
        exits.enter_context(self._delivered)
        return super()._start(root, exits)
