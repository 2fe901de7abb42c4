"""Real programs for tests: finds them, starts them on loopback, stops them by process id."""
