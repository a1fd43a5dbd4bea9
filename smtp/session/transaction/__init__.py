"""One email to one server: MAIL, RCPT, the data, and the verdict. Never a byte received."""
