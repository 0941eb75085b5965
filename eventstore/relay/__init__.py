"""From the store to the log, in order, without loss and without repeats."""

from eventstore.relay.relay import Relay

__all__ = ["Relay"]
