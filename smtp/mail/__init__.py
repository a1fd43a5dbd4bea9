"""What is sent: addresses, envelope, header and body. Never the replies of a server."""
