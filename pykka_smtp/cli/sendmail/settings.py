"""Where the relay stands that ``sendmail`` passes emails to: SMTP_URL, or a file in TOML.

The file is one of ``~/.config/pykka-smtp.toml`` and ``/etc/pykka-smtp.toml``; the first that is
there counts alone. With a password in it, only its owner may be able to read it.
"""

import contextlib
import os
import pwd
import socket
import stat
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from ...actors.options.options import collect_options
from ...actors.options.relay_url import parse_relay_url
from ...smtp.mail.address import check_ehlo_name, check_mailbox
from ...smtp.mail.domain import AddressError
from ...smtp.sasl.secret import Secret
from ..sysexits import EX_CONFIG, EX_NOPERM

ALIAS = "sendmail"
SYSTEM_FILE = "/etc/pykka-smtp.toml"
FILE_NAME = "pykka-smtp.toml"
EVERYBODY = "*"
_URL, _BACKUPS = "SMTP_URL", "SMTP_BACKUP_URLS"
_DIVERSION = "PYKKA_SMTP_URL_ALL"
_MAX_FILE = 1024 * 1024
"""Bytes: enough for ten thousand aliases."""
_KEYS = ("url", "backups", "domain", "sender", "aliases")


class SettingsError(Exception):
    """The settings cannot be used. The message is one line, and shows no password.

    Attributes:
        status: the exit status.
    """

    def __init__(self, message: str, status: int = EX_CONFIG) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How emails leave this machine.

    Attributes:
        urls: the relay URL, and those of backups.
        domain: what is appended to an address without one.
        sender: the reverse-path where the program names none with a domain, or None.
        aliases: the addresses that get what is for a name without a domain, in lower case.
    """

    urls: tuple[Secret, ...]
    domain: str
    sender: str | None = None
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    def addresses_of(self, address: str) -> tuple[str, ...]:
        """Return the recipients for an address, which may lack a domain."""
        if "@" in address:
            return (address,)
        alias = self.aliases.get(address.lower(), self.aliases.get(EVERYBODY))
        return (f"{address}@{self.domain}",) if alias is None else alias


def read_settings(name: str | None = None) -> Settings:
    """Read the environment and the file.

    Args:
        name: a file that counts instead of the usual ones, and of the environment; or None.

    Raises:
        SettingsError: there is no relay URL, or something is wrong with it or with the file.
    """
    _forget_ways_back()
    from_environment = "" if name is not None else os.environ.get(_URL, "")
    paths = _paths() if name is None else [Path(name)]
    path, table = _read_first(paths, is_needed=not from_environment)
    if name is not None and not path:
        raise SettingsError(f"cannot read {name}: No such file or directory")
    if unknown := [key for key in table if key not in _KEYS]:
        raise SettingsError(f"{path}: unknown setting {unknown[0]!r}; known are {', '.join(_KEYS)}")
    if from_environment:
        named = [(_URL, from_environment)]
        named += [(_BACKUPS, url) for url in os.environ.get(_BACKUPS, "").split()]
    else:
        named = [(f"{path}: url", url) for url in _texts(path, table, "url")[:1]]
        named += [(f"{path}: backups", url) for url in _texts(path, table, "backups")]
    if not named:
        raise SettingsError(
            f"needs a relay URL: in {_URL}, or as url in ~/.config/{FILE_NAME} or {SYSTEM_FILE}"
        )
    domain = _texts(path, table, "domain")
    sender = _texts(path, table, "sender")
    return Settings(
        urls=tuple([_checked_url(name, url) for name, url in named]),
        domain=_checked(path, "domain", check_ehlo_name, domain[0]) if domain else own_domain(),
        sender=_checked(path, "sender", check_mailbox, sender[0]) if sender else None,
        aliases=_aliases(path, table.get("aliases", {})),
    )


def own_domain() -> str:
    """Return the domain of this machine's addresses: that in /etc/mailname, or the host's name."""
    try:
        name = Path("/etc/mailname").read_text("ascii").strip()
    except (OSError, ValueError):
        name = ""
    name = name or socket.gethostname()
    # The name server is asked only where the name of the host is no complete one.
    full = name if "." in name else socket.getfqdn(name)
    try:
        return check_ehlo_name(full if "." in full else name)
    except AddressError:
        return "localhost"


def user_name() -> str:
    """Return the name of the user who runs this."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # as in a container
        return f"uid{os.getuid()}"


def full_name() -> str:
    """Return the name of the person who runs this, or an empty one."""
    try:
        gecos = pwd.getpwuid(os.getuid()).pw_gecos
    except KeyError:
        return ""
    name = gecos.partition(",")[0]
    # "&" is the name of the user, as 4.2BSD has it.
    return name.replace("&", user_name().capitalize())


def _forget_ways_back() -> None:
    """Do without URLs that name a sendmail: it may be this one, which would start itself for ever.

    A program that sends by ``sendmail:`` has its URL in the environment, which is inherited.
    """
    for name in (_URL, _DIVERSION):
        if os.environ.get(name, "").lower().startswith("sendmail:"):
            del os.environ[name]


def _read_first(paths: Sequence[Path], *, is_needed: bool) -> tuple[str, dict[str, Any]]:
    """Return the name of the first file that is there, and what is in it; nothing without one."""
    for path in paths:
        try:
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                data = file.read(_MAX_FILE + 1)
        except FileNotFoundError:
            continue
        except OSError as error:
            if isinstance(error, PermissionError) and not is_needed:
                continue
            raise SettingsError(f"cannot read {path}: {error.strerror or error}") from None
        if len(data) > _MAX_FILE:
            raise SettingsError(f"{path} is longer than {_MAX_FILE} octets")
        try:
            table = tomllib.loads(data.decode())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            # The message of the first names a place only, that of the second shows octets.
            flaw = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "not UTF-8"
            raise SettingsError(f"{path} is not TOML: {flaw}") from None
        _check_owner(path, status, table)
        return str(path), table
    return "", {}


def _paths() -> list[Path]:
    folder = os.environ.get("XDG_CONFIG_HOME", "")
    folders = [Path(folder)] if folder.startswith("/") else [home / ".config" for home in _homes()]
    return [*(one / FILE_NAME for one in folders), Path(SYSTEM_FILE)]


def _homes() -> list[Path]:
    """Return the home of the user who runs this, if there is one.

    Under cron, HOME is that of who has started cron.
    """
    homes = [os.environ.get("HOME", "")]
    with contextlib.suppress(KeyError):
        homes.append(pwd.getpwuid(os.getuid()).pw_dir)
    for home in homes:
        with contextlib.suppress(OSError):
            if home and os.stat(home).st_uid == os.geteuid():  # noqa: PTH116
                return [Path(home)]
    return []


def _check_owner(path: Path, status: os.stat_result, table: Mapping[str, object]) -> None:
    """Check that others cannot read a password in the file, or change what it says.

    Raises:
        SettingsError: they can.
    """
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid not in (0, os.geteuid()):
        raise SettingsError(f"{path} belongs to another user", EX_NOPERM)
    if mode & 0o022:
        raise SettingsError(f"{path} can be changed by others: chmod go-w {path}", EX_NOPERM)
    if mode & 0o044 and any(map(_has_password, _urls_in(table))):
        raise SettingsError(
            f"{path} holds a password, and others can read it: chmod 600 {path}", EX_NOPERM
        )


def _urls_in(table: Mapping[str, object]) -> list[object]:
    backups = table.get("backups", [])
    more = cast("list[object]", backups) if isinstance(backups, list) else [backups]
    return [table.get("url"), *more]


def _has_password(url: object) -> bool:
    # A wrong URL may hold one, too; and so may that of a proxy.
    return isinstance(url, str) and ("@" in url or "proxy=" in url)


def _checked_url(name: str, url: str) -> Secret:
    """Check that a relay URL can be used.

    Raises:
        SettingsError: it cannot.
    """
    try:
        if parse_relay_url(url).outlet == "sendmail":
            raise SettingsError(f"{name}: is a sendmail, which may be this one; name a server")
        collect_options(url=Secret(url), alias=ALIAS)
    except (ValueError, ImportError) as error:
        raise SettingsError(f"{name}: {error}") from None
    return Secret(url)


def _texts(path: str, table: Mapping[str, object], key: str) -> list[str]:
    """Return the text, or the texts, of a key; none if it is not there."""
    value = table.get(key, [])
    values = cast("list[object]", value) if isinstance(value, list) else [value]
    if not all(isinstance(one, str) and one for one in values):
        raise SettingsError(f"{path}: {key} needs a text in quotes")
    return [str(one) for one in values]


def _checked(path: str, key: str, check: Any, text: str) -> str:
    try:
        return str(check(text))
    except AddressError as error:
        raise SettingsError(f"{path}: {key}: {error}") from None


def _aliases(path: str, table: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(table, dict):
        raise SettingsError(f"{path}: aliases needs a table, such as [aliases] and root = '...'")
    aliases = cast("dict[str, object]", table)
    return {
        name.lower(): tuple(
            _checked(path, f"aliases: {name}", check_mailbox, address)
            for address in _texts(path, aliases, name)
        )
        for name in aliases
    }
