"""The steps of a script: what the policy asks the dialog to do next.

A script is a generator. It yields a `Command` and is sent the `Reply` to it; the command is
written first unless it went out with a `Group` before. The other steps are below.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias

from .command import Command
from .content import Rendition
from .reply import Reply
from .verdict import Verdict


@dataclass(slots=True)
class Group:
    """Write these commands at once (RFC 2920); their replies are asked for one by one."""

    commands: tuple[Command, ...]


@dataclass(slots=True)
class Transfer:
    """Send the mail data and the final dot; answered by the reply to the dot."""

    rendition: Rendition


@dataclass(slots=True)
class Decide:
    """Say what became of the mail. Comes once; what follows is courtesy."""

    verdict: Verdict


@dataclass(slots=True)
class HangUp:
    """Drop the connection: the server waits for mail data that it must not get."""


Step: TypeAlias = Command | Group | Transfer | Decide | HangUp
Script: TypeAlias = Generator[Step, Reply, None]
