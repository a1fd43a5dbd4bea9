"""Protocol faults that a server has shown: remembered for later sessions with it."""

from dataclasses import dataclass


@dataclass(slots=True)
class Quirks:
    """The known protocol faults of one relay. All its sessions share them.

    Attributes:
        sends_unsolicited: whether it has sent an unsolicited reply. The order of its replies does
            not show to which command each belongs, so no email may depend on that order alone.
        rejects_bdat: whether it offers CHUNKING but does not know BDAT.
        closes_without_reply: whether it has closed a reused connection without a reply after a
            complete speculative transfer. Such an email is `maybe_accepted`; with MAIL sent alone,
            it would not be.
    """

    sends_unsolicited: bool = False
    rejects_bdat: bool = False
    closes_without_reply: bool = False
