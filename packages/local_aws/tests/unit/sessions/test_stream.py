from __future__ import annotations

import heapq
import itertools
import random

import pytest

from local_aws.sessions.frames import Frame, MessageType, PayloadType
from local_aws.sessions.stream import MAX_BACKOFF, MAX_TIMEOUT, MIN_TIMEOUT, RESEND_BATCH, ReceiveStream, SendStream


class End:
    """An end that sends its messages as the window allows, and collects the other's."""

    def __init__(self, message_type: MessageType, messages: int) -> None:
        self.sending = SendStream(message_type, window=16)
        self.receiving = ReceiveStream(capacity=40)
        self.to_send = [f"{message_type} {number}".encode() for number in range(messages)]
        self.received: list[bytes] = []


class LossyLink:
    """Carries frames and acknowledgements; it loses, duplicates and delays them by a seed."""

    def __init__(self, seed: int, loss: float) -> None:
        self._random = random.Random(seed)
        self._loss = loss
        self._flying: list[tuple[float, int, End, Frame | int]] = []
        self._order = itertools.count()

    def carry(self, now: float, target: End, what: Frame | int) -> None:
        for _ in range(2 if self._random.random() < 0.1 else 1):
            if self._random.random() >= self._loss:
                arrival = now + self._random.uniform(0.001, 0.3)
                heapq.heappush(self._flying, (arrival, next(self._order), target, what))

    def arrived(self, now: float) -> list[tuple[End, Frame | int]]:
        here = []
        while self._flying and self._flying[0][0] <= now:
            _, _, target, what = heapq.heappop(self._flying)
            here.append((target, what))
        return here


@pytest.mark.parametrize("loss", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("seed", range(4))
def test_lossy_link_delivers_everything_once_and_in_order(seed: int, loss: float) -> None:
    link = LossyLink(seed, loss)
    client, agent = End(MessageType.INPUT, 300), End(MessageType.OUTPUT, 300)
    wanted = {id(client): list(agent.to_send), id(agent): list(client.to_send)}
    other = {id(client): agent, id(agent): client}
    now = 0.0
    while client.sending.pending or agent.sending.pending or client.to_send or agent.to_send:
        now += 0.01
        assert now < 5000, "the stream makes no progress"
        for end in (client, agent):
            while end.to_send and end.sending.has_room:
                link.carry(now, other[id(end)], end.sending.send(PayloadType.OUTPUT, end.to_send.pop(0), now))
            for frame in end.sending.due(now):
                link.carry(now, other[id(end)], frame)
        for target, what in link.arrived(now):
            if isinstance(what, int):
                target.sending.acknowledge(what, now)
                continue
            acknowledge, ready = target.receiving.receive(what)
            target.received += [frame.payload for frame in ready]
            if acknowledge:
                link.carry(now, other[id(target)], what.sequence)
    assert client.received == wanted[id(client)]
    assert agent.received == wanted[id(agent)]


def frame(sequence: int) -> Frame:
    return Frame(MessageType.OUTPUT, str(sequence).encode(), sequence=sequence)


def test_early_messages_wait_for_the_missing_one() -> None:
    stream = ReceiveStream()
    assert stream.receive(frame(2)) == (True, [])
    assert stream.receive(frame(1)) == (True, [])
    acknowledge, ready = stream.receive(frame(0))
    assert acknowledge
    assert [item.sequence for item in ready] == [0, 1, 2]


def test_duplicate_is_acknowledged_and_dropped() -> None:
    stream = ReceiveStream()
    stream.receive(frame(0))
    stream.receive(frame(5))
    assert stream.receive(frame(0)) == (True, [])
    assert stream.receive(frame(5)) == (True, [])


def test_full_reorder_buffer_leaves_a_message_unacknowledged() -> None:
    stream = ReceiveStream(capacity=2)
    assert stream.receive(frame(1))[0]
    assert stream.receive(frame(2))[0]
    assert not stream.receive(frame(3))[0]
    acknowledge, ready = stream.receive(frame(0))
    assert acknowledge
    assert [item.sequence for item in ready] == [0, 1, 2]


def test_resends_back_off() -> None:
    stream = SendStream(MessageType.INPUT)
    sent = stream.send(PayloadType.OUTPUT, b"x", now=0.0)
    times = []
    now = 0.0
    while now < 60:
        now = stream.deadline() or 0.0
        assert stream.due(now - 0.001) == []
        assert stream.due(now) == [sent]
        times.append(now)
    waits = [later - earlier for earlier, later in itertools.pairwise([0.0, *times])]
    assert waits[:4] == pytest.approx([MIN_TIMEOUT, 2 * MIN_TIMEOUT, 4 * MIN_TIMEOUT, 8 * MIN_TIMEOUT])
    assert max(waits) == pytest.approx(MAX_BACKOFF)
    assert stream.acknowledge(0, now)
    assert stream.deadline() is None
    assert stream.due(now + 100) == []


def test_timeout_follows_round_trip_time_within_limits() -> None:
    stream = SendStream(MessageType.INPUT)
    for number in range(100):
        stream.send(PayloadType.OUTPUT, b"x", now=float(number))
        stream.acknowledge(number, number + 0.5)
    assert 0.5 < stream.timeout < 0.7
    for number in range(100, 200):
        stream.send(PayloadType.OUTPUT, b"x", now=float(number))
        stream.acknowledge(number, number + 30.0)
    assert stream.timeout == MAX_TIMEOUT
    for number in range(200, 400):
        stream.send(PayloadType.OUTPUT, b"x", now=float(number))
        stream.acknowledge(number, number + 0.0001)
    assert stream.timeout == MIN_TIMEOUT


def test_resent_message_gives_no_round_trip_sample() -> None:
    stream = SendStream(MessageType.INPUT)
    stream.send(PayloadType.OUTPUT, b"x", now=0.0)
    stream.due(5.0)
    stream.acknowledge(0, 50.0)
    assert stream.timeout == MIN_TIMEOUT


def test_window_opens_with_the_highest_acknowledged_message() -> None:
    stream = SendStream(MessageType.OUTPUT, window=3)
    for _ in range(3):
        assert stream.has_room
        stream.send(PayloadType.OUTPUT, b"x", now=0.0)
    assert not stream.has_room
    assert stream.acknowledge(1, 0.1)
    assert stream.has_room
    assert not stream.acknowledge(1, 0.2), "a repeated acknowledgement counts"
    assert not stream.acknowledge(77, 0.2), "an acknowledgement of an unsent message counts"
    assert stream.pending == 2


def test_new_connection_replays_unacknowledged_messages_first() -> None:
    stream = SendStream(MessageType.OUTPUT)
    for _ in range(4):
        stream.send(PayloadType.OUTPUT, b"x", now=0.0)
    stream.acknowledge(1, 0.1)
    assert [item.sequence for item in stream.replay(10.0)] == [0, 2, 3]
    assert stream.due(10.1) == [], "a replayed message is due"


def test_peer_that_paused_is_not_flooded() -> None:
    stream = SendStream(MessageType.OUTPUT)
    for _ in range(RESEND_BATCH * 2):
        stream.send(PayloadType.OUTPUT, b"x", now=0.0)
    assert [item.sequence for item in stream.due(9.0)] == list(range(RESEND_BATCH))
