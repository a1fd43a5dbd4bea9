"""Beginnings of scripts, as text: a server that takes a mail, up to a stage."""

STEPS = {
    "greeting": "S: 220 mx.test ESMTP",
    "EHLO": "C: EHLO *\nS: 250 mx.test",
    "MAIL": "C: MAIL *\nS: 250 2.1.0 Ok",
    "RCPT": "C: RCPT *\nS: 250 2.1.5 Ok",
    "DATA": "C: DATA\nS: 354 go ahead",
    "body": "C: <data>",
    ".": "S: 250 2.0.0 taken",
}
"""What is said at each stage."""


def up_to(stage: str, then: str = "") -> str:
    """Write the script of a server that takes a mail up to a stage, the answer included.

    Args:
        stage: a key of `STEPS`.
        then: more of the script.
    """
    names = list(STEPS)
    steps = [STEPS[name] for name in names[: names.index(stage) + 1]]
    return "\n".join([*steps, then, ""])
