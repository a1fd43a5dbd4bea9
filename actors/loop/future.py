"""The future that an `ask` of an `AsyncioActor` returns, and how an event loop awaits it."""

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Generator
from typing import Any, cast

from pykka import Future, ThreadingFuture

from ...signals.dispatcher import log_safely
from .event_loop import event_loop
from .threads import OURS


class LoopFuture(ThreadingFuture[Any]):
    """A future that refuses to block the loop thread, and that any asyncio program can await.

    To cancel who awaits it does not cancel what was asked for.
    """

    _callbacks: deque[Callable[[], object]] | None = None  # made for the first

    def get(self, *, timeout: float | None = None) -> Any:
        """Return the answer; wait for it. See `pykka.Future.get`.

        Raises:
            RuntimeError: on the loop thread, which would wait for itself.
        """
        if self._result is None and self._get_hook is None and event_loop().is_current():
            raise RuntimeError(
                "an AsyncioActor must not wait for a future: it would stop every actor that"
                " shares its thread, and so the one it waits for"
            )
        return super().get(timeout=timeout)

    def set(self, value: Any | None = None) -> None:
        """See `pykka.Future.set`."""
        super().set(value)
        if self._callbacks is not None:
            self._call_back()

    def set_exception(self, exc_info: Any = None) -> None:
        """See `pykka.Future.set_exception`."""
        super().set_exception(exc_info)
        if self._callbacks is not None:
            self._call_back()

    def when_done(self, callback: Callable[[], object]) -> None:
        """Have a function called once there is an answer; at once if there is one.

        Args:
            callback: is called on the thread that answers, and must neither block nor raise.
        """
        # `setdefault` is atomic. Either this thread sees the answer, or who answers the callback.
        self.__dict__.setdefault("_callbacks", deque()).append(callback)
        if self._result is not None:
            self._call_back()

    def _call_back(self) -> None:
        callbacks = self._callbacks
        while callbacks:
            try:
                callback = callbacks.popleft()
            except IndexError:  # another thread was quicker
                return
            try:
                callback()
            except Exception as exc:
                log_safely(logging.ERROR, "internal error in %r", callback, exc=exc)

    def _forget(self, callback: Callable[[], object]) -> None:
        if self._callbacks is not None:
            try:  # noqa: SIM105 - as short
                self._callbacks.remove(callback)
            except ValueError:
                pass

    def __await__(self) -> Generator[Any, None, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Wait for the answer without blocking the event loop that runs in this thread.

        Raises:
            RuntimeError: none runs, or one of another kind than asyncio's.
        """
        return self._wait().__await__()

    __iter__ = __await__

    async def _wait(self) -> Any:
        hook = self._get_hook
        if hook is None:
            if self._result is None:
                await self._answered()
            return self.get()
        sources = _sources(hook)
        if sources is None:
            return await _in_a_thread(self.get)
        for source in sources:
            with contextlib.suppress(Exception):  # `get` raises it again
                await source
        return self.get()

    async def _answered(self) -> None:
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()

        def wake() -> None:
            _resolve_soon(loop, waiter)

        self.when_done(wake)
        try:
            await waiter
        finally:
            self._forget(wake)


def _resolve_soon(loop: asyncio.AbstractEventLoop, waiter: "asyncio.Future[None]") -> None:
    """Wake who waits on a loop. From any thread."""
    try:
        loop.call_soon_threadsafe(_resolve, waiter)
    except RuntimeError:
        log_safely(
            logging.WARNING,
            "an answer came after the event loop that waited for it was closed; as an outcome it"
            " was published nevertheless",
        )


def _resolve(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)


def _sources(hook: Any) -> list[LoopFuture] | None:
    """Return the futures that a future of Pykka's `map`, `join`, `stop` and the like waits for.

    None if it may wait for anything else.
    """
    if not getattr(hook, "__module__", "").startswith("pykka."):
        return None
    found: list[LoopFuture] = []
    for cell in hook.__closure__ or ():
        value = cell.cell_contents
        several = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
        for one in several:
            if isinstance(one, LoopFuture):
                found.append(one)
            elif isinstance(one, Future):  # another kind of actor's
                return None
    return found


async def _in_a_thread(get: Callable[[], Any]) -> Any:
    """Run a function that waits for anything, on a thread for which no program waits at its end."""
    done = LoopFuture()

    def run() -> None:
        try:
            done.set(get())
        except BaseException:  # for who waits
            done.set_exception()

    threading.Thread(target=run, name=f"{OURS}future", daemon=True).start()
    return await done
