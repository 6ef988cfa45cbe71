"""Plays one trial: asks, waits for the answer, speaks over it, listens. What came of it is judged
afterwards, from what was recorded: see `judge`."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from bench.audio import loudness
from bench.bargein.judge import Answer, Levels, Take
from bench.bargein.microphone import SILENT, Microphone
from bench.bargein.plan import Plan, Utterance
from bench.bargein.sounds import active_level, amplified
from bench.caller import RATE, Caller, CallFailed
from media.frames import Samples

SETTLE_SECONDS = 0.3  # after a call is up, before anything is said
REPLY_TIMEOUT = 15.0
EVENT_SECONDS = 0.3  # by which an event may come later than the sound that belongs to it
QUIET_SECONDS = 0.7  # of silence before a question is asked
QUIET_TIMEOUT = 30.0
SILENT_SERVER_PAUSE = 2.0  # after which the answer of a server without events is over
STOP_LIMIT = 2.5  # after the caller's end; an answer that still sounds then was not stopped
RESPONSE_LIMIT = 4.0  # after the caller's end, for what comes next
GO_ON_SECONDS = 3.0  # after the caller's end, for an answer that is to go on
ENOUGH_SECONDS = 0.7  # of what comes next
ATTEMPTS = 3  # at an answer that lasts until the caller speaks
MOST_ANSWERS = 12  # that are asked for in one trial, though each was cut
PATIENCE = 3.0  # times what is to be heard; a bot that cuts itself short comes to less


async def play(caller: Caller, plan: Plan) -> Take:
    """What was heard and said in this call. Raises CallFailed."""
    return await _Trial(caller, plan).play()


@dataclass(slots=True)
class _Said:
    onset: float
    end: float


class _Trial:
    def __init__(self, caller: Caller, plan: Plan) -> None:
        self._caller, self._plan = caller, plan
        self._clock = asyncio.get_running_loop().time
        self._microphone = Microphone(caller.ear, plan)
        self._microphone.noisy = plan.noise_always
        self._answers: list[Answer] = []
        self._said: _Said | None = None
        caller.mouth.mix = self._microphone.mix

    async def play(self) -> Take:
        plan = self._plan
        await self._pass(SETTLE_SECONDS)
        await self._quiet()
        if plan.utterance is None:
            await self._listen(plan.seconds or 0.0)
        elif plan.utterance.pause:
            await self._speak_first(plan.utterance)
        else:
            await self._speak_over(plan.utterance)
        return self._take()

    async def _listen(self, seconds: float) -> None:
        """To so much of answers, each asked for when the one before is over or was cut."""
        heard, end = 0.0, self._clock() + QUIET_TIMEOUT + PATIENCE * seconds
        while heard < seconds and len(self._answers) < MOST_ANSWERS and self._clock() < end:
            if self._answers:
                await self._quiet()
            answer = await self._ask()
            enough = answer.start + seconds - heard
            await self._over_or(answer, enough)
            self._microphone.noisy = self._plan.noise_always
            last = self._caller.ear.last_audible(answer.start) or answer.start
            if not self._over(answer):
                break  # enough; `last` may lie in a pause before that
            heard += min(last, enough) - answer.start

    async def _speak_first(self, utterance: Utterance) -> None:
        said = await self._say(utterance)
        ear, clock = self._caller.ear, self._clock
        await self._caller.until(
            lambda: (
                (first := ear.first_audible(said.onset)) is not None
                and clock() >= max(first, said.end) + ENOUGH_SECONDS
            ),
            REPLY_TIMEOUT,
            "no answer was heard",
        )

    async def _speak_over(self, utterance: Utterance) -> None:
        for _ in range(ATTEMPTS):
            answer = await self._ask()
            if await self._reached(answer):
                break
            self._microphone.noisy = self._plan.noise_always
            await self._quiet()
        else:
            raise CallFailed(f"{ATTEMPTS} answers did not last until the caller spoke")
        said = await self._say(utterance)
        await self._until(lambda: self._decided(said))

    def _decided(self, said: _Said) -> bool:
        """Whether enough was heard: of an answer that went on, or of what came after it."""
        ear, now = self._caller.ear, self._clock()
        if now >= said.end + RESPONSE_LIMIT:
            return True
        last = ear.last_audible(said.onset)
        silent = now - (last or said.onset)
        if now >= said.end + max(STOP_LIMIT, GO_ON_SECONDS) and silent < ENOUGH_SECONDS:
            return True
        # Something that began after the caller's end and silence is what came next.
        following = ear.first_audible(said.end)
        if following is None or now < following + ENOUGH_SECONDS:
            return False
        before = ear.last_audible(said.onset, following - 0.001) or said.onset
        return following - before >= ENOUGH_SECONDS and now >= said.end + GO_ON_SECONDS / 2

    async def _ask(self) -> Answer:
        caller, question = self._caller, self._plan.question
        said = await self._utter(question)
        first = await caller.until(
            lambda: caller.ear.first_audible(said.end), REPLY_TIMEOUT, "no answer was heard"
        )

        def turns() -> list[int]:
            events = caller.events_since(said.onset)
            return [event["turn"] for _, event in events if event["type"] == "reply.started"]

        if caller.events:
            await self._until(lambda: turns() or self._clock() >= first + EVENT_SECONDS)
        answer = Answer(first, turns()[-1] if turns() else None, said.onset)
        self._answers.append(answer)
        self._microphone.noisy = True
        return answer

    async def _say(self, utterance: Utterance) -> _Said:
        samples = utterance.samples
        if utterance.over_echo is not None:
            echo = self._microphone.echo_level
            if echo <= SILENT:
                raise CallFailed("no echo was heard to speak over")
            samples = amplified(samples, echo + utterance.over_echo - active_level(samples))
        self._said = await self._utter(samples)
        return self._said

    async def _utter(self, samples: Samples) -> _Said:
        self._caller.mouth.say(samples)
        await self._until(self._caller.mouth.quiet.is_set)
        began = self._caller.mouth.began
        return _Said(began, began + len(samples) / RATE)

    async def _reached(self, answer: Answer) -> bool:
        """Whether the moment at which the caller speaks came before the answer was over."""
        plan, caller = self._plan, self._caller

        def now() -> bool:
            if plan.word is None:
                return self._clock() >= answer.start + (plan.after or 0.0)
            heard = "".join(
                event["text"]
                for _, event in caller.events
                if event["type"] == "reply.heard" and event["turn"] == answer.turn
            )
            return len(heard.split()) >= plan.word

        if plan.word is not None and answer.turn is None:
            raise CallFailed("this server does not say which words were heard: no `at: {word}`")
        await self._until(lambda: now() or self._over(answer))
        return not self._over(answer)

    def _over(self, answer: Answer) -> bool:
        if answer.turn is None:
            last = self._caller.ear.last_audible(answer.start) or answer.start
            return self._clock() - last > SILENT_SERVER_PAUSE
        return any(
            event["type"] == "reply.ended" and event["turn"] == answer.turn
            for _, event in self._caller.events_since(answer.start)
        )

    async def _over_or(self, answer: Answer, end: float) -> None:
        await self._until(lambda: self._over(answer) or self._clock() >= end)

    async def _quiet(self) -> None:
        """Until the bot says nothing and thinks of nothing; a greeting is heard to its end."""
        ear, began = self._caller.ear, self._clock()

        def quiet() -> bool:
            last = ear.last_audible(ear.began) or ear.began
            states = [event for _, event in self._caller.events if event["type"] == "state"]
            listening = not states or states[-1]["state"] == "listening"
            silent = self._clock() - last
            # Without events nobody says whether an answer is being made.
            wanted = QUIET_SECONDS if states or not self._answers else SILENT_SERVER_PAUSE
            return listening and silent >= wanted

        # A bot that answers its own echo would never be done.
        self._microphone.muted = bool(self._answers)
        await self._until(lambda: quiet() or self._clock() >= began + QUIET_TIMEOUT)
        self._microphone.muted = False

    async def _pass(self, seconds: float) -> None:
        end = self._clock() + seconds
        await self._until(lambda: self._clock() >= end)

    async def _until(self, condition: Callable[[], object]) -> None:
        await self._caller.until(condition, 3600.0, "the end of a trial did not come")

    def _take(self) -> Take:
        began = self._caller.ear.began
        said, pause = self._said, self._plan.utterance and self._plan.utterance.pause
        recording = self._caller.ear.recording()
        return Take(
            bot=_levels(recording),
            caller=_levels(self._microphone.recording(began)),
            recording=recording,
            said=(said.onset - began, said.end - began) if said else None,
            pause=(said.onset - began + pause[0], said.onset - began + pause[1])
            if said and pause
            else None,
            answers=tuple(Answer(a.start - began, a.turn, a.asked - began) for a in self._answers),
            events=tuple((at - began, event) for at, event in self._caller.events),
        )


def _levels(samples: Samples) -> Levels:
    return loudness(samples, RATE)
