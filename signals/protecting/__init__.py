"""Who signs and encrypts the content of emails, with which keys. Never how an email is sent."""
