"""An ordered, reliable stream over frames that may be lost, duplicated or reordered.

Each end of a data channel has a SendStream and a ReceiveStream. They do no I/O and read no clock: the caller passes the
time.

Timeouts follow the public AWS client (and RFC 6298): ``rtt += (sample - rtt) / 8``, ``deviation += (|rtt - sample| -
deviation) / 4``, ``timeout = rtt + 4 * deviation``, within [0.2 s, 1 s], doubled with every resend of one message.
"""

from __future__ import annotations

from local_aws.sessions.frames import Frame, MessageType

WINDOW = 256  # messages in flight beyond the highest acknowledged one
REORDER_CAPACITY = 10_000  # as AWS's client
MIN_TIMEOUT = 0.2
MAX_TIMEOUT = 1.0
MAX_BACKOFF = 5.0
RESEND_BATCH = 32  # so that a paused peer does not get the whole window at once


class _Sent:
    __slots__ = ("attempts", "due", "frame", "sent")

    def __init__(self, frame: Frame, sent: float, due: float) -> None:
        self.frame = frame
        self.sent = sent
        self.due = due
        self.attempts = 1


class SendStream:
    """Numbers outgoing messages and keeps each until it is acknowledged."""

    def __init__(self, message_type: MessageType, window: int = WINDOW) -> None:
        """Start at sequence number 0; ``window`` is the number of messages beyond the highest acknowledged one."""
        self._type = message_type
        self._window = window
        self._next = 0
        self._highest = -1
        self._unacknowledged: dict[int, _Sent] = {}  # in order of sequence numbers
        self._rtt = 0.1
        self._deviation = 0.0
        self.timeout = MIN_TIMEOUT

    @property
    def has_room(self) -> bool:
        """Whether the window allows another message.

        The window starts at the *highest* acknowledged message, not the oldest missing one: AWS's client never
        acknowledges a second copy, so an acknowledgement lost with its socket would close the window for good.
        """
        return self._next - 1 - self._highest < self._window

    @property
    def pending(self) -> int:
        """Number of unacknowledged messages."""
        return len(self._unacknowledged)

    def send(self, payload_type: int, payload: bytes, now: float) -> Frame:
        """Number a message for the caller to transmit; small control messages may ignore ``has_room``."""
        frame = Frame(self._type, payload, payload_type=payload_type, sequence=self._next)
        self._unacknowledged[self._next] = _Sent(frame, now, now + self.timeout)
        self._next += 1
        return frame

    def acknowledge(self, sequence: int, now: float) -> bool:
        """Register an acknowledgement; return False if it is a repetition or for an unsent message."""
        sent = self._unacknowledged.pop(sequence, None)
        if sent is None:
            return False
        self._highest = max(self._highest, sequence)
        if sent.attempts == 1:  # Karn's algorithm: the round trip of a resent message is ambiguous
            self._sample(now - sent.sent)
        return True

    def due(self, now: float) -> list[Frame]:
        """At most RESEND_BATCH messages to resend now, oldest first."""
        late = [sent for sent in self._unacknowledged.values() if sent.due <= now][:RESEND_BATCH]
        for sent in late:
            self._count_resend(sent, now)
        return [sent.frame for sent in late]

    def replay(self, now: float) -> list[Frame]:
        """All unacknowledged messages in order, for a new connection to send first."""
        for sent in self._unacknowledged.values():
            sent.attempts = 1
            self._count_resend(sent, now)
        return [sent.frame for sent in self._unacknowledged.values()]

    def deadline(self) -> float | None:
        """When to call ``due`` next; None if nothing is in flight."""
        return min((sent.due for sent in self._unacknowledged.values()), default=None)

    def _count_resend(self, sent: _Sent, now: float) -> None:
        sent.attempts += 1
        sent.due = now + min(self.timeout * 2 ** (sent.attempts - 1), MAX_BACKOFF)

    def _sample(self, round_trip: float) -> None:
        self._deviation += (abs(self._rtt - round_trip) - self._deviation) / 4
        self._rtt += (round_trip - self._rtt) / 8
        self.timeout = min(max(self._rtt + 4 * self._deviation, MIN_TIMEOUT), MAX_TIMEOUT)


class ReceiveStream:
    """Delivers incoming messages in order, each exactly once."""

    def __init__(self, capacity: int = REORDER_CAPACITY) -> None:
        """Expect sequence number 0; keep up to ``capacity`` early messages (the sender resends any others)."""
        self._capacity = capacity
        self._expected = 0
        self._early: dict[int, Frame] = {}

    def receive(self, frame: Frame) -> tuple[bool, list[Frame]]:
        """Take a stream message; return whether to acknowledge it, and the messages that are next in order.

        Duplicates are acknowledged too: the first acknowledgement may have been lost.
        """
        if frame.sequence < self._expected or frame.sequence in self._early:
            return True, []
        if frame.sequence > self._expected:
            if len(self._early) >= self._capacity:
                return False, []
            self._early[frame.sequence] = frame
            return True, []
        ready = [frame]
        self._expected += 1
        while (following := self._early.pop(self._expected, None)) is not None:
            ready.append(following)
            self._expected += 1
        return True, ready
