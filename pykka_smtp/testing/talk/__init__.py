"""What is said and heard, as text, octets and acts. Never a socket, or what is right to say."""
