"""A real Postfix of our own: configuration, queue and data in a temporary folder.

Nothing of a system-wide Postfix is touched, and none need run. The parts are started as
``master`` itself would be, since the ``postfix`` command's checks take longer than most tests.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from .accounts import USERS
from .certificates import Tls
from .delivered import MARKER, without_trace
from .dovecot import DovecotAuth
from .process import ServerProcess
from .require import require, require_root
from .running import Running
from .scripted import ReceivedMail, ScriptedServer, polite

MASTER = """\
127.0.0.1:0 inet  n - n - - smtpd
cleanup   unix    n - n - 0 cleanup
qmgr      unix    n - n 300 1 qmgr
rewrite   unix    - - n - - trivial-rewrite
bounce    unix    - - n - 0 bounce
defer     unix    - - n - 0 bounce
trace     unix    - - n - 0 bounce
proxymap  unix    - - n - - proxymap
tlsmgr    unix    - - n 1000? 1 tlsmgr
anvil     unix    - - n - 1 anvil
error     unix    - - n - - error
discard   unix    - - n - - discard
lmtp      unix    - - n - - lmtp
postlog   unix-dgram n - n - 1 postlogd
"""

QUEUES = (
    *("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming"),
    *("private", "saved", "trace"),
)
"""The queue's folders that belong to Postfix's user; ``public`` and ``maildrop`` to its group."""


class PostfixSmtpd(Running):
    """Postfix's smtpd on a free loopback port.

    Args:
        replies: what to say to recipients instead of yes, such as ``{"no@x.test": "550 5.1.1
            who?", "later@x.test": "450 4.2.0 greylisted"}``; ``"."`` is the reply to a mail.
        withhold: EHLO keywords that it does not offer, such as ``("PIPELINING",)``.
        size_limit: octets of a mail, offered as SIZE.
        keep: deliver what was taken to `mails` (with Postfix's Received header on top); otherwise
            it is discarded.
        trace: leave Postfix's Received header on the `mails`; False cuts it off.
        tls: how it speaks TLS, or None if it does not.
        auth: the mechanisms that it offers, with Dovecot as its SASL server: those of Dovecot
            but EXTERNAL; under TLS only if ``tls`` is given. Mails are then for those who logged
            in.
        users: passwords by name.
        settings: lines of main.cf, which win over the ones here. ``$config_directory/NAME`` is the
            file of that name in ``tables``.
        tables: files beside main.cf, such as ``{"body": "/virus/ REJECT no"}`` for a
            ``body_checks`` of ``"regexp:$config_directory/body"``.

    Attributes:
        host: where it listens.
        port: a free port, chosen by the system.
    """

    def __init__(
        self,
        *,
        replies: Mapping[str, str] | None = None,
        withhold: Sequence[str] = (),
        size_limit: int = 10_240_000,
        keep: bool = False,
        trace: bool = True,
        tls: Tls | None = None,
        auth: Sequence[str] = (),
        users: Mapping[str, str] = USERS,
        settings: Mapping[str, str] | None = None,
        tables: Mapping[str, str] | None = None,
    ) -> None:
        require_root()
        self._postconf = require("postconf")
        super().__init__()
        self._replies = dict(replies or {})
        self._withhold = tuple(withhold)
        self._size_limit = size_limit
        self._settings = dict(settings or {})
        self._tables = dict(tables or {})
        self._trace = trace
        self._tls = tls
        self._sasl = DovecotAuth(auth=auth, users=users) if auth else None
        self._store = ScriptedServer(polite("8BITMIME", "SMTPUTF8")) if keep else None

    def _begin(self, exits: ExitStack) -> None:
        """Lay out the folders, start master, and wait until it listens."""
        if self._store is not None:
            exits.enter_context(self._store)
        if self._sasl is not None:
            exits.enter_context(self._sasl)
        self._folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="postfix-")))
        self._lay_out()
        process = ServerProcess(
            [f"{self._setting('daemon_directory')}/master", "-d", "-c", str(self._folder)],
            log=self._folder / "output",
        )
        exits.callback(process.stop)
        self.port = process.port

    @property
    def mails(self) -> tuple[ReceivedMail, ...]:
        """What was delivered; delivery comes a moment after the verdict: `wait_for` it."""
        mails = self._kept.mails
        return mails if self._trace else tuple(without_trace(mail, "received") for mail in mails)

    @property
    def log(self) -> str:
        """Postfix's log, and that of its SASL server."""
        path = self._folder / "log"
        log = path.read_text(errors="backslashreplace") if path.exists() else "(no log)"
        return log + self._sasl.log if self._sasl else log

    def wait_for(self, predicate: Callable[[], object], timeout: float = 10.0) -> None:
        """Wait until the predicate holds; it is asked after each step of a delivery.

        Raises:
            AssertionError: it did not hold within the seconds given.
        """
        try:
            self._kept.wait_for(predicate, timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}\nPostfix's log:\n{self.log}") from None

    @property
    def _kept(self) -> ScriptedServer:
        if self._store is None:
            raise RuntimeError("start PostfixSmtpd with keep=True to look at its mails")
        return self._store

    def _setting(self, name: str) -> str:
        command = [self._postconf, "-c", str(self._folder), "-h", name]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def _main(self) -> dict[str, str]:
        folder = self._folder
        transport = f"lmtp:inet:{self._store.host}:{self._store.port}" if self._store else "discard"
        return {
            "compatibility_level": "3.6",
            "queue_directory": f"{folder}/queue",
            "data_directory": f"{folder}/data",
            # Its own log file: a test machine may have no syslog.
            "maillog_file": f"{folder}/log",
            "maillog_file_prefixes": str(folder),
            "myhostname": "postfix.test",
            "mydestination": "",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "mynetworks": "127.0.0.0/8",
            "alias_maps": "",
            "alias_database": "",
            "default_transport": transport,
            # One connection for each delivery, closed at once; mails go on as they came.
            "lmtp_connection_cache_on_demand": "no",
            "lmtp_line_length_limit": "0",
            "smtpd_relay_restrictions": f"{self._whom}, reject",
            "smtpd_recipient_restrictions": "check_recipient_access "
            f"texthash:$config_directory/recipients, {self._whom}, reject",
            # No client of it is a local one, whose mail it would complete with header fields.
            "local_header_rewrite_clients": "",
            "body_checks": "regexp:$config_directory/marker",
            "smtpd_discard_ehlo_keywords": ", ".join(self._withhold),
            "message_size_limit": str(self._size_limit),
            # Tests misbehave on purpose, and do not wait for the punishment.
            "smtpd_error_sleep_time": "0",
            "smtpd_client_connection_count_limit": "0",
            **self._tls_settings(),
            **self._sasl_settings(),
            **self._dot_settings(),
        } | self._settings

    @property
    def _whom(self) -> str:
        return "permit_sasl_authenticated" if self._sasl else "permit_mynetworks"

    def _tls_settings(self) -> dict[str, str]:
        if self._tls is None:
            return {"smtpd_tls_security_level": "none"}
        settings = {
            "smtpd_tls_security_level": "may",
            "smtpd_tls_wrappermode": "yes" if self._tls.implicit else "no",
            "smtpd_tls_chain_files": f"{self._tls.certificate.key}, {self._tls.certificate.chain}",
            "smtpd_tls_auth_only": "yes",
            "smtpd_tls_loglevel": "1",
            "tls_random_source": "dev:/dev/urandom",
        }
        if self._tls.client_ca is not None:
            # Asked for, and no more: it can demand one only where TLS itself is demanded.
            required = self._tls.client_required
            settings["smtpd_tls_CAfile"] = str(self._tls.client_ca)
            settings["smtpd_tls_ask_ccert"] = "yes"
            settings["smtpd_tls_req_ccert"] = "yes" if required else "no"
            settings["smtpd_tls_security_level"] = "encrypt" if required else "may"
        return settings

    def _sasl_settings(self) -> dict[str, str]:
        if self._sasl is None:
            return {}
        return {
            "smtpd_sasl_auth_enable": "yes",
            "smtpd_sasl_type": "dovecot",
            "smtpd_sasl_path": f"inet:{self._sasl.host}:{self._sasl.port}",
            "smtpd_sasl_security_options": "noanonymous",
        }

    def _dot_settings(self) -> dict[str, str]:
        if "." not in self._replies:
            return {}
        every = f"check_sender_access static:{{{self._replies['.']}}}"
        return {"smtpd_end_of_data_restrictions": every}

    def _lay_out(self) -> None:
        folder = self._folder
        folder.chmod(0o755)
        main = "".join(f"{name} = {value}\n" for name, value in self._main().items())
        recipients = "".join(f"{who} {reply}\n" for who, reply in self._replies.items())
        files = {"main.cf": main, "master.cf": MASTER, "recipients": recipients}
        files["marker"] = f"/{MARKER}/ REJECT 5.6.0 The content is refused\n"
        for name, text in (files | self._tables).items():
            (folder / name).write_text(text)
            # Postfix reads a file of the last seconds again and again, lest it be half written.
            os.utime(folder / name, (0, 0))
        owner = pwd.getpwnam(self._setting("mail_owner")).pw_uid
        group = self._setting("setgid_group")
        _folder(folder / "data", 0o700, owner)
        _folder(folder / "queue", 0o755)
        _folder(folder / "queue/pid", 0o755)
        _folder(folder / "queue/public", 0o710, owner, group)
        _folder(folder / "queue/maildrop", 0o730, owner, group)
        for name in QUEUES:
            _folder(folder / "queue" / name, 0o700, owner)


def _folder(path: Path, mode: int, owner: int | None = None, group: str | None = None) -> None:
    path.mkdir()
    path.chmod(mode)
    if owner is not None:
        shutil.chown(path, owner, group)
