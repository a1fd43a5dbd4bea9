"""Which email goes next, to which relay, and when. Never an actor, an option or an outcome."""
