"""What a tool that reports errors shows of one: its text, and the variables of its frames."""

import traceback
from types import TracebackType


def shown_by(error: BaseException) -> str:
    """Return all that a tool which reports errors could show."""
    seen: list[str] = ["".join(traceback.format_exception(error))]
    chain: BaseException | None = error
    while chain is not None:
        frame: TracebackType | None = chain.__traceback__
        while frame is not None:
            # Not of the test itself, which has the key.
            if "/tests/" not in frame.tb_frame.f_code.co_filename:
                seen += map(repr, frame.tb_frame.f_locals.values())
            frame = frame.tb_next
        chain = chain.__cause__ or chain.__context__
    return "\n".join(seen)
