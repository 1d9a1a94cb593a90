"""A state is acknowledged when every row before it is settled, and not before."""

import json
from itertools import permutations

import pytest
from destination_tests import state

from destination_drift.messages import State, read
from destination_drift.settle import Acknowledgements

A, B = (None, "a"), (None, "b")


@pytest.fixture
def sent() -> list[tuple[object, int, int]]:
    return []


@pytest.fixture
def acks(sent: list[tuple[object, int, int]]) -> Acknowledgements:
    def send(line: str) -> None:
        content = json.loads(line)["state"]
        values = content["stream"]["stream_state"] if "stream" in content else content["global"]["shared_state"]
        stats = content["destinationStats"]
        sent.append((values["at"], stats["recordCount"], stats["rejectedRecordCount"]))

    return Acknowledgements(send)


def message(value: object, stream: str | None) -> State:
    (found,) = read([state(value, stream).encode()])
    assert isinstance(found, State)
    return found


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_state_waits_for_the_rows_of_its_stream(acks, sent, order) -> None:
    """In whatever order rows are settled, each state goes out after the last row before it, and in order."""
    tickets = []
    for number in range(3):
        tickets.append(acks.opened(A))
        acks.state(message(number, "a"))
    acks.opened(B)
    done: set[int] = set()
    for number in order:
        acks.settled(A, tickets[number], rejected=number == 1)
        done.add(number)
        expected = next((first for first in range(3) if first not in done), 3)
        assert [value for value, *_ in sent] == list(range(expected))
    assert sent == [(0, 1, 0), (1, 0, 1), (2, 1, 0)]
    assert acks.pending == 0


def test_a_state_of_all_streams_waits_for_the_rows_of_all(acks, sent) -> None:
    """A GLOBAL state counts the rows of every stream."""
    first, second = acks.opened(A), acks.opened(B)
    acks.state(message("all", None))
    later = acks.opened(A)
    acks.settled(A, first, rejected=False)
    acks.settled(A, later, rejected=False)
    assert (sent, acks.pending) == ([], 1)
    acks.settled(B, second, rejected=True)
    assert sent == [("all", 1, 1)]
    acks.state(message("again", None))
    assert sent[1:] == [("again", 1, 0)]


def test_a_stream_that_is_held_sends_nothing_before_it_is_released(acks, sent) -> None:
    """Neither its states nor those of all streams go out; the states of other streams do."""
    acks.hold(A)
    acks.settled(A, acks.opened(A), rejected=False)
    acks.state(message(1, "a"))
    acks.state(message("all", None))
    acks.state(message(1, "b"))
    assert [value for value, *_ in sent] == [1]
    acks.release(A)
    assert [value for value, *_ in sent] == [1, 1, "all"]


def test_a_state_without_rows_before_it_goes_out_at_once(acks, sent) -> None:
    """States of a stream without rows wait for nothing, and each of them is sent."""
    acks.opened(B)
    acks.state(message(1, "a"))
    acks.state(message(1, "a"))
    assert sent == [(1, 0, 0), (1, 0, 0)]
