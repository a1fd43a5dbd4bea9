"""What a server was found to do wrong: remembered for the sessions with it that follow."""

from dataclasses import dataclass


@dataclass(slots=True)
class Quirks:
    """The bad habits of one relay, as far as they are known. All its sessions share them.

    Attributes:
        speaks_unasked: whether it has sent a reply that nothing was outstanding for. Its replies
            can't be told apart by their order, so no email may depend on that alone.
        refuses_chunks: whether it offers CHUNKING and does not know BDAT.
        leaves_unsaid: whether it has closed a kept connection without a word, a whole email on
            its way: that is in doubt then, where MAIL alone would not have been.
    """

    speaks_unasked: bool = False
    refuses_chunks: bool = False
    leaves_unsaid: bool = False
