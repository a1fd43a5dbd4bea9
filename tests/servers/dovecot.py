"""A real Dovecot of our own, in a root folder of its own: what its servers have in common."""

import base64
import signal
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from .accounts import SIGNING_KEY, USERS
from .certificates import Tls
from .ports import reserved_port
from .process import ServerProcess
from .rooted_server import RootedServer
from .server_root import ServerRoot, fill

RUN_AS = ("dovecot", "dovenull", "vmail")
OWNER = "vmail"
"""Owns the mailboxes."""

MECHANISMS = (
    *("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"),
    *("XOAUTH2", "OAUTHBEARER", "EXTERNAL"),
)
"""What it can be told to offer; EXTERNAL for clients whose certificate it has verified.

Where it offers EXTERNAL, LOGIN fails for them: it has their name already, and takes the one that
they give for the password.
"""

COMMON = """\
base_dir = /run/dovecot
state_dir = /var/lib/dovecot
log_path = /log/dovecot
auth_verbose = yes
# Tests misbehave on purpose, and do not wait for the punishment.
auth_failure_delay = 0
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
auth_mechanisms = <mechanisms>
# Any user name will do.
auth_username_chars =
disable_plaintext_auth = <secure>
default_internal_user = dovecot
default_login_user = dovenull
first_valid_uid = 1
listen = <host>
hostname = dovecot.test
mail_location = maildir:~/mail
mail_save_crlf = yes
<ssl>
passdb {
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  default_fields = nodelay=yes
  args = /etc/oauth2
}
passdb {
  driver = static
  mechanisms = external
  args = nopassword
}
passdb {
  driver = passwd-file
  mechanisms = plain login cram-md5 scram-sha-1 scram-sha-256
  default_fields = nodelay=yes
  args = username_format=%u /etc/users
}
userdb {
  driver = passwd-file
  args = username_format=%u /etc/users
}
<protocol>
"""

OAUTH2 = """\
introspection_mode = local
local_validation_key_dict = fs:posix:prefix=/etc/keys/
username_attribute = sub
"""

AUTH_ONLY = """\
protocols =
service auth {
  inet_listener {
    port = <port>
  }
}
"""


class Dovecot(RootedServer):
    """One of Dovecot's servers on a free loopback port.

    Args:
        tls: how it speaks TLS, or None if it does not.
        auth: the mechanisms that it offers, of `MECHANISMS`.
        users: passwords by name.
    """

    def __init__(self, tls: Tls | None, auth: Sequence[str], users: Mapping[str, str]) -> None:
        super().__init__("dovecot", RUN_AS)
        if unknown := set(auth) - set(MECHANISMS):
            raise ValueError(f"Dovecot cannot offer {unknown}, only {', '.join(MECHANISMS)}")
        # To clients with its own address it offers what it else takes under TLS only.
        self.host = "127.0.0.2"
        self._tls = tls
        self._auth = tuple(auth)
        self._users = dict(users)

    @property
    def log(self) -> str:
        """Dovecot's log, and what it has printed."""
        return self._root.read("output") + self._root.read("log/dovecot")

    @abstractmethod
    def _protocol(self) -> str:
        """Give the part of the configuration that is not common."""

    def _fields(self, user: str) -> str:
        """Give what the user database says of this user, besides the rest."""
        return ""

    def _start(self, root: ServerRoot, exits: ExitStack) -> ServerProcess:
        port = exits.enter_context(reserved_port(self.host))
        for name in ("log", "run/dovecot", "var/lib/dovecot"):
            root.folder(name)
        root.folder("home", OWNER)
        root.write("etc/dovecot.conf", self._configuration(port))
        root.write("etc/users", "".join(map(self._user, self._users)))
        root.write("etc/oauth2", OAUTH2)
        root.write("etc/keys/default/HS256/default", base64.b64encode(SIGNING_KEY))
        if self._tls is not None:
            root.write_certificates(self._tls)
        command = root.command("/usr/sbin/dovecot", "-F", "-c", "/etc/dovecot.conf")
        return ServerProcess(command, log=root.path / "output", ending=signal.SIGKILL)

    def _user(self, name: str) -> str:
        password = base64.b64encode(self._users[name].encode()).decode()
        fields = self._fields(name)
        return f"{name}:{{PLAIN.b64}}{password}:{OWNER}:{OWNER}::/home/{name}::{fields}\n"

    def _configuration(self, port: int) -> str:
        return fill(
            COMMON,
            mechanisms=" ".join(self._auth).lower() or "plain",
            secure="yes" if self._tls else "no",
            ssl=_ssl(self._tls, external="EXTERNAL" in self._auth),
            protocol=self._protocol(),
            host=self.host,
            port=port,
            implicit="yes" if self._tls and self._tls.implicit else "no",
        )


class DovecotAuth(Dovecot):
    """Dovecot's SASL server alone, on a free loopback port, for Postfix.

    Args:
        auth: the mechanisms that it offers, of `MECHANISMS`.
        users: passwords by name.
    """

    def __init__(self, *, auth: Sequence[str], users: Mapping[str, str] = USERS) -> None:
        super().__init__(None, auth, users)

    def _protocol(self) -> str:
        return AUTH_ONLY


def _ssl(tls: Tls | None, *, external: bool) -> str:
    if tls is None:
        return "ssl = no"
    lines = ["ssl = yes", "ssl_cert = </etc/certificate.pem", "ssl_key = </etc/certificate.key"]
    if tls.client_ca is not None:
        lines += [
            "ssl_ca = </etc/client-ca.pem",
            "ssl_require_crl = no",
            "ssl_verify_client_cert = yes",
            f"auth_ssl_username_from_cert = {'yes' if external else 'no'}",
            f"auth_ssl_require_client_cert = {'yes' if tls.client_required else 'no'}",
        ]
    return "\n".join(lines)
