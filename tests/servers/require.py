"""What a test needs of the machine: skipped where a user lacks it, a failure where CI does."""

import importlib.util
import os
import shutil
from typing import NoReturn

import pytest

VARIABLE = "PYKKA_SMTP_REQUIRE_SERVERS"
"""Set to 1 where nothing may be skipped; ``.ci/run`` does."""

SBIN = ("/usr/sbin", "/usr/local/sbin", "/usr/lib/postfix/sbin", "/usr/libexec/postfix")
"""Where servers are installed, and where a user's PATH does not look."""


def require(program: str) -> str:
    """Find a program.

    Returns:
        Its path.

    Raises:
        pytest.skip.Exception: it is not installed.
        pytest.fail.Exception: it is not installed, and nothing may be skipped.
    """
    path = shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", ""), *SBIN]))
    return path or missing(f"{program} is not installed")


def require_module(name: str) -> None:
    """Skip, or fail, where a Python package is not installed."""
    if importlib.util.find_spec(name) is None:
        missing(f"the Python package {name} is not installed")


def require_root() -> None:
    """Skip, or fail, where the tests do not run as root."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        missing("needs root, to start daemons under users of their own")


def missing(reason: str) -> NoReturn:
    """Skip for this reason; fail where nothing may be skipped."""
    if os.environ.get(VARIABLE) == "1":
        pytest.fail(f"{reason}, and {VARIABLE}=1", pytrace=False)
    pytest.skip(reason, allow_module_level=True)
