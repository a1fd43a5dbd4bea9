"""The functions of the program that open sealed emails: ``--seals MODULE``."""

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

from ...actors.outbox.text.seals import Seals, sealed_of
from ..sysexits import EX_UNAVAILABLE, EX_USAGE
from .complaints import ComplaintError

SEALED = "it is sealed: --seals MODULE names the module with the functions that open it"


def seals_of(options: argparse.Namespace) -> Seals | None:
    """Return what opens the emails of a file; None if it was not given.

    Args:
        options: what `arguments` has parsed.

    Raises:
        ComplaintError: there is no such module, or it has no functions seal and open.
    """
    name: str | None = options.seals
    if name is None:
        return None
    import_here()
    try:
        module = importlib.import_module(name)
    except Exception as error:  # of the program
        text = f"--seals: cannot import {name}: {type(error).__name__}"
        raise ComplaintError(EX_UNAVAILABLE, text) from None  # its text may be about the key
    seal: Any = getattr(module, "seal", None)
    open_: Any = getattr(module, "open", None)
    if not all(map(callable, (seal, open_))):
        text = f"--seals: {name} needs the functions seal and open, of bytes to bytes"
        raise ComplaintError(EX_USAGE, text)
    return Seals(seal, open_)


def import_here() -> None:
    """Let modules of the current folder be found, as other commands for programs do."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)


def check_opened(env: str) -> None:
    """Check that an email is not sealed.

    Raises:
        ComplaintError: it is.
    """
    if sealed_of(env) is not None:
        raise ComplaintError(EX_USAGE, SEALED)
