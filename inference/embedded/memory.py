"""What was said: the last ten turns, the answers as they were heard."""

from collections import deque
from dataclasses import dataclass

from inference.protocol import TurnId

TURNS = 10


@dataclass(slots=True)
class Exchange:
    turn: TurnId
    caller: str
    answer: str = ""


class Memory:
    """A call's history, oldest first."""

    def __init__(self) -> None:
        self.exchanges: deque[Exchange] = deque(maxlen=TURNS)

    def begin(self, turn: TurnId, caller: str) -> Exchange:
        exchange = Exchange(turn, caller)
        self.exchanges.append(exchange)
        return exchange

    def truncate(self, turn: TurnId, heard: str) -> None:
        for exchange in self.exchanges:
            if exchange.turn == turn:
                exchange.answer = heard.strip()

    def last_caller(self) -> str:
        """What the caller last said, "" at the beginning."""
        return next((e.caller for e in reversed(self.exchanges) if e.caller), "")

    def last_answer(self) -> str:
        return next((e.answer for e in reversed(self.exchanges) if e.answer), "")

    def messages(self, system_prompt: str) -> list[dict[str, str]]:
        """The history as a chat endpoint wants it."""
        messages = [{"role": "system", "content": system_prompt}]
        for exchange in self.exchanges:
            messages.append({"role": "user", "content": exchange.caller})
            if exchange.answer:
                messages.append({"role": "assistant", "content": exchange.answer})
        return messages
