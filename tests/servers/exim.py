"""A real Exim of our own, in a root folder of its own."""

import re
import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from .accounts import TOKEN, USERS
from .certificates import Tls
from .delivered import MARKER, Delivered
from .process import ServerProcess
from .rooted_server import DeliveringServer
from .server_root import ServerRoot, fill

RUN_AS = "Debian-exim"
"""Compiled into Debian's Exim."""

OFFERED = {
    "accept_8bitmime": "true",
    "chunking_advertise_hosts": "*",
    "dsn_advertise_hosts": "*",
    "pipelining_advertise_hosts": "*",
    "smtputf8_advertise_hosts": "*",
}
WITHHOLD = {
    "8BITMIME": ("accept_8bitmime", "false"),
    "CHUNKING": ("chunking_advertise_hosts", ""),
    "DSN": ("dsn_advertise_hosts", ""),
    "PIPECONNECT": ("pipelining_connect_advertise_hosts", ""),
    "PIPELINING": ("pipelining_advertise_hosts", ""),
    "SMTPUTF8": ("smtputf8_advertise_hosts", ""),
}
"""What it can be told not to offer."""

CONFIGURATION = r"""
primary_hostname = exim.test
spool_directory = /spool
log_file_path = /log/%slog
write_rejectlog = false
log_selector = +received_recipients +smtp_protocol_error +smtp_syntax_error +tls_peerdn
# No look-ups: neither of names nor of users.
host_lookup =
rfc1413_hosts =
keep_environment =
allow_domain_literals = true
# Deliveries are connections to the test: no other user need make them.
deliver_drop_privilege = true
smtp_accept_max = 0
smtp_accept_queue_per_connection = 0
smtp_accept_max_nonmail = 1000
recipients_max = 0
message_body_visible = 100000
message_size_limit = <size_limit>
auth_advertise_hosts = <auth_hosts>
<tls>
acl_smtp_mail = mail
acl_smtp_rcpt = recipient
acl_smtp_data = data
<settings>

begin acl
mail:
  deny condition = <login>
       !authenticated = *
       message = 530 5.7.0 Authentication required
  accept
recipient:
  warn set acl_m_reply = ${lookup{$local_part@$domain}lsearch{/etc/replies}}
  deny condition = ${if match{$acl_m_reply}{^5}}
       message = $acl_m_reply
  defer condition = ${if match{$acl_m_reply}{^4}}
       message = $acl_m_reply
  accept
data:
  warn set acl_m_reply = ${lookup{.}lsearch{/etc/replies}}
  warn condition = ${if match{$message_headers$message_body}{<marker>}}
       set acl_m_reply = 554 5.6.0 The content is refused
  deny condition = ${if match{$acl_m_reply}{^5}}
       message = $acl_m_reply
  defer condition = ${if match{$acl_m_reply}{^4}}
       message = $acl_m_reply
  accept

begin routers
keep:
  driver = manualroute
  route_list = * 127.0.0.1
  self = send
  transport = keep

begin transports
keep:
  driver = smtp
  protocol = lmtp
  port = <port>
  allow_localhost
  hosts_avoid_tls = *
  message_linelength_limit = 1000000000

begin authenticators
"""

AUTHENTICATORS = {
    "PLAIN": r"""
  driver = plaintext
  server_prompts = :
  server_condition = ${if eq{$auth3}{${lookup{$auth2}lsearch{/etc/users}{$value}fail}}}
  server_set_id = $auth2
""",
    "LOGIN": r"""
  driver = plaintext
  server_prompts = User Name : Password
  server_condition = ${if eq{$auth2}{${lookup{$auth1}lsearch{/etc/users}{$value}fail}}}
  server_set_id = $auth1
""",
    "CRAM-MD5": r"""
  driver = cram_md5
  server_secret = ${lookup{$auth1}lsearch{/etc/users}{$value}fail}
  server_set_id = $auth1
""",
    "XOAUTH2": r"""
  driver = plaintext
  server_prompts = :
  server_condition = ${if match{$auth1}{\N^user=([^\x01]+)\x01auth=Bearer <token>\x01\x01$\N}\
    {${lookup{$1}lsearch{/etc/users}{yes}{no}}}}
  server_set_id = ${sg{$auth1}{\N^user=([^\x01]*)\x01.*\N}{\$1}}
""",
    "OAUTHBEARER": r"""
  driver = plaintext
  server_prompts = :
  server_condition = \
    ${if match{$auth1}{\N^n,a=([^,]+),\x01(?:[^\x01]+\x01)*auth=Bearer <token>\x01\x01$\N}\
    {${lookup{$1}lsearch{/etc/users}{yes}{no}}}}
  server_set_id = ${sg{$auth1}{\N^n,a=([^,]*),.*\N}{\$1}}
""",
    "EXTERNAL": r"""
  driver = external
  server_advertise_condition = ${if eq{$tls_in_certificate_verified}{1}}
  server_param2 = ${certextract{subj_altname,mail}{$tls_in_peercert}}
  server_condition = ${if eq{$auth1}{$auth2}}
  server_set_id = $auth1
""",
}
"""The mechanisms that it can offer; EXTERNAL only to clients with a certificate it can verify."""


class EximSmtpd(DeliveringServer):
    """Exim on a free loopback port.

    It answers QUIT after 200 ms, unless the client closes the connection before.

    Args:
        replies: what to say to recipients instead of yes, such as ``{"no@x.test": "550 5.1.1
            who?", "later@x.test": "450 4.2.0 greylisted"}``; ``"."`` is the reply to a mail.
        withhold: EHLO keywords that it does not offer; those of `WITHHOLD`.
        size_limit: octets of a mail, offered as SIZE.
        tls: how it speaks TLS, or None if it does not.
        auth: the mechanisms that it offers, of `AUTHENTICATORS`; under TLS only if ``tls`` is
            given. Mails are then for those who logged in.
        users: passwords by name; they may hold no line end.
        settings: main options of Exim's configuration, which win over the ones here.
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
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__("exim", [RUN_AS])
        if unknown := set(withhold) - set(WITHHOLD):
            raise ValueError(f"Exim cannot withhold {unknown}, only {', '.join(WITHHOLD)}")
        if unknown := set(auth) - set(AUTHENTICATORS):
            raise ValueError(f"Exim cannot offer {unknown}, only {', '.join(AUTHENTICATORS)}")
        self._delivered = Delivered("received")
        self._replies = dict(replies or {})
        self._withhold = dict(WITHHOLD[keyword] for keyword in withhold)
        self._size_limit = size_limit
        self._tls = tls
        self._auth = tuple(auth)
        self._users = dict(users)
        self._settings = dict(settings or {})

    @property
    def log(self) -> str:
        """Exim's log, and what it has printed."""
        return "".join(map(self._root.read, ("output", "log/paniclog", "log/mainlog")))

    def _start(self, root: ServerRoot, exits: ExitStack) -> ServerProcess:
        exits.enter_context(self._delivered)
        for name in ("spool", "log", "run/exim4"):
            root.folder(name, RUN_AS)
        root.write("etc/exim4/exim4.conf", self._configuration())
        root.write("etc/replies", _table(self._replies))
        root.write("etc/users", _table(self._users), RUN_AS, 0o600)
        if self._tls is not None:
            root.write_certificates(self._tls, RUN_AS)
        implicit = ["-tls-on-connect"] if self._tls and self._tls.implicit else []
        # It takes port 0 for port 25, so it gets a socket that listens already, as from inetd.
        with socket.create_server((self.host, 0), backlog=512) as listener:
            return ServerProcess(
                root.command("/usr/sbin/exim4", "-bw", *implicit),
                log=root.path / "output",
                listener=listener,
                ready=lambda: "daemon started" in root.read("log/mainlog"),
            )

    def _configuration(self) -> str:
        settings = OFFERED | self._withhold | self._settings
        lines = [f"{name} = {value}\n" for name, value in settings.items()]
        configuration = fill(
            CONFIGURATION,
            size_limit=self._size_limit,
            auth_hosts="${if def:tls_in_cipher {*}}" if self._tls else "*",
            tls=_tls(self._tls),
            settings="".join(lines),
            login="yes" if self._auth else "no",
            marker=MARKER,
            port=self._delivered.port,
        )
        for name in self._auth:
            configuration += f"{name.replace('-', '_')}:\n  public_name = {name}"
            configuration += AUTHENTICATORS[name]
        return configuration.replace("<token>", re.escape(TOKEN))


def _tls(tls: Tls | None) -> str:
    if tls is None:
        return "tls_advertise_hosts ="
    lines = [
        "tls_advertise_hosts = *",
        "tls_certificate = /etc/certificate.pem",
        "tls_privatekey = /etc/certificate.key",
    ]
    if tls.client_ca is not None:
        lines.append("tls_verify_certificates = /etc/client-ca.pem")
        hosts = "tls_verify_hosts" if tls.client_required else "tls_try_verify_hosts"
        lines.append(f"{hosts} = *")
    return "\n".join(lines)


def _table(entries: Mapping[str, str]) -> str:
    """Write entries for Exim's lsearch."""
    return "".join(f'"{key}": {value}\n' for key, value in entries.items())
