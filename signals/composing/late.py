"""The module that composes emails of several parts: imported late, as few programs need it."""

import functools
from typing import Any


@functools.cache
def composer() -> Any:
    """Return it."""
    from . import composing

    return composing
