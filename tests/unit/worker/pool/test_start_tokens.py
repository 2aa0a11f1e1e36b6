"""The worker's end of start tokens: each is given to one side only."""

import os
import random
import signal
import time
from pathlib import Path

from bridge.child_protocol import TOKEN_SIZE, StartToken, read_tokens
from bridge.in_flight import MOST_IN_FLIGHT
from worker.pool.start_tokens import StartTokens

TOKENS = 20_000


def test_what_was_not_taken_can_be_taken_back() -> None:
    """In its order, and once."""
    tokens = StartTokens()
    given = [StartToken(number, number % 2 == 0) for number in range(1, 6)]
    assert tokens.put(given)
    assert read_tokens(os.read(tokens.fileno(), TOKEN_SIZE)) == given[:1]
    assert tokens.take_back() == given[1:]
    assert tokens.take_back() == []
    tokens.close()
    tokens.close()


def test_there_is_room_for_as_many_as_may_be_in_flight() -> None:
    """Also if each comes alone."""
    tokens = StartTokens()
    assert all(tokens.put([StartToken(number, True)]) for number in range(1, MOST_IN_FLIGHT + 1))
    assert [token.request for token in tokens.take_back()] == list(range(1, MOST_IN_FLIGHT + 1))
    tokens.close()


def test_a_child_and_its_worker_never_have_the_same_token(tmp_path: Path) -> None:
    """While the worker takes back at random, and kills the child at the end. At most the one that the child was taking
    then is lost."""
    tokens, taken = StartTokens(), tmp_path / "taken"
    writing = os.open(taken, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    child = os.fork()
    if child == 0:
        while data := os.read(tokens.fileno(), TOKEN_SIZE):
            os.write(writing, data)
        os._exit(0)
    chance, back, given = random.Random(7), list[int](), 0
    while given < TOKENS:
        count = chance.randint(1, 16)
        numbers = [(given + number) % 0xFFFF + 1 for number in range(count)]
        while not tokens.put(StartToken(number, False) for number in numbers):
            time.sleep(0)
        given += count
        if chance.random() < 0.2:
            back += [token.request for token in tokens.take_back()]
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    back += [token.request for token in tokens.take_back()]
    of_child = [token.request for token in read_tokens(taken.read_bytes())]
    os.close(writing)
    tokens.close()
    assert not set(of_child) & set(back)
    assert given - 1 <= len(of_child) + len(back) <= given
    assert of_child == sorted(of_child)
    assert back
