"""Whether this version of pykka-smtp has the Mailer, and how to get at it."""

import importlib
from typing import Any

from .result import Unavailable


class NoMailer(Unavailable):
    """This version of pykka-smtp has no Mailer. That is a fact, not a failure."""


def mailer_api() -> Any:
    """Return the module that has `Mailer` and `Drain`.

    Raises:
        NoMailer: it has none.
    """
    api = importlib.import_module("pykka_smtp")
    if not hasattr(api, "Mailer"):
        raise NoMailer("no Mailer in this version")
    return api
