"""Where a client is in its session, so that it can come back to it over another transport."""

from typing import Any


class Bookmark:
    """Shown every message of the server's, `resume` is what to ask for (docs/protocol.md)."""

    def __init__(self) -> None:
        self.session_id: str | None = None
        self.seq = 0
        self._token = ""

    def note(self, message: dict[str, Any]) -> None:
        self.seq = max(self.seq, message.get("seq", 0))
        if message["type"] in ("session.started", "session.resumed"):
            self.session_id = message["session_id"]
            self._token = message["resume_token"]

    def resume(self, played: dict[str, int] | None) -> dict[str, Any] | None:
        """The "resume" of an offer or a hello; None where there is no session yet."""
        if self.session_id is None:
            return None
        return {
            "session_id": self.session_id,
            "resume_token": self._token,
            "seq": self.seq,
            "played": played,
        }
