"""What signs and encrypts the emails of a command: keys and certificates named on its line."""

import argparse
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...signals import SendMail
from ...signals.protecting.certificates import library_of_smime, persons
from ...signals.protecting.openpgp import library_of_pgp, pgp_person
from ...signals.protecting.pgp import Pgp
from ...signals.protecting.protection import Protection, key_of_address
from ...signals.protecting.smime import Smime
from ...signals.signing.dkim import Dkim, Signers, signed, signers_of
from ...signals.signing.private_key import GivenKey
from ...smtp.mail.wrapped.wrapping import UnprotectableError
from ..input.recipients import MAX_COMPLAINTS
from ..sysexits import EX_DATAERR, EX_UNAVAILABLE, EX_USAGE
from .errors import CannotSendError, unreadable

SMIME_PASSWORD = "SMTP_SMIME_PASSWORD"  # noqa: S105 - a variable of the environment
PGP_PASSWORD = "SMTP_PGP_PASSWORD"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Signing:
    """Who signs, and for whom is encrypted.

    Attributes:
        dkim: the domains that sign.
        protect: what signs for a person, and encrypts; or None.
    """

    dkim: Signers = ()
    protect: Protection | None = None

    @property
    def encrypts(self) -> bool:
        """Whether emails are encrypted."""
        return self.protect is not None and self.protect.encrypts

    def options(self) -> dict[str, Any]:
        """Return the options of a Mailer."""
        return ({"dkim": self.dkim} if self.dkim else {}) | (
            {} if self.protect is None else {"protect": self.protect}
        )

    def check_readers(self, addresses: Iterable[str]) -> None:
        """Check that an email can be encrypted for each recipient.

        Args:
            addresses: the recipients.

        Raises:
            CannotSendError: it can't; all of them were looked at.
        """
        if self.protect is None:
            return
        complaints: list[str] = []
        count = 0
        for address in addresses if self.protect.encrypts else ():
            try:
                self.protect.check((address,))
            except UnprotectableError as error:
                count += 1
                if count <= MAX_COMPLAINTS:
                    complaints.append(str(error))
        if count > MAX_COMPLAINTS:
            complaints.append(f"{count - MAX_COMPLAINTS} more cannot be encrypted for")
        if count:
            raise CannotSendError(EX_DATAERR, *complaints, "nothing was sent")

    def try_on(self, mail: SendMail) -> int | None:
        """Sign and encrypt an email now, since an error in it is an error in all.

        A key that is not that of the sender is logged here, and not amid the progress.

        Args:
            mail: the email.

        Returns:
            Its size in octets; None if it was not made now.

        Raises:
            CannotSendError: it can't be signed or encrypted.
        """
        try:
            if self.protect is not None:
                mail = self.protect.mails(mail)[0]
            if mail.content is None or not (self.dkim or self.protect):
                return None  # of files, which are read while it is sent
            content = signed(mail.content, self.dkim) if self.dkim else mail.content
        except OSError as error:
            raise unreadable(str(error.filename), error) from None
        except ValueError as error:
            what = "encrypt" if self.encrypts else "sign"
            raise CannotSendError(EX_DATAERR, f"cannot {what} the email: {error}") from None
        return len(content.render(eight_bit=True).data or b"")


def signing_of(options: argparse.Namespace) -> Signing:
    """Read the keys and certificates.

    Args:
        options: what was parsed.

    Raises:
        CannotSendError: one of them can't be used, or the library is not installed.
    """
    named = (
        options.smime_cert,
        options.smime_key,
        options.pgp_key,
        *(key for *_, key in options.dkim),
    )
    if "" in (*named, *options.smime_for, *options.pgp_for):
        # As of a variable of the shell that is not set: nothing goes out in clear for that.
        raise CannotSendError(EX_USAGE, "the name of a key or certificate is empty")
    smime = bool(options.smime_cert or options.smime_key or options.smime_for)
    pgp = bool(options.pgp_key or options.pgp_for)
    if smime and pgp:
        raise CannotSendError(EX_USAGE, "an email is for S/MIME or for PGP, not for both")
    try:
        dkim = _dkim(options.dkim)
        protect = _smime(options) if smime else _pgp(options) if pgp else None
    except ImportError as error:
        raise CannotSendError(EX_UNAVAILABLE, str(error)) from None
    except OSError as error:
        raise unreadable(str(error.filename), error) from None
    return Signing(dkim, protect)


def signers_named(given: Sequence[Sequence[str]]) -> Signers:
    """Return who signs by DKIM.

    Args:
        given: the domain, the selector and the path of the key of each.

    Raises:
        CannotSendError: one of them can't be used, or the library is not installed.
    """
    if any(not key for *_, key in given):
        # As of a variable of the shell that is not set: nothing goes out unsigned for that.
        raise CannotSendError(EX_USAGE, "--dkim: the name of the key is empty")
    try:
        return _dkim(given)
    except ImportError as error:
        raise CannotSendError(EX_UNAVAILABLE, str(error)) from None
    except OSError as error:
        raise unreadable(str(error.filename), error) from None


def _dkim(given: Sequence[Sequence[str]]) -> Signers:
    signers: list[Dkim] = []
    for domain, selector, key in given:
        with _told_as("--dkim", {"key": f"--dkim: {key}"}):
            signers.append(Dkim(domain, selector, key=Path(key)))
    with _told_as("--dkim", {"dkim": "--dkim"}):
        return signers_of(signers)


def _smime(options: argparse.Namespace) -> Smime:
    cert, key = options.smime_cert, options.smime_key or options.smime_cert
    if cert is None and key is not None:
        raise CannotSendError(EX_USAGE, "--smime-key needs --smime-cert, too")
    for name in filter(None, (cert, key)):
        if name.lower().endswith((".p12", ".pfx")):
            how = f"openssl pkcs12 -in {name} -nodes -out me.pem"
            raise CannotSendError(EX_DATAERR, f"{name} is no PEM file; this makes one: {how}")
    library = library_of_smime()

    def addresses(path: Path) -> tuple[str, ...]:
        return persons(library, f"--smime-for: {path}", GivenKey(path))[0].addresses

    names = {"certificate": f"--smime-cert: {cert}", "key": f"--smime-key: {key}"}
    with _told_as("--smime-for", names, SMIME_PASSWORD):
        return Smime(
            certificate=_path(cert),
            key=_path(key),
            password=_password(SMIME_PASSWORD, key),
            recipients=_readers("--smime-for", options.smime_for, addresses),
        )


def _pgp(options: argparse.Namespace) -> Pgp:
    library = library_of_pgp()

    def addresses(path: Path) -> tuple[str, ...]:
        return pgp_person(library, f"--pgp-for: {path}", GivenKey(path)).addresses

    names = {"key": f"--pgp-key: {options.pgp_key}"}
    with _told_as("--pgp-for", names, PGP_PASSWORD):
        return Pgp(
            key=_path(options.pgp_key),
            password=_password(PGP_PASSWORD, options.pgp_key),
            recipients=_readers("--pgp-for", options.pgp_for, addresses),
        )


def _readers(
    what: str, given: Sequence[str], addresses: Callable[[Path], tuple[str, ...]]
) -> dict[str, Path] | None:
    """Return the certificates of all who may get an email, by their addresses."""
    found: dict[str, Path] = {}
    for address, path in _files(what, given):
        named = addresses(path) if address is None else (key_of_address(address),)
        if not named:
            raise ValueError(f"{what}: {path} names no address; write ADDRESS={path}")
        for each in named:
            if each in found:
                raise ValueError(f"{what}: {each} is in {found[each]}, and in {path}")
            found[each] = path
    return found or None


def _files(what: str, given: Iterable[str]) -> Iterator[tuple[str | None, Path]]:
    """Yield the address, if one is given, and the file of each certificate."""
    for text in given:
        address, equals, name = text.partition("=")
        if equals and "@" in address:
            yield address, Path(name)
        elif Path(text).is_dir():
            files = [
                path for path in Path(text).iterdir() if path.name[0] != "." and path.is_file()
            ]
            if not files:  # then nothing would be encrypted
                raise ValueError(f"{what}: the folder {text} has no files")
            yield from ((None, path) for path in sorted(files))
        else:
            yield None, Path(text)


def _path(name: str | None) -> Path | None:
    return None if name is None else Path(name)


def _password(variable: str, key: str | None) -> str | None:
    """Return a password from the environment, where other users of the machine can't see it."""
    return None if key is None else os.environ.get(variable) or None


@contextmanager
def _told_as(what: str, names: dict[str, str], password: str | None = None) -> Generator[None]:
    """Have an error name the argument of the command line, and not that of the class."""
    try:
        yield
    except ValueError as error:
        text = str(error)
    else:
        return
    name, colon, rest = text.partition(": ")
    if colon and name in names:
        text = f"{names[name]}: {rest}"
    elif name.startswith("recipients["):
        text = f"{what}: {name[12:-2]}: {rest}"
    elif not name.startswith("--"):
        text = f"{what}: {text}"
    if password is not None:
        text = text.replace("give its password", f"put its password into {password}")
        text = text.replace("leave out the password", f"unset {password}")
    raise CannotSendError(EX_DATAERR, text)
