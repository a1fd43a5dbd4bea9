"""Getting nodemailer, a client in JavaScript, and running it."""

import functools
import json
import os
import shutil
from pathlib import Path
from typing import Any

from .mail import CLIENT_NAME, HTML, PAGE, RECIPIENT, SENDER, SUBJECT, TEXT, mail_of
from .processes import ROOT, ChildError, find_program, report_of, run_program
from .result import Unavailable

_INSTALL = 90.0
"""Seconds that npm has to install it."""


def folder() -> Path:
    """Return where it is kept: outside of the repository, from one run to the next."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache, "pykka-smtp-benchmarks")


@functools.cache
def _install() -> tuple[str, Path] | str:
    """Return node and the package's folder, or why there is none; tries only once."""
    try:
        node = find_program("node", "install Node.js to compare with nodemailer")
        package = folder() / "node_modules" / "nodemailer"
        if not package.is_dir():
            npm = find_program("npm", "install it to compare with nodemailer")
            folder().mkdir(parents=True, exist_ok=True)
            quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
            run_program(
                [npm, "install", *quiet, "--prefix", str(folder()), "nodemailer"], timeout=_INSTALL
            )
    except (Unavailable, ChildError, OSError) as error:
        return f"cannot install nodemailer: {error}"
    return node, package


def version() -> str | None:
    """Return its version, if it is there already."""
    try:
        text = (folder() / "node_modules" / "nodemailer" / "package.json").read_text()
    except OSError:
        return None
    found: str = json.loads(text)["version"]
    return found if shutil.which("node") else None


def run_nodemailer(
    script: str = "client_nodemailer.cjs", *, timeout: float, **arguments: object
) -> dict[str, Any]:
    """Run it as a client, and return what it reports.

    Args:
        script: the client.
        timeout: seconds that it has.
        arguments: what it is told.

    Raises:
        Unavailable: it is not there, and cannot be installed.
        ChildError: it failed, or took longer.
    """
    installed = _install()
    if isinstance(installed, str):
        raise Unavailable(installed)
    node, package = installed
    told = {
        "mail": mail_of().decode("latin-1"),
        "name": CLIENT_NAME,
        "sender": SENDER,
        "recipient": RECIPIENT,
        "subject": SUBJECT,
        "text": TEXT,
        "html": HTML,
        "page": PAGE,
        **arguments,
    }
    path = ROOT / "benchmarks" / script
    return report_of(
        run_program([node, str(path), str(package), json.dumps(told)], timeout=timeout)
    )
