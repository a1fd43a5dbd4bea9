"""A real OpenSMTPD of our own, in a root folder of its own: its paths and users are fixed."""

import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from .accounts import USERS
from .certificates import Tls
from .delivered import Delivered
from .ports import reserved_port
from .process import ServerProcess
from .rooted_server import DeliveringServer
from .server_root import ServerRoot, fill

RUN_AS = "opensmtpd"
QUEUE_USER = "opensmtpq"

MECHANISMS = ("PLAIN", "LOGIN")
"""What it can offer."""

FAR_AWAY = "192.0.2.1"
"""An address from which nobody comes (RFC 5737)."""

CONFIGURATION = """\
smtp max-message-size "<size_limit>"
<certificates>
<client_ca>
table users file:/etc/users
<filters>
listen on <host> port <port> <tls> <auth> <dsn> hostname opensmtpd.test filter "all"
action "keep" relay host "smtp+notls://127.0.0.1:<delivered_port>"
match <authenticated> from any for any action "keep"
"""

CERTIFICATES = """\
pki mx.test cert "/etc/certificate.pem"
pki mx.test key "/etc/certificate.key"
"""

CLIENT_CA = 'ca clients cert "/etc/client-ca.pem"'


class OpenSmtpd(DeliveringServer):
    """OpenSMTPD on a free loopback port.

    It offers 8BITMIME, ENHANCEDSTATUSCODES, SIZE and DSN. It takes ``LF.LF`` as the end of a mail,
    and hangs up on who sends more after that: it knows no groups of commands.

    Args:
        replies: what to say to recipients instead of yes, such as ``{"no@x.test": "550 5.1.1
            who?", "later@x.test": "450 4.2.0 greylisted"}``; ``"."`` is the reply to a mail.
        withhold: EHLO keywords that it does not offer; ``DSN`` is the only one it can withhold.
        size_limit: octets of a mail, offered as SIZE.
        tls: how it speaks TLS, or None if it does not. A client without a certificate is refused
            where there is a ``client_ca``, whether it is required or not.
        auth: the mechanisms that it offers, under TLS only: none, or both of `MECHANISMS`. Mails
            are then for those who logged in.
        users: passwords by name.
    """

    def __init__(
        self,
        *,
        replies: Mapping[str, str] | None = None,
        withhold: Sequence[str] = (),
        size_limit: int = 50_000_000,
        tls: Tls | None = None,
        auth: Sequence[str] = (),
        users: Mapping[str, str] = USERS,
    ) -> None:
        super().__init__("opensmtpd", [RUN_AS, QUEUE_USER])
        if unknown := set(withhold) - {"DSN"}:
            raise ValueError(f"OpenSMTPD cannot withhold {unknown}, only DSN")
        if set(auth) not in (set(), set(MECHANISMS)):
            raise ValueError(f"OpenSMTPD offers {' and '.join(MECHANISMS)}, or nothing: {auth}")
        if auth and tls is None:
            raise ValueError("OpenSMTPD offers AUTH under TLS only: give it a certificate")
        # To mails that come to 127.0.0.1 it would add a Date and a Message-ID.
        self.host = "127.0.0.2"
        self._delivered = Delivered("received")
        self._replies = dict(replies or {})
        self._withhold = tuple(withhold)
        self._size_limit = size_limit
        self._tls = tls
        self._users = dict(users) if auth else {}

    @property
    def log(self) -> str:
        """OpenSMTPD's log."""
        return self._root.read("output")

    def _start(self, root: ServerRoot, exits: ExitStack) -> ServerProcess:
        exits.enter_context(self._delivered)
        port = exits.enter_context(reserved_port(self.host))
        root.folder("var/lib/opensmtpd/empty")
        root.folder("var/run")
        root.folder("var/spool/smtpd", mode=0o711)
        for name in ("corrupt", "incoming", "purge", "queue", "temporary"):
            root.folder(f"var/spool/smtpd/{name}", QUEUE_USER, 0o700, "root")
        root.folder("var/spool/smtpd/offline", "root", 0o770, QUEUE_USER)
        root.write("etc/smtpd.conf", self._configuration(port))
        root.write("etc/mailname", "opensmtpd.test\n")
        # It looks for this file whether it verifies anything or not.
        root.write("etc/ssl/certs/ca-certificates.crt", "")
        lines = [f"{user} {_hashed(root, word)}\n" for user, word in self._users.items()]
        root.write("etc/users", "".join(lines), RUN_AS, 0o600)
        if self._tls is not None:
            root.write_certificates(self._tls)
        return ServerProcess(root.command("/usr/sbin/smtpd", "-d"), log=root.path / "output")

    def _configuration(self, port: int) -> str:
        tls = self._tls
        return fill(
            CONFIGURATION,
            host=self.host,
            port=port,
            size_limit=self._size_limit,
            certificates=CERTIFICATES if tls else "",
            client_ca=CLIENT_CA if tls and tls.client_ca else "",
            tls=_listens(tls),
            auth="auth <users>" if self._users else "",
            dsn="no-dsn" if "DSN" in self._withhold else "",
            filters=self._filters(),
            authenticated="auth" if self._users else "",
            delivered_port=self._delivered.port,
        )

    def _filters(self) -> str:
        lines = []
        for who, reply in self._replies.items():
            phase, match = "rcpt-to", f'rcpt-to {{ "{who}" }}'
            if who == ".":
                # There is no rule for all mails: it takes one for those not from far away.
                phase, match = "commit", f'!src {{ "{FAR_AWAY}" }}'
            lines.append(f'filter "{who}" phase {phase} match {match} reject "{reply}"')
        if not lines:
            return f'filter "all" phase connect match src {{ "{FAR_AWAY}" }} reject "554 never"'
        chain = ", ".join(f'"{who}"' for who in self._replies)
        return "\n".join([*lines, f'filter "all" chain {{ {chain} }}'])


def _listens(tls: Tls | None) -> str:
    if tls is None:
        return ""
    if tls.client_ca is None:
        return "smtps pki mx.test" if tls.implicit else "tls pki mx.test"
    return ("smtps" if tls.implicit else "tls-require") + " verify pki mx.test ca clients"


def _hashed(root: ServerRoot, password: str) -> str:
    command = root.command("/usr/libexec/opensmtpd/encrypt")
    encrypted = subprocess.run(command, input=password.encode(), capture_output=True, check=True)
    return encrypted.stdout.decode().strip()
