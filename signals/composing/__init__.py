"""What a program gives to an email, in any form, becomes its parts. Never an outcome."""

import functools
from typing import Any


@functools.cache
def composer() -> Any:
    """Return the module that composes emails of several parts: late, as few programs need it."""
    from . import composing

    return composing
