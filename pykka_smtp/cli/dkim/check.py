"""``pykka-smtp dkim-check``: whether the signatures of an email are good."""

import argparse
import contextlib
import datetime as dt
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from ...signals.signing.private_key import GivenKey, private_key, verifies
from ...smtp.mail.dkim.checking import Signature, Signed
from ...smtp.mail.dkim.record import KeyRecord, parse_record, record_name
from ...smtp.mail.dkim.tag_list import TagListError
from ..input.mail_file import MAX_MAIL
from ..output.printable import print_lines
from ..sysexits import EX_DATAERR, EX_NOINPUT, EX_OK, EX_UNAVAILABLE, EX_USAGE

_STDIN = "-"
_WIDTH = 10
_MAX_RECORDS = 1_048_576
"""Octets of a file with records."""
_ZONE_LINE = re.compile(
    r"^[ \t]*(\S+?)\.?[ \t]+(?:[0-9]+[ \t]+)?(?:IN[ \t]+)?TXT[ \t]+\(?([^()\n]*)\)?",
    re.MULTILINE | re.IGNORECASE,
)
_QUOTED = re.compile(r'"([^"\n]*)"')

_PRIVATE = "PRIVATE KEY"

_Records = list[tuple[str | None, KeyRecord]]
"""Records with their names, if these are known."""


class _WrongInputError(Exception):
    """A record or a key cannot be used; the text says why."""


def run(options: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    """Check an email, and print what was found.

    Args:
        options: the arguments.
        out: gets the findings.
        err: gets an error, one line.

    Returns:
        The exit status: 0 if all signatures are good.

    Raises:
        BrokenPipeError: the reader of `out` has gone.
    """
    shown = "stdin" if options.mail == _STDIN else options.mail
    try:
        data = _read(options.mail)
        records = list(_records(options.record, options.key))
    except _WrongInputError as error:
        return _complain(err, str(error), EX_USAGE)
    except ImportError as error:
        return _complain(err, str(error), EX_UNAVAILABLE)
    except OSError as error:
        return _complain(
            err, f"cannot read {error.filename or shown}: {error.strerror}", EX_NOINPUT
        )
    if len(data) > MAX_MAIL:
        return _complain(err, f"{shown} is longer than {MAX_MAIL} octets", EX_DATAERR)
    signed = Signed(data)
    signatures = signed.signatures()
    if not signatures:
        return _complain(err, f"{shown} has no DKIM-Signature", EX_DATAERR)
    results: list[str] = []
    for number, signature in enumerate(signatures, 1):
        if number > 1:
            print_lines(out, "")
        lines = [*_about(number, len(signatures), signature)]
        results.append(_result(signed, signature, records))
        lines.append(("result", results[-1]))
        print_lines(out, *[f"{name:<{_WIDTH}} {text}" for name, text in lines])
    if all(result == _GOOD for result in results):
        return EX_OK
    if any(result.startswith("bad") for result in results):
        return EX_DATAERR
    return EX_NOINPUT


_GOOD = "good"


def _read(name: str) -> bytes:
    if name == _STDIN:
        return sys.stdin.buffer.read(MAX_MAIL + 1)
    with Path(name).open("rb") as file:
        return file.read(MAX_MAIL + 1)


def _about(number: int, count: int, signature: Signature) -> Iterator[tuple[str, str]]:
    tags = signature.tags
    of_all = f"{number} of {count}: " if count > 1 else ""
    yield "signature", f"{of_all}{signature.domain or '?'}, {signature.algorithm or '?'}"
    if signature.domain and signature.selector:
        yield "record", record_name(signature.domain, signature.selector)
    if "t" in tags:
        yield "signed at", _time(tags["t"])
    if "x" in tags:
        yield "expires at", _time(tags["x"])
    names = Counter(name.strip().lower() for name in tags.get("h", "").split(":"))
    shown = [f"{name} ({count} times)" if count > 1 else name for name, count in names.items()]
    yield "covers", ", ".join(shown)
    if "l" in tags:
        yield "warning", "l= leaves the end of the body open: anybody can add to it"


def _result(signed: Signed, signature: Signature, records: _Records) -> str:
    """Return whether a signature is good, in one line."""
    if signature.problem is not None:
        return f"bad: {signature.problem}"
    expires_at = signature.expires_at
    if expires_at is not None and expires_at < dt.datetime.now(dt.UTC).timestamp():
        return "bad: it has expired"
    name = record_name(signature.domain, signature.selector).lower()
    found = [record for of, record in records if of == name]
    found += [record for of, record in records if of is None]
    if not found:
        if not signed.has_its_body(signature):
            return "bad: the body was changed after it was signed"
        return f"unknown: the body is as it was signed; for the header, give --record of {name}"
    flaws = [_flaw(signed, signature, record) for record in found]
    return _GOOD if None in flaws else f"bad: {flaws[0]}"


def _flaw(signed: Signed, signature: Signature, record: KeyRecord) -> str | None:
    try:
        return signed.flaw(signature, record, verifies)
    except ValueError as error:
        return str(error)


def _records(given: Sequence[str], keys: Sequence[str]) -> Iterator[tuple[str | None, KeyRecord]]:
    for text_or_file in given:
        text, named = text_or_file, "--record"
        _check_record(text, named)
        if "p=" not in text:
            named = f"--record {text_or_file}"
            with Path(text_or_file).open("rb") as file:
                text = file.read(_MAX_RECORDS).decode("utf-8", "replace")
            if "p=" not in text or _PRIVATE in text:
                what = "is a private key; give it as --key" if _PRIVATE in text else "has no p="
                raise _WrongInputError(f"{named}: {what}")
        try:
            yield from _records_in(text)
        except TagListError as error:
            raise _WrongInputError(f"{named}: {error}") from None
    for name in keys:
        try:
            yield None, private_key(GivenKey(Path(name))).public
        except ValueError as error:
            raise _WrongInputError(f"--key {name}: {str(error).removeprefix('key: ')}") from None


def _check_record(text: str, named: str) -> None:
    """Check that a record may be a text or the name of a file."""
    if not text.strip():
        raise _WrongInputError(f"{named} is empty: the DNS has no such record, or dig no answer")
    if text.startswith(";"):
        raise _WrongInputError(f"{named}: dig found nothing: {text.lstrip('; ').splitlines()[0]}")
    if _PRIVATE in text:  # what follows would quote it
        raise _WrongInputError(f"{named}: is a private key; give its file as --key")
    if text.lstrip('" ').startswith("v=") and "p=" not in text:
        raise _WrongInputError(f"{named}: is no record of DKIM, which has p=")


def _records_in(text: str) -> Iterator[tuple[str | None, KeyRecord]]:
    """Yield the records in a zone file, in what dig prints, or the one that the text is."""
    found = False
    # The strings of a zone file may be on lines of their own, in parentheses.
    joined = re.sub(r"\([^()]*\)", lambda match: match[0].replace("\n", " "), text)
    for match in _ZONE_LINE.finditer(joined):
        strings = _QUOTED.findall(match[2])
        value = "".join(strings) if strings else match[2].strip()
        if "p=" in value:
            found = True
            yield match[1].lower(), parse_record(value)
    if found:
        return
    lines = [line for line in text.splitlines() if "p=" in line and '"' in line]
    values = ["".join(_QUOTED.findall(line)) for line in lines] or [text.strip()]
    for value in values:
        yield None, parse_record(value)


def _time(value: str) -> str:
    try:
        return f"{dt.datetime.fromtimestamp(int(value), dt.UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{value[:20]} (not a time)"


def _complain(err: TextIO, text: str, status: int) -> int:
    with contextlib.suppress(OSError):
        print_lines(err, f"pykka-smtp dkim-check: {text}")
    return status
