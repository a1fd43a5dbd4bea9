"""Have a mail tried again when the server says "later", as those do that greylist.

Run it as ``python examples/retries.py [host [port [seconds]]]``; seconds is how long to wait before
the second attempt.
"""

import datetime as dt
import sys

from pykka_smtp import Mailer, Outcome, RetryPolicy, SendFailure, SendMail, smtp_send_retry

host = sys.argv[1] if len(sys.argv) > 1 else "localhost"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 25
seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 60.0


@smtp_send_retry.connect
def again(_alias: str, outcome: Outcome, attempt: int, next_time: dt.datetime) -> None:
    # This is no outcome yet: the one that counts comes when there is no further attempt.
    why = outcome.detail if isinstance(outcome, SendFailure) else "not taken for everybody"
    wait = (next_time - dt.datetime.now(dt.UTC)).total_seconds()
    print(f"attempt {attempt}: {why}; again in {wait:.0f} s", flush=True)


# Twice as long between attempts each time, up to an hour; given up after the fifth.
policy = RetryPolicy(
    max_attempts=5, initial_delay=seconds, multiplier=2, max_delay=max(seconds, 3600)
)
mailer = Mailer.start(host, port, alias="patient", retry=policy)

outcome = mailer.ask(
    SendMail(
        sender="me@example.com",
        recipients=["you@example.org", "her@example.org"],
        subject="Hello, sooner or later",
        body="1 2 3 4 5 6",
    ),
    block=True,
)
mailer.stop()
for result in outcome.recipients:
    print(result.address, "accepted" if result.accepted else "refused", result.reply)
print(f"attempts: {outcome.attempts}")
