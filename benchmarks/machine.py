"""What the figures were measured on, and with."""

import contextlib
import datetime as dt
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

from . import nodemailer
from .processes import ROOT, find_program
from .result import Unavailable

_PACKAGES = ("pykka-smtp", "pykka", "blinker", "uvloop", "aiosmtplib")
BUSY = 0.5
"""Load average from which on others disturb the figures."""


def describe() -> dict[str, str]:
    """Return it, by name."""
    facts = {
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d"),
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            facts[package] = importlib.metadata.version(package)
    facts |= {
        name: found
        for name, found in (
            ("commit", _says("git", "-C", str(ROOT), "describe", "--always", "--dirty")),
            ("node", _says("node", "--version")),
            ("nodemailer", nodemailer.version()),
            ("postfix", _says("postconf", "-d", "-h", "mail_version")),
        )
        if found
    }
    return facts


def load() -> float:
    """Return how many processes wanted to run in the last minute, on average."""
    return os.getloadavg()[0]


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _says(program: str, *arguments: str) -> str | None:
    """Return what a program prints, or None where it is missing or fails."""
    with contextlib.suppress(Unavailable, OSError, subprocess.SubprocessError):
        done = subprocess.run(
            [find_program(program, ""), *arguments],
            check=True,
            capture_output=True,
            text=True,
            timeout=10,
        )
        return done.stdout.strip()
    return None
