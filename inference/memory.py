"""What was said: the last ten turns, the answers as they were heard."""

from collections import deque
from dataclasses import dataclass

from inference.protocol import TurnId

TURNS = 10

_SILENT = "[says nothing]"
_INTERRUPTING = "[interrupts you]"


@dataclass(slots=True)
class Exchange:
    """What the caller said ("" where nobody asked), and what was heard of the answer."""

    turn: TurnId
    caller: str
    answer: str = ""
    interrupted: bool = False

    def add(self, sentence: str) -> None:
        """The answer goes on; not after it was cut, by when a sentence may be on its way."""
        if not self.interrupted:
            self.answer += sentence


class Memory:
    """A call's history, oldest first."""

    def __init__(self) -> None:
        self.exchanges: deque[Exchange] = deque(maxlen=TURNS)

    def begin(self, turn: TurnId, caller: str) -> Exchange:
        exchange = Exchange(turn, caller)
        self.exchanges.append(exchange)
        return exchange

    def truncate(self, turn: TurnId, heard: str) -> None:
        """Of the answer to this turn only so much was heard: the caller cut it."""
        for exchange in self.exchanges:
            if exchange.turn == turn:
                exchange.answer = heard.strip()
                exchange.interrupted = True

    def last_caller(self) -> str:
        """What the caller last said, "" at the beginning."""
        return next((e.caller for e in reversed(self.exchanges) if e.caller), "")

    def last_answer(self) -> str:
        return next((e.answer for e in reversed(self.exchanges) if e.answer), "")

    def messages(self, system_prompt: str) -> list[dict[str, str]]:
        """The history as a chat endpoint wants it.

        That an answer was cut is told in the user's next message. In the assistant's own it would
        be an example of how the assistant writes: models take such marks up, and they are spoken.
        Roles alternate, as the templates of many models insist.
        """
        messages = [{"role": "system", "content": system_prompt}]

        def add(role: str, content: str) -> None:
            if messages[-1]["role"] == role:
                messages[-1]["content"] += f"\n{content}"
            else:
                messages.append({"role": role, "content": content})

        interrupted = False
        for exchange in self.exchanges:
            said = exchange.caller or _SILENT
            add("user", f"{_INTERRUPTING} {said}" if interrupted else said)
            if exchange.answer:
                add("assistant", exchange.answer)
            interrupted = exchange.interrupted
        return messages
