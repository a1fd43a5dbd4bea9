"""What is mailed: addresses, envelope, header and body. Never what a server says to it."""
