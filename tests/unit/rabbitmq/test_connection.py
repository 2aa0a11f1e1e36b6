"""What aiormq raises where a connection ends, made an error that is known to mean that."""

import pytest
from aiormq.exceptions import AMQPConnectionError

from bridge.brokers.rabbitmq.connection import cancelled_by_us_alone


@pytest.mark.parametrize("raised", [Exception(), StopAsyncIteration()], ids=["bare", "end of the frames"])
def test_an_end_without_a_word_is_a_broken_connection(raised: Exception) -> None:
    """The other side closed the connection, and aiormq has no reason to give."""
    with pytest.raises(AMQPConnectionError), cancelled_by_us_alone():
        raise raised


def test_a_defect_stays_what_it_is() -> None:
    """Only what aiormq raises of itself is turned into another error."""
    with pytest.raises(ValueError, match="mine"), cancelled_by_us_alone():
        raise ValueError("mine")
