"""The transfer of the mail data in a dialog: when it may begin, and when it is complete."""

from collections import deque

from ...words.command import Command
from ...words.reply import Reply
from ...words.stage import Stage
from ..step import Action, CommandGroup, SendMailData
from .ending import Ending
from .transcript import Transcript


class Sending(Ending):
    """The part of a `Dialog` that tracks the transfer of the mail data."""

    held: SendMailData | CommandGroup | None
    _trace: Transcript | None
    _outstanding: deque[Command]

    # Initial values are on the class: most dialogs are for one email, and change few of them.
    _steps = 0
    _group: CommandGroup | None = None  # written, without any reply so far

    def _advance(self, reply: Reply | None, actions: list[Action]) -> None:
        """Resume the script, up to its next step."""
        raise NotImplementedError

    @property
    def steps(self) -> int:
        """A counter that changes with each step of the session."""
        return self._steps

    @property
    def may_end_mail_data(self) -> bool:
        """Whether the end of mail data, or what is held, may be written: no input is pending."""
        is_wanted = self._sending is not None or self.held is not None
        return is_wanted and not (self.is_over or self._is_input_pending)

    def _begin_transfer(self, transfer: SendMailData, actions: list[Action]) -> None:
        if transfer.is_speculative:
            self._data_sent = False  # a transaction of its own
            self.held = transfer
        else:
            self._sending = transfer
            if self._trace is not None and transfer.chunk is not None:
                self._trace.commands((transfer.chunk,))
        actions.append(transfer)

    def begin_held(self) -> None:
        """Called when `held` is being written: its commands are outstanding from now on."""
        held, self.held = self.held, None
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
        """Called when all mail data is written: from now on the server may accept the email."""
        transfer = self._sending
        assert transfer is not None
        self._sending = None
        transfer.is_out = self._data_sent = True
        if self._outstanding or not self._is_input_pending:
            self._outstanding.extend(transfer.owed)
        # Otherwise a reply, or a TLS record that may contain one, began to arrive before the mail
        # data was complete, so it cannot be the final reply.
        self._steps += 1
        if self._trace is not None:
            self._trace.mail_data(transfer)
