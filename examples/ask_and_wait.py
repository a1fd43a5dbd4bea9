"""Wait for the outcome, where a program has nothing better to do. No signals needed.

Run it as ``python examples/ask_and_wait.py [host [port]]``.
"""

import sys

from pykka_smtp import SendError, SendMail, SmtpActor

server = sys.argv[1] if len(sys.argv) > 1 else "localhost"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 25

mail = SendMail(
    sender="me@example.com",
    recipients=["you@example.org", "her@example.org"],
    subject="Hello, both of you",
    body="1 2 3 4 5 6",
)
outcome = SmtpActor.start(server, port).ask(mail, block=True)
try:
    success = outcome.raise_for_failure()
except SendError as error:
    sys.exit(f"not sent: {error}")
for result in success.recipients:
    print(result.address, "accepted" if result.accepted else "refused", result.reply)
