import asyncio
import json
from collections.abc import AsyncIterator

from inference.embedded import EmbeddedEngine
from inference.embedded.llm import sentences
from inference.protocol import Speech, Voice
from inference.settings import EngineSettings, LlmSettings
from tests.inference.embedded.caller import answer_words, ask, caller_says


async def pieces(*texts: str) -> AsyncIterator[str]:
    for text in texts:
        yield text


async def test_a_sentence_is_passed_on_as_soon_as_the_next_begins() -> None:
    cut = [s async for s in sentences(pieces("Hel", "lo. How", " are you? I am", " 3.5 years"))]
    assert cut == ["Hello. ", "How are you? ", "I am 3.5 years"]


async def test_what_no_skill_understands_goes_to_the_endpoint_with_the_history() -> None:
    asked: list[dict[str, object]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length:")[2].split()[0])
        asked.append(json.loads(await reader.readexactly(length)))
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
        )
        for text in ("Certainly. ", "Which ", "size?"):
            choice = {"index": 0, "delta": {"content": text}}
            event = {"id": "1", "object": "chat.completion.chunk", "choices": [choice]}
            writer.write(f"data: {json.dumps(event)}\n\n".encode())
        writer.write(b"data: [DONE]\n\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = EngineSettings(
        llm=LlmSettings(base_url=f"http://127.0.0.1:{port}/v1", system_prompt="Be brief.")
    )
    engine = EmbeddedEngine(settings)
    async with server, engine.open(Voice(), lambda _: None) as session:
        said = caller_says("the meeting was moved to next thursday")
        first = await ask(session, 1, said)
        await ask(session, 2, said)
    assert answer_words(first) == "Certainly. Which size?"
    assert all(len(chunk.samples) for chunk in first if isinstance(chunk, Speech))
    roles = [[m["role"] for m in request["messages"]] for request in asked]  # type: ignore[attr-defined]
    assert roles == [["system", "user"], ["system", "user", "assistant", "user"]]
