"""Senders that post batch after batch, and each until it is acknowledged: through crashes, refusals and silence.

A stream without idempotency keys is never sent twice: whether an unanswered batch was counted, nobody can know.
"""

import http.client
import json
import random
import threading
import time
from dataclasses import dataclass, field

from traffic import AHEAD_S, batch_of
from victim import HOST

_TIMEOUT_S = 15.0  # of a service that hangs, or is stopped
_PAUSE_S, _PAUSE_LONGEST_S = 0.02, 0.3
_PIECE = 16 << 10


@dataclass(slots=True)
class Sent:
    """What became of a stream's batches."""

    acknowledged: list = field(default_factory=list)
    unanswered: list = field(default_factory=list)  # of streams that are never sent again
    again: int = 0  # answers that said the batch had been counted before
    repeats: int = 0  # batches that were sent again after they had been acknowledged, and known
    failures: dict = field(default_factory=dict)  # attempts without a 200, by status or error
    wrong: list = field(default_factory=list)

    def failed(self, reason):
        self.failures[reason] = self.failures.get(reason, 0) + 1


class Senders:
    """A thread a stream.

    Streams of one model stay together in event time. `ports` are those of all services; each attempt goes to any of them. With a
    status that is `doubtful` a batch may have been counted; a share of what was acknowledged is `repeated`, to any service.
    """

    def __init__(self, seed, streams, ports, *, event_s_per_s=None, doubtful=(), repeated=0.0):
        self.seed = seed
        self.streams = streams
        self.ports = ports
        self.sent = {stream.name: Sent() for stream in streams}
        self.next_s = {stream.name: batch_of(seed, stream, 0).start_s for stream in streams}
        self._moved = threading.Condition()
        self._stopping = threading.Event()
        self._rate = event_s_per_s
        self._doubtful = doubtful
        self.repeated = repeated
        self._threads = [threading.Thread(target=self._run, args=(stream,), daemon=True) for stream in streams]

    def start(self):
        self._started_s = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def stop(self, seconds=120.0):
        """Let every stream finish the batch it is at."""
        self._stopping.set()
        with self._moved:
            self._moved.notify_all()
        deadline_s = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline_s - time.monotonic()))
            if thread.is_alive():
                raise TimeoutError("a batch was not acknowledged")

    def wait_past(self, event_s, seconds):
        """Wait until all streams are past a time of theirs."""
        deadline_s = time.monotonic() + seconds
        with self._moved:
            while min(self.next_s.values()) < event_s:
                if not self._moved.wait(deadline_s - time.monotonic()):
                    raise TimeoutError("the senders do not get on")

    def answered(self):
        """Number of batches that were acknowledged."""
        return sum(len(sent.acknowledged) for sent in self.sent.values())

    def _run(self, stream):
        sent, rng = self.sent[stream.name], random.Random(stream.name)
        number = 0
        while self._may_send(stream, number):
            batch = batch_of(self.seed, stream, number)
            headers, body = request_of(batch)
            if not self._post(stream, batch, headers, body, sent, rng):
                return
            number += 1

    def _may_send(self, stream, number):
        """Wait for the slowest stream of the model, and for the rate."""
        start_s = batch_of(self.seed, stream, number).start_s
        with self._moved:
            self.next_s[stream.name] = start_s
            self._moved.notify_all()
            while not self._stopping.is_set():
                beside = [self.next_s[other.name] for other in self.streams if other.model == stream.model]
                if start_s <= min(beside) + AHEAD_S and self._wait_s(start_s) <= 0:
                    return True
                self._moved.wait(max(0.01, min(1.0, self._wait_s(start_s))))
        return False

    def _wait_s(self, start_s):
        return 0.0 if self._rate is None else start_s / self._rate - (time.monotonic() - self._started_s)

    def _post(self, stream, batch, headers, body, sent, rng):
        pause_s = _PAUSE_S
        while True:
            connection = http.client.HTTPConnection(HOST, rng.choice(self.ports), timeout=_TIMEOUT_S)
            try:
                status, answer = post(connection, stream.model, headers, body)
            except (OSError, http.client.HTTPException) as error:
                sent.failed(type(error).__name__)
                # A connection that was refused has carried nothing.
                if batch.key is None and not isinstance(error, ConnectionRefusedError):
                    sent.unanswered.append(batch.number)
                    return True
            else:
                if status == 200:
                    self._acknowledged(batch, answer, sent)
                    self._repeat(stream, batch, headers, body, sent, rng)
                    return True
                sent.failed(status)
                if batch.key is None and status in self._doubtful:
                    sent.unanswered.append(batch.number)
                    return True
                if status not in {429, 503}:
                    sent.wrong.append((batch.number, status, answer[:500]))
                    return False
            finally:
                connection.close()
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_LONGEST_S)

    def _repeat(self, stream, batch, headers, body, sent, rng):
        """Send again what was acknowledged, as a sender does that did not hear so; it must be known, or refused for now."""
        if batch.key is None or rng.random() >= self.repeated:
            return
        connection = http.client.HTTPConnection(HOST, rng.choice(self.ports), timeout=_TIMEOUT_S)
        try:
            status, answer = post(connection, stream.model, headers, body)
        except (OSError, http.client.HTTPException):
            return
        finally:
            connection.close()
        if status == 200:
            sent.repeats += 1
            if not json.loads(answer)["duplicate"]:
                sent.wrong.append((batch.number, "counted again", answer[:500]))

    @staticmethod
    def _acknowledged(batch, answer, sent):
        document = json.loads(answer)
        sent.again += document["duplicate"]
        sent.acknowledged.append(batch.number)
        late = document["late"] and not batch.stream.late
        if document["accepted"] != batch.stream.rows or document["rejected"] or late:
            sent.wrong.append((batch.number, 200, answer[:500]))


def request_of(batch):
    """Headers and body of a batch."""
    content_type, encoding, body = batch.body()
    headers = {"Content-Type": content_type}
    if encoding is not None:
        headers["Content-Encoding"] = encoding
    if batch.key is not None:
        headers["Idempotency-Key"] = batch.key
    return headers, body


def post(connection, model, headers, body):
    """Send a body, a long one in pieces; status and answer."""
    pieces = (body[at : at + _PIECE] for at in range(0, len(body), _PIECE))
    long = len(body) > _PIECE
    path = f"/v1/models/{model}/inferences"
    connection.request("POST", path, pieces if long else body, headers, encode_chunked=long)
    answer = connection.getresponse()
    return answer.status, answer.read()
