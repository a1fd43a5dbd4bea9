"""smtp-server of npm, the one that comes with nodemailer's family, in a process of its own."""

import base64
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from .accounts import TOKEN, USERS
from .certificates import Tls
from .delivered import MARKER
from .process import ServerProcess
from .running import Running
from .scripted import ReceivedMail
from .server_root import fetched
from .waiting import wait_until

MECHANISMS = ("PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2")
"""What it can offer."""
KEYWORDS = ("8BITMIME", "DSN", "ENHANCEDSTATUSCODES", "PIPELINING", "REQUIRETLS", "SMTPUTF8")
"""What it can offer, or withhold; REQUIRETLS only under TLS."""
SCRIPT = Path(__file__).with_suffix(".js")


class NodeSmtpServer(Running):
    """smtp-server on a free loopback port.

    Args:
        replies: what to say to recipients instead of yes, such as ``{"no@x.test": "550 5.1.1
            who?", "later@x.test": "450 4.2.0 greylisted"}``; ``"."`` is the reply to a mail, and
            in LMTP ``". c@d.test"`` that for one recipient.
        withhold: EHLO keywords that it does not offer, of `KEYWORDS`. With ENHANCEDSTATUSCODES it
            would put codes of its own before the texts of ``replies``.
        size_limit: octets of a mail, offered as SIZE.
        tls: how it speaks TLS, or None if it does not.
        auth: the mechanisms that it offers, of `MECHANISMS`; under TLS only if ``tls`` is given.
            Mails are then for those who logged in.
        users: passwords by name.
        lmtp: speak LMTP.

    Attributes:
        host: where it listens.
        port: a free port, chosen by the system.
    """

    def __init__(
        self,
        *,
        replies: Mapping[str, str] | None = None,
        withhold: Sequence[str] = ("ENHANCEDSTATUSCODES",),
        size_limit: int = 50_000_000,
        tls: Tls | None = None,
        auth: Sequence[str] = (),
        users: Mapping[str, str] = USERS,
        lmtp: bool = False,
    ) -> None:
        self._programs = fetched("node")
        if unknown := set(withhold) - set(KEYWORDS):
            raise ValueError(f"smtp-server cannot withhold {unknown}, only {', '.join(KEYWORDS)}")
        if unknown := set(auth) - set(MECHANISMS):
            raise ValueError(f"smtp-server cannot offer {unknown}, only {', '.join(MECHANISMS)}")
        super().__init__()
        self._configuration = {
            "host": self.host,
            "replies": dict(replies or {}),
            "users": dict(users),
            "token": TOKEN,
            "marker": MARKER,
            "options": _options(withhold, tls, auth) | {"size": size_limit, "lmtp": lmtp},
        }

    def _begin(self, exits: ExitStack) -> None:
        """Start it, and wait until it listens."""
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="smtp-server-")))
        self._log = folder / "log"
        self._mails = folder / "mails"
        self._mails.mkdir()
        self._configuration["folder"] = str(self._mails)
        (folder / "configuration").write_text(json.dumps(self._configuration))
        process = ServerProcess(
            [str(self._programs / "bin/node"), str(SCRIPT), str(folder / "configuration")],
            log=self._log,
            environment={"NODE_PATH": str(self._programs / "node_modules")},
        )
        exits.callback(process.stop)
        self.port = process.port

    @property
    def mails(self) -> tuple[ReceivedMail, ...]:
        """What it took; it is there before the verdict. The raw octets are unknown."""
        return tuple(map(_mail, sorted(self._mails.glob("*.json"))))

    @property
    def log(self) -> str:
        """What it has printed, each line of a conversation among it."""
        return self._log.read_text(errors="backslashreplace")

    def wait_for(self, predicate: Callable[[], object], timeout: float = 10.0) -> None:
        """Wait until the predicate holds.

        Raises:
            AssertionError: it did not hold within the seconds given.
        """
        if not wait_until(predicate, timeout):
            raise AssertionError(f"waited {timeout} s in vain; the server's log:\n{self.log}")


def _options(withhold: Sequence[str], tls: Tls | None, auth: Sequence[str]) -> dict[str, Any]:
    options: dict[str, Any] = {f"hide{keyword}": keyword in withhold for keyword in KEYWORDS}
    disabled = [*([] if tls else ["STARTTLS"]), *([] if auth else ["AUTH"])]
    options |= {
        "name": "node.test",
        "logger": True,
        "disableReverseLookup": True,
        "disabledCommands": disabled,
        "authMethods": list(auth),
        "authOptional": not auth,
        "allowInsecureAuth": tls is None,
    }
    if tls is not None:
        options |= {
            "secure": tls.implicit,
            "cert": tls.certificate.chain.read_text(),
            "key": tls.certificate.key.read_text(),
        }
        if tls.client_ca is not None:
            options |= {
                "ca": tls.client_ca.read_text(),
                "requestCert": True,
                "rejectUnauthorized": tls.client_required,
            }
    return options


def _mail(path: Path) -> ReceivedMail:
    mail = json.loads(path.read_text())
    return ReceivedMail(
        sender=mail["sender"],
        recipients=tuple(mail["recipients"]),
        data=base64.b64decode(mail["data"]),
        raw=b"",
        verdicts=[250] * len(mail["recipients"]),
    )
