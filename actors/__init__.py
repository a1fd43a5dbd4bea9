"""The actors: the event loop, connections, and the actor that sends one email."""

if __name__ == "actors":
    raise ImportError("import pykka_smtp.actors, not the bare folder name")

from .loop.asyncio_actor import Answer, AsyncioActor
from .net.connection_limit import set_connection_limit
from .smtp_actor import SmtpActor, SmtpActorRef

__all__ = ["Answer", "AsyncioActor", "SmtpActor", "SmtpActorRef", "set_connection_limit"]
