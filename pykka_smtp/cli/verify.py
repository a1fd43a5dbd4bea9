"""``pykka-smtp verify``: prints the report of `verify`, and returns an exit status."""

import contextlib
import os
from collections.abc import Collection
from typing import TextIO

from ..actors.options.relay_url import relay_from_environment
from ..actors.verify import ServerReport, verify
from ..signals import Peer
from ..smtp.words.stage import Stage
from ..smtp.words.verdict import Failed, FailureKind
from .output.printable import print_lines
from .sysexits import (
    EX_NOHOST,
    EX_NOPERM,
    EX_OK,
    EX_PROTOCOL,
    EX_SOFTWARE,
    EX_TEMPFAIL,
    EX_UNAVAILABLE,
    EX_USAGE,
)

_VARIABLE = "SMTP_URL"
_NO_URL = f"needs a relay URL, here or in the environment as {_VARIABLE}"
_WIDTH = 14
"""Columns of the first word of a line."""
_MOST = 10_000
"""Characters of a line, more than elsewhere: the session is printed in full."""


def run(
    url: str | None,
    out: TextIO,
    err: TextIO,
    *,
    verbose: bool = False,
    without: Collection[str] = (),
) -> int:
    """Check whether a server can be used, and print the report.

    Args:
        url: a relay URL, or None for the one in SMTP_URL.
        out: gets the report.
        err: gets errors about the URL, one line without its password.
        verbose: print the lines of the session, too.
        without: extensions not to use.

    Returns:
        The exit status.

    Raises:
        BrokenPipeError: the reader of `out` has gone.
    """
    try:
        if url is None:
            # Called for its errors, which name the variable.
            if relay_from_environment(_VARIABLE) is None:
                return _complain(err, _NO_URL, EX_USAGE)
            url = os.environ[_VARIABLE]
        report = verify(url=url, without=without)
    except ValueError as error:
        return _complain(err, error, EX_USAGE)
    except ImportError as error:
        return _complain(err, error, EX_UNAVAILABLE)
    print_lines(out, *[f"{name:<{_WIDTH}} {text}" for name, text in _lines(report)], most=_MOST)
    if verbose:
        print_lines(out, *report.transcript, most=_MOST)
    return EX_OK if report.failure is None else _status(report.failure)


def _complain(err: TextIO, error: Exception | str, status: int) -> int:
    with contextlib.suppress(OSError):
        print_lines(err, f"pykka-smtp verify: {error}")
    return status


def _lines(report: ServerReport) -> list[tuple[str, str]]:
    peer = report.peer
    lines = [
        ("server", report.server),
        ("address", _address(peer)),
        ("TLS", _tls(peer)),
        ("authenticated", "yes" if report.authenticated else "no"),
    ]
    lines += [("offers", offer) for offer in report.offers] or [("offers", "nothing")]
    lines += [("warning", warning) for warning in report.warnings]
    return [*lines, ("ready", "yes" if report.is_ready else f"no: {report.detail}")]


def _address(peer: Peer | None) -> str:
    if peer is None:
        return "not connected"
    return peer.address or ("a unix socket" if peer.port else "a program")


def _tls(peer: Peer | None) -> str:
    if peer is None or peer.tls_version is None:
        return "no TLS"
    verified = "verified" if peer.tls_verified else "NOT verified"
    return f"{peer.tls_version}, {peer.tls_cipher}, {verified}"


def _status(failure: Failed) -> int:
    """Return the exit status for a failure (sysexits.h)."""
    refused_us = failure.kind is FailureKind.SMTP and failure.stage is Stage.AUTH
    if failure.kind is FailureKind.SECURITY or (refused_us and not failure.retryable):
        return EX_NOPERM
    if failure.kind is FailureKind.CONNECT:
        is_unknown = failure.operation == "getaddrinfo" and not failure.retryable
        return EX_NOHOST if is_unknown else EX_UNAVAILABLE
    if failure.kind is FailureKind.PROTOCOL:
        return EX_PROTOCOL
    if failure.retryable:
        return EX_TEMPFAIL
    return EX_SOFTWARE if failure.kind is FailureKind.INTERNAL else EX_UNAVAILABLE
