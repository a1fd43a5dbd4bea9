"""The actors that send many emails: queue, pace, retries, relays. Never an octet on a socket."""
