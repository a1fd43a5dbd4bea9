"""Dialogs for tests: each is compared with the express lane's, and played again with cuts."""

from fuzz import twin
from servers.effort import times


class Twin(twin.Twin):
    """The conversation is played again with its replies cut at some octets, or ended there.

    A thorough run cuts at each octet, with each kind of end.
    """

    cut_every = times(37, thoroughly=1)
