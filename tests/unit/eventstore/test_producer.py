"""What our producer asks of the pinned aiokafka and no public option gives."""

from aiokafka.producer import sender

from eventstore.log import producer


def test_pause_between_transactions() -> None:
    """How long a transaction waits for the markers of the one before is read where it was set."""
    answer = sender.AddPartitionsToTxnHandler.handle_response
    assert "BACKOFF_OVERRIDE" in answer.__code__.co_names
    assert answer.__globals__["BACKOFF_OVERRIDE"] == producer.MARKERS_S < 0.01
