"""The options in force: those that a program gave, unless a test has all emails recorded."""

from ..net.outlets.diversion import diversion
from .options import Options


def in_force(options: Options) -> Options:
    """Return the options of a session that begins now. On the loop thread.

    Args:
        options: those that the program gave.
    """
    outlet = diversion.outlet
    return options if outlet is None else options.for_outlet(outlet)
