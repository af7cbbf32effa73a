"""The gateway's word to the processes beside it: values, pictures and alarms out, actions in.

A subscriber that is slow, stopped or gone costs the gateway nothing: of values and pictures the
newest replaces what was not sent, and one that lets alarms pile up is cut off; it connects again
and is told the alarms as they are then. A subscriber keeps a `Board` of its own, so what it shows
grows stale and bad by time alone when the gateway is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
from collections import deque
from typing import TYPE_CHECKING

from contract.alarms import Alarm, Outcome
from contract.errors import InputError
from contract.tags import HealthCode
from edge_runtime.alarms.tag_values import OwnWord
from edge_runtime.plant.link import peer_uid
from edge_runtime.plant.messages import Picture, Sent, wire_from_parts
from edge_runtime.plant.private_socket import listen_privately, read_message
from edge_runtime.plant.relay_messages import (
    Answer,
    Asked,
    Kept,
    Maintain,
    Note,
    Subscription,
    Word,
    decode_relayed,
    encode_relayed,
)
from edge_runtime.reconnect import back_off_s

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from contract.alarms import Action, AlarmDesk
    from contract.audit import Entry
    from edge_runtime.plant.evidence_told import Evidence, EvidenceTold
    from edge_runtime.plant.receiver import Board
    from edge_runtime.plant.relay_messages import Relayed

    Heard = Callable[[Sent | Picture | Alarm], None]

__all__ = ["RELAY", "RelayClient", "serve_relay"]

RELAY = "relay.sock"
"""The relay's socket, in the folder of the frames process' link."""

_log = logging.getLogger(__name__)

_MAX_UNREAD = 1 << 20  # bytes that the gateway did not take yet
_MAX_UNSENT = 1000  # alarms and answers that a subscriber did not take yet
_MAX_NOTES = 500  # the answers to all of them, and all alarms, are fewer than `_MAX_UNSENT`
_ANSWER_S = 5.0
_WORD_S = 0.2  # between two looks at what the gateway itself says, when nothing else arrives


@contextlib.asynccontextmanager
async def serve_relay(
    board: Board, desk: AlarmDesk, socket_path: Path, evidence: EvidenceTold | None = None
) -> AsyncIterator[None]:
    """Pass on what `board` takes and how the desk's alarms change; hand actions to the desk.

    Raises:
        ConfigError: when the socket cannot be made.
    """

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            wish = decode_relayed(*await read_message(reader))
            if not isinstance(wish, Subscription):
                _log.warning("plant relay: a process that did not say what it wants was cut off")
                return
            outbox = _Subscriber(writer, board, pictures=wish.pictures)
            for alarm in desk.alarms():
                outbox.say(alarm)
            sending = asyncio.create_task(outbox.send(), name="gasedge-relay")
            try:
                with contextlib.ExitStack() as ends:
                    ends.callback(board.listen(outbox.pass_on))
                    ends.callback(desk.listen(outbox.say))
                    while True:
                        asked = decode_relayed(*await read_message(reader))
                        if isinstance(asked, Asked):
                            outbox.say(Answer(asked.n, desk.act(asked.action)))
                        elif isinstance(asked, Kept) and evidence is not None:
                            outbox.say(Answer(asked.n, evidence.take(asked.evidence)))
                        elif isinstance(asked, Note):
                            desk.note(asked.entry)
                            outbox.say(Answer(asked.n, Outcome.DONE))
                        elif isinstance(asked, Maintain):
                            desk.maintain(asked.reason, asked.text)
            finally:
                sending.cancel()
        except InputError as error:
            _log.warning("plant relay: connection closed: %s", error)

    async with listen_privately(socket_path, connected):
        yield


class _Subscriber:
    """What waits to be sent to one process."""

    def __init__(self, writer: asyncio.StreamWriter, board: Board, *, pictures: bool) -> None:
        self._writer = writer
        self._board = board
        self._words: dict[str, OwnWord] = {}  # of each camera, as last sent
        self._pictures = pictures
        self._in_order: deque[bytes] = deque()
        self._newest: dict[tuple[str, ...], tuple[bytes, bytes]] = {}
        self._news = asyncio.Event()

    def say(self, message: Relayed) -> None:
        """Send this in its order; who takes nothing for too long is cut off."""
        if len(self._in_order) >= _MAX_UNSENT:
            _log.warning("plant relay: a process that takes nothing was cut off")
            self._writer.transport.abort()
            return
        self._in_order.append(encode_relayed(message))
        self._news.set()

    def pass_on(self, message: Sent | Picture, header: bytes, blob: bytes) -> None:
        """Send this unless something newer of its kind comes first."""
        if isinstance(message, Sent):
            place: tuple[str, ...] = ("snapshot", message.snapshot.camera)
        elif self._pictures:
            place = ("picture", message.camera, message.view)
        else:
            return
        self._newest[place] = header, blob
        self._news.set()

    async def send(self) -> None:
        """Send until the connection ends."""
        with contextlib.suppress(ConnectionError):
            # cancelling alone may be swallowed by `wait_for` when news comes at the same moment
            while not self._writer.transport.is_closing():
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._news.wait(), _WORD_S)
                self._news.clear()
                self._say_words()
                while (wire := self._next()) is not None:
                    self._writer.write(wire)
                    await self._writer.drain()

    def _next(self) -> bytes | None:
        """What goes next: values, then the alarms that follow from them, pictures last."""
        first = [place for place in self._newest if place[0] == "snapshot"]
        if first:
            return wire_from_parts(*self._newest.pop(first[0]))
        if self._in_order:
            return self._in_order.popleft()
        if self._newest:
            return wire_from_parts(*self._newest.pop(next(iter(self._newest))))
        return None

    def _say_words(self) -> None:
        """Say what the gateway says of each camera, where that is new."""
        if self._board.own_word is None:
            return
        for camera in self._board.cameras:
            word = self._board.own_word(camera)
            if word != self._words.get(camera):
                self._words[camera] = word
                self.say(Word(camera, dict(word.values), int(word.warnings)))


class RelayClient:
    """A process' end of the relay: keeps its board and its alarms, passes on what people ask.

    Args:
        socket_path: where the gateway listens.
        board: takes in what comes.
        pictures: whether pictures are wanted.
        heard: called with each message after it was taken in.
    """

    def __init__(
        self,
        socket_path: Path,
        board: Board,
        *,
        pictures: bool = False,
        heard: Heard = lambda _: None,
    ) -> None:
        self.alarms: dict[str, Alarm] = {}  # by id, as last told
        self.connected = False
        self._path = socket_path
        self._board = board
        board.own_word = lambda camera: self._words.get(camera, OwnWord())
        self._words: dict[str, OwnWord] = {}
        self._reasons: dict[str, str | None] = {}
        self._pictures = pictures
        self._heard = heard
        self._writer: asyncio.StreamWriter | None = None
        self._asked: dict[int, asyncio.Future[Outcome]] = {}
        self._notes: dict[int, Entry] = {}  # that the gateway has not answered yet, oldest first
        self._lost_notes = 0
        self._n = 0

    async def act(self, action: Action) -> Outcome:
        """Ask the desk; NOT_KEPT when it could not be asked, UNANSWERED when no answer came."""
        return await self._ask(lambda number: Asked(number, action))

    async def tell(self, evidence: Evidence) -> Outcome:
        """Tell which evidence was kept; anything but DONE asks to tell it once more."""
        return await self._ask(lambda number: Kept(number, evidence))

    async def _ask(self, question: Callable[[int], Relayed]) -> Outcome:
        self._n += 1
        number = self._n
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            if not self._send(question(number)):
                return Outcome.NOT_KEPT
            return await asyncio.wait_for(answer, _ANSWER_S)
        except InputError:
            return Outcome.NOT_KEPT
        except asyncio.TimeoutError:
            return Outcome.UNANSWERED
        finally:
            self._asked.pop(number, None)

    def note(self, entry: Entry) -> None:
        """Have this written into the audit journal, by the next gateway if this one is gone."""
        if len(self._notes) == _MAX_NOTES:
            del self._notes[next(iter(self._notes))]
            self._lost_notes += 1
        self._n += 1
        self._notes[self._n] = entry
        self._send(Note(self._n, entry))

    def maintain(self, reason: str, text: str | None) -> None:
        """Say why the device needs maintenance, until no text is given; a new gateway is told."""
        self._reasons[reason] = text
        self._send(Maintain(reason, text))

    def _send_what_waits(self) -> None:
        """Tell a new gateway what this process says, and what the last one did not answer."""
        for reason, text in self._reasons.items():
            self._send(Maintain(reason, text))
        for number, entry in self._notes.items():
            self._send(Note(number, entry))
        if self._lost_notes:
            _log.error(
                "%d records are not in the audit journal: the gateway was gone for too long",
                self._lost_notes,
            )
            self._lost_notes = 0

    def _send(self, message: Relayed) -> bool:
        if self._writer is None or self._writer.transport.is_closing():
            return False
        if self._writer.transport.get_write_buffer_size() > _MAX_UNREAD:
            return False
        self._writer.write(encode_relayed(message))
        return True

    async def run(self) -> None:
        """Listen, and connect again whenever the gateway was gone; ends by cancellation."""
        failures = 0
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(str(self._path))
            except OSError as error:
                failures += 1
                if failures == 1:
                    _log.warning("plant relay: no gateway at %s (%s)", self._path, error)
            else:
                failures = 0
                try:
                    await self._listen(reader, writer)
                except InputError as error:
                    _log.error("plant relay: connection closed: %s", error)
                except (asyncio.IncompleteReadError, ConnectionError):
                    _log.warning("plant relay: the gateway is gone")
                finally:
                    self._lost()
                    writer.transport.abort()
            await asyncio.sleep(
                back_off_s(max(failures, 1), random.random(), base_s=0.1, cap_s=1.0)
            )

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        uid = peer_uid(writer.get_extra_info("socket"))
        if uid != os.getuid():
            raise InputError(f"user {uid} listens at {self._path}, not user {os.getuid()}")
        writer.write(encode_relayed(Subscription(pictures=self._pictures)))
        self._writer = writer
        self.connected = True
        self._send_what_waits()
        while True:
            message = decode_relayed(*await read_message(reader))
            if isinstance(message, Answer):
                self._notes.pop(message.n, None)
                answer = self._asked.get(message.n)
                if answer is not None and not answer.done():
                    answer.set_result(message.outcome)
                continue
            if isinstance(message, Word):
                self._words[message.camera] = OwnWord(message.values, HealthCode(message.warnings))
                continue
            if isinstance(message, Alarm):
                self.alarms[message.id] = message
            elif not isinstance(message, Sent | Picture) or not self._board.accept(message):
                continue
            self._heard(message)

    def _lost(self) -> None:
        self.connected = False
        self._writer = None
        for answer in self._asked.values():
            if not answer.done():
                answer.set_result(Outcome.UNANSWERED)
