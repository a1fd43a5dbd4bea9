"""Protocol faults that a server has shown: remembered for later sessions with it."""

from dataclasses import dataclass


@dataclass(slots=True)
class Quirks:
    """The known protocol faults of one relay. All its sessions share them.

    Attributes:
        speaks_unasked: whether it has sent an unsolicited reply. The order of its replies does
            not show to which command each belongs, so no email may depend on that order alone.
        refuses_chunks: whether it offers CHUNKING but does not know BDAT.
        leaves_unsaid: whether it has closed a reused connection without a reply after a complete
            speculative transfer. Such an email is `maybe_accepted`; with MAIL sent alone, it
            would not be.
    """

    speaks_unasked: bool = False
    refuses_chunks: bool = False
    leaves_unsaid: bool = False
