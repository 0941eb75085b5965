"""Orders that must be paid in time: a decider, a process manager with a timeout, and the program that runs both."""
