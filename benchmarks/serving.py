"""What our own servers share: what they offer, and as many connections as the system allows."""

import asyncio
from collections.abc import Callable, Iterable

from pykka_smtp.testing.moods import Mood
from pykka_smtp.testing.polite import Polite
from pykka_smtp.testing.stages import process

from .measure import raise_descriptor_limit


def server_of(*offers: str, moods: Iterable[Mood] = ()) -> Polite:
    """Make a server that offers PIPELINING and more, and has these moods."""
    always = ("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES")
    return Polite(*always, *offers, moods=moods, name="server.example.org")


def serve(
    factory: Callable[[], asyncio.Protocol], on_command: Callable[[str], object] = str
) -> None:
    """Serve until the standard input ends; see `pykka_smtp.testing.stages.process.serve`."""
    raise_descriptor_limit()
    process.serve(factory, on_command)
