"""A Mailer for the lifespan of a Starlette or FastAPI application.

::

    app = FastAPI(lifespan=mail_lifespan(url=os.environ["SMTP_URL"]))

    @app.post("/invitations")
    async def invite(mailer: Annotated[MailerRef, Depends(mailer_of)]) -> None:
        mailer.tell(SendMail(...))

At its end the lifespan waits until everything that was told is out, and heard.
"""

import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias, Unpack, cast

from pykka import ActorDeadError

try:
    from starlette.requests import HTTPConnection
except ModuleNotFoundError as _error:
    if _error.name != "starlette":
        raise
    raise ImportError(
        "pykka_smtp.starlette needs Starlette: pip install 'pykka-smtp[starlette]'",
        name="starlette",
    ) from None

from .actors.done import wait_until_done_async
from .actors.mailer.mailer import MailerRef
from .actors.mailer.options import MailerOptions
from .service_mailer import GRACE, Finish, ServiceMailer, hide_secrets
from .signals.forwarding import Subscription
from .signals.outlets.receivers import connect_async

_NAME = "mailer"
_MORE = 1.0
"""Seconds after `grace` in which receivers hear what was cancelled."""

Lifespan: TypeAlias = Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any]]]
"""What Starlette takes as ``lifespan``."""
AnyLifespan: TypeAlias = Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any] | None]]
"""The same, or one that yields nothing."""


def mail_lifespan(
    server: str = "localhost",
    port: int = 25,
    *,
    lifespan: AnyLifespan | None = None,
    receivers: Iterable[Callable[..., object]] = (),
    **options: Unpack[MailerOptions],
) -> Lifespan:
    """Return a lifespan with a Mailer, which is ``request.state.mailer``.

    Args:
        server: as for `Mailer.start`.
        port: as for `Mailer.start`.
        lifespan: the application's own, which runs within: it may send until it ends. What it
            yields is in the state, too.
        receivers: as for `mailing`.
        options: as for `mailing`.

    Raises:
        ValueError: an option is invalid.
        TypeError: an option has the wrong type, or is unknown.
    """
    given = cast("dict[str, Any]", options)
    hide_secrets(given)
    ServiceMailer(server, port, **given)  # checks them where they are written
    hearing = tuple(receivers)

    @contextlib.asynccontextmanager
    async def run(app: Any) -> AsyncGenerator[Mapping[str, Any]]:
        async with contextlib.AsyncExitStack() as exits:
            mailer = await exits.enter_async_context(
                mailing(server, port, receivers=hearing, **given)
            )
            own = await exits.enter_async_context(lifespan(app)) if lifespan is not None else None
            yield {_NAME: mailer, **(own or {})}

    return run


@contextlib.asynccontextmanager
async def mailing(
    server: str = "localhost",
    port: int = 25,
    *,
    receivers: Iterable[Callable[..., object]] = (),
    **options: Unpack[MailerOptions],
) -> AsyncGenerator[MailerRef]:
    """Start a Mailer; at the end wait until everything is out and heard, and stop it.

    For an application with a lifespan of its own::

        async with mailing(url=os.environ["SMTP_URL"]) as mailer:
            yield {"mailer": mailer}

    It waits for at most `grace` seconds, by default 20, then what is left is cancelled; emails that
    wait for a retry are cancelled at once. Everything of the process is waited for, `SmtpActor`s
    and other Mailers included.

    Args:
        server: as for `Mailer.start`.
        port: as for `Mailer.start`.
        receivers: functions, or each an ``async def``, that get the outcomes on the application's
            loop, as ``receiver(alias, outcome=outcome)``. See `connect_async`.
        options: those of `Mailer.start`.

    Raises:
        ValueError: an option is invalid.
        TypeError: an option has the wrong type, or is unknown.
    """
    given = cast("dict[str, Any]", options)
    hide_secrets(given)
    grace: float = given.setdefault("grace", GRACE)
    mailer = ServiceMailer.start(server, port, **given)
    subscriptions: list[Subscription] = []
    try:
        for receiver in receivers:  # one by one: what is connected is kept if the next is refused
            subscriptions.append(connect_async(receiver))  # noqa: PERF401
        yield mailer
    finally:
        with contextlib.suppress(ActorDeadError):
            mailer.tell(Finish())
        try:
            await wait_until_done_async(grace + _MORE)
        finally:  # also if a server that has no patience cancels the wait
            stopped = mailer.stop(block=False)
            for subscription in subscriptions:
                subscription.stop()
        await stopped


def mailer_of(connection: HTTPConnection) -> MailerRef:
    """Return the Mailer of a request or a websocket; for FastAPI's ``Depends``.

    Raises:
        RuntimeError: the lifespan has not run.
    """
    mailer: MailerRef | None = getattr(connection.state, _NAME, None)
    if mailer is None:
        raise RuntimeError(
            "there is no Mailer in the state: give the application lifespan=mail_lifespan(...),"
            " and in a test use its client as a context manager"
        )
    return mailer
