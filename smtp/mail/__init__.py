"""What is sent: addresses, envelope, header and body; never the replies of a server."""
