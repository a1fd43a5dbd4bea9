"""How much a run of the tests is to do: what is enough after each change, or what CI can afford."""

import os

VARIABLE = "PYKKA_SMTP_THOROUGH"
"""Set to 1 for more random inputs, and each place where something can fail."""
IS_THOROUGH = os.environ.get(VARIABLE) == "1"


def times(count: int, *, thoroughly: int) -> int:
    """Give how often to repeat something random: so often, or more often in a thorough run."""
    return thoroughly if IS_THOROUGH else count
