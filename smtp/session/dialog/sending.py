"""The mail data of a dialog: whether it is wanted, on its way, or out."""

from collections import deque

from ...words.command import Command
from ...words.reply import Reply
from ...words.stage import Stage
from ..step import Action, CommandGroup, SendMailData
from .ending import Ending
from .transcript import Transcript


class Sending(Ending):
    """The part of a `Dialog` that sends the mail."""

    _trace: Transcript | None
    _outstanding: deque[Command]

    # At first, once for all dialogs.
    _steps = 0
    _group: CommandGroup | None = None  # written, and no reply to it has come yet

    def _advance(self, reply: Reply | None, actions: list[Action]) -> None:
        """Let the script go on to its next step."""
        raise NotImplementedError

    @property
    def steps(self) -> int:
        """A counter that changes with each step of the conversation."""
        return self._steps

    @property
    def held(self) -> SendMailData | CommandGroup | None:
        """What is to go out in one go, once no input is pending: a transaction, or a group.

        It is not outstanding yet: what comes by then was sent before it, and is no reply to it.
        """
        return self._held

    @property
    def may_end_mail_data(self) -> bool:
        """Whether what waits to go out is still wanted, and no part of a reply is here."""
        is_wanted = self._sending is not None or self._held is not None
        return is_wanted and not (self.is_over or self._is_more_here)

    def _begin_transfer(self, transfer: SendMailData, actions: list[Action]) -> None:
        if transfer.is_speculative:
            self._data_sent = False  # a transaction of its own
            self._held = transfer
        else:
            self._sending = transfer
            if self._trace is not None and transfer.chunk is not None:
                self._trace.commands((transfer.chunk,))
        actions.append(transfer)

    def begin_held(self) -> None:
        """Note that what was held goes out now: its commands are outstanding."""
        held, self._held = self._held, None
        assert held is not None
        if isinstance(held, SendMailData):
            self._begin_speculative(held)
        else:
            self._begin_group(held)

    def _begin_speculative(self, transfer: SendMailData) -> None:
        assert transfer.chunk is not None
        self._outstanding.extend(transfer.before)
        self._sending = transfer
        if self._trace is not None:
            self._trace.commands((*transfer.before, transfer.chunk))
        self._advance(None, [])  # to the first outstanding reply

    def _begin_group(self, group: CommandGroup) -> None:
        if group.commands[0].stage is Stage.MAIL:
            self._data_sent = False  # a transaction of its own
        self._outstanding.extend(group.commands)
        self._group = group
        if self._trace is not None:
            self._trace.commands(group.commands)

    def mail_data_sent(self) -> None:
        """Note that all of the mail has gone out: from now on the server may have it."""
        transfer = self._sending
        assert transfer is not None
        self._sending = None
        transfer.is_out = self._data_sent = True
        if self._outstanding or not self._is_more_here:
            self._outstanding.extend(transfer.owed)
        # Else a reply began before the mail was out, so it cannot be the final reply. Half
        # a TLS record may be one, too.
        self._steps += 1
        if self._trace is not None:
            self._trace.mail_data(transfer)
