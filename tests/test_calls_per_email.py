"""An email takes so many calls on the loop's thread, and no more: each costs, on any machine."""

import pytest

from benchmarks.hot import told_of
from benchmarks.processes import run_client

CEILINGS = {
    ("reused", "uvloop"): 156,
    ("reused", "asyncio"): 220,
    ("fresh", "uvloop"): 210,
    ("fresh", "asyncio"): 345,
}
"""What it was when last lowered, and some 3 % for what differs between runs, and Pythons."""
ADVICE = (
    "An email on a {who} connection takes {calls:.0f} calls on the loop's thread ({loop}),"
    " {ceiling} is the most there may be. Find what the change has added to the path of every"
    " email: `python -m benchmarks --only hot` says what it costs. Do it where it is needed only,"
    " once for a connection, or not at all. Raise the ceiling only for what is worth it to every"
    " program, and say so in the commit. Where it takes fewer by now, lower the ceiling."
)


@pytest.mark.parametrize(("who", "loop"), CEILINGS)
def test_an_email_takes_no_more_calls_than_it_did(who: str, loop: str) -> None:
    if loop == "uvloop":
        pytest.importorskip(loop)

    told = told_of(who, "", turns=0, mails=400)
    environment = {"PYKKA_SMTP_LOOP": loop}
    calls = run_client("client_hot", timeout=50, environment=environment, **told)["calls"]

    ceiling = CEILINGS[who, loop]
    assert calls <= ceiling, ADVICE.format(who=who, loop=loop, calls=calls, ceiling=ceiling)
    # A ceiling that is far off holds nothing.
    assert calls > 0.8 * ceiling, f"it takes {calls:.0f} now: lower the ceiling of {ceiling}"
