"""Takes the bot's own voice out of the microphone of a caller without an echo canceller.

While nothing is known of an echo, a frame passes as it is, unless it could be one: then it is held
back until correlation has decided, mostly for a tenth of a second and at most for half of one, and
comes out late but whole if it was none. An echo begins when the answer does, so that only the
delays are searched at which it was not to be heard before. Once the line's echo is known its
linear part is predicted and subtracted, and what may be left of it is suppressed; of a frame in
which there is no more than that the line's noise is left, one with a caller in it keeps the
caller's bands.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from media.echo_canceller import EchoCanceller
from media.echo_delay import HEARD_SECONDS, MAX_DELAY, SPAN, find_delay
from media.echo_reference import EchoReference, Wave
from media.echo_residual import (
    BANDS,
    Bands,
    ResidualModel,
    analysis_window,
    band_matrix,
    gain_filter,
    interpolation_matrix,
)
from media.frames import FRAME_SECONDS, Samples, frame_length

PARTITIONS = 8  # frames of the room that are modelled
LEAD = 0.02  # seconds of them before the delay that was found: an answer's delay may be shorter
EARLIER = 0.13  # seconds by which an answer's delay may be shorter than the last one's
TAIL = 0.35  # seconds an echo may go on
SILENCE = 1e-7  # mean square of what no detector hears
SOUND = 1e-6  # mean square of what can be heard

CERTAIN = 15.0  # score of a delay that is none by chance
CHANCE = 6.0  # what of a score is often by chance; the rest adds up while looks agree
CHANCE_NEARBY = 5.0  # ... within NEARBY of the delay that was known
NEARBY = 0.1  # seconds
ENOUGH, ENOUGH_AGAIN = 14.0, 8.0  # ... to be certain for the first time, and of a change
SAME = 0.004  # seconds between delays that the filter makes up for
LOOK_FRAMES = 3  # between two correlations while something has to be decided
WATCH_FRAMES = 40  # ... while all seems to be well
MOST_HELD_BACK = 25  # frames
EARLY_FRAMES = 5  # of sound, from which on it is known of most that they are none
UNLIKELY, RISE = 6.0, 1.0  # score under which it is none then, and how that grows with each frame
DOUBTFUL = 9.0  # ... up to this: of 80 echoes two had less, of 30 voices two had more
RULED_OUT_FRAMES = 4  # without an echo of what was loud: hardly one of this delay
SETTLED_FRAMES = 75  # ... and it is, so that there is no haste to look again
QUIET = 1e-4  # mic to played, in power: so quiet is no echo to speak of
HIGHEST_COUPLING = 4.0  # of powers: what is louder is no echo
SHORTEST = 5  # frames of sound in which two voices are not alike by chance
GONE_FRAMES = 150  # of loud sound played without an echo: the line has none any more
LOUD = 0.04  # peak of what is played that an echo would be heard of
QUIET_FRAMES = 12  # without an echo of what was played: there is none
LOUDER = 4.0  # power over the noise that is a sound

WITHOUT, DURING_SPEECH = 0.7, 2.0  # how much of the residual is taken for somebody else's
DOUBT_FRAMES = 60  # after which it is the caller who speaks, not an echo from elsewhere
MOVED_FRAMES = 8  # after which the new delay may be doubted
ASSURED_FRAMES = 25  # after which there may be a doubt again
UNLIKE = 0.35  # share of the agreement to be expected of a prediction that is right
SURPRISE = 0.5  # ... under which an opening waits for another frame
ALIKE = 0.78  # ... and from which it is

MOST_NEWS = 12.0  # of a band, in nepers
OLD_NEWS = 0.3  # of a frame: so much there always is
FADING = 0.8  # of the evidence from frame to frame
MOST_EVIDENCE = 4.0
OPEN_AT, KEEP_AT = 2.0, 0.7  # evidence at which the gate opens, and down to which it stays so
HANG_FRAMES = 6  # that a caller's voice may fade for
FLOOR = 0.1  # gain of a band that is all echo, in a caller's frame


# Noise of power 1, to be taken from.
HUSH: Wave = np.random.default_rng(1).standard_normal(50_000).astype(np.float32)


@dataclass(frozen=True, slots=True)
class EchoPathEstimate:
    """The line's echo, as it is known."""

    delay: float  # seconds from a pull to the frame with its echo
    coupling: float  # dB, the echo relative to what was played
    reduction: float  # dB by which the prediction lowers the echo


class EchoGate:
    """One call's. `play` each frame that is pulled, `receive` each of the microphone's."""

    def __init__(self, *, input_rate: int, output_rate: int) -> None:
        self._rate = input_rate
        self._length = frame_length(input_rate)
        self._reference = EchoReference(input_rate, output_rate)
        self._canceller = EchoCanceller(self._length, PARTITIONS)
        self._matrix = band_matrix(self._length, input_rate)
        self._interpolation = interpolation_matrix(self._matrix)
        self._window = analysis_window(self._length)
        self._share = float(np.mean(self._window**2))  # of a power that the window leaves
        silence = SILENCE * float(self._window @ self._window) * self._matrix.sum(axis=0)
        self._residual = ResidualModel(silence)
        self._heard: Wave = np.zeros(round(HEARD_SECONDS * input_rate), dtype=np.float32)
        self._spectra = np.zeros((3, self._length + 1), dtype=np.float32)
        self._two: Wave = np.zeros((2, 2 * self._length), dtype=np.float32)  # residual, prediction
        self._delay: int | None = None  # samples
        self._loaded = -1  # where the canceller's history ends
        self._powers: Bands = np.zeros((PARTITIONS, BANDS), dtype=np.float32)
        self._coupling = 1.0  # of powers
        self._agreement = 0.0
        self._expected = 0.0
        self._colour: Bands = np.ones(BANDS, dtype=np.float32)  # the coupling, in each band
        self._doubt = 0  # frames for which the delay has been in doubt; 0: it is not
        self._assured = 0  # frames for which it will not be
        self._placed = 0  # where the answer began for which the delay was found
        self._doubt_age = 0  # frames since it began
        self._found = 0  # samples: the delay as it was last seen
        self._support = 0.0  # for it
        self._likely = 0.0  # seconds: the delay of the last look, certain or not
        self._score = 0.0  # ... and how sure that look was
        self._noise = -1.0  # power of the microphone's; not known yet
        self._hushed = 0
        self._held_back: list[Samples] = []
        self._unexplained = 0
        self._gone = 0  # frames of loud sound without an echo
        self._knew = False  # there was one, and there may be one again: a muted microphone has none
        self._since_look = 0
        self._quiet = np.zeros(round(MAX_DELAY / FRAME_SECONDS), dtype=np.int64)  # frames, by delay
        self._hang = 0
        self._surprised = False
        self._evidence = 0.0  # of a caller
        self._gain = 1.0
        self._sums = np.zeros(3)  # powers: played, its echo, what is left of it

    @property
    def knows(self) -> bool:
        """Whether the line is known to have an echo."""
        return self._delay is not None

    @property
    def path(self) -> EchoPathEstimate | None:
        """What is known of the echo; None while there is none."""
        if self._delay is None:
            return None
        played, echo, left = self._sums + 1e-9
        reduction = 10 * math.log10(echo / left)
        coupling = 10 * math.log10(echo / played if played > 1e-6 else self._coupling)
        return EchoPathEstimate(self._delay / self._rate, coupling, reduction)

    def play(self, samples: Samples, sequence: int, now: float) -> None:
        """A frame was pulled."""
        self._reference.play(samples, now)

    def receive_played(self, sequence: int, now: float) -> None:
        """The client plays this frame next. Correlation finds the delay without it."""

    def receive(self, samples: Samples, now: float) -> list[Samples]:
        """The microphone's next frame, without the echo.

        Or none, until it is known whether this is an echo, and then all that were held back: none
        is lost, and each is as long as it came.
        """
        frame = self._receive(samples, now)
        if frame is None:
            self._held_back.append(samples)
            return []
        held_back, self._held_back = self._held_back, []
        if self._delay is not None:  # it was one
            held_back = [self._hush(len(held)) for held in held_back]
        return [*held_back, frame]

    def _receive(self, samples: Samples, now: float) -> Samples | None:
        if not len(samples):
            return samples
        position = self._reference.count
        self._reference.receive(len(samples), now)
        if len(samples) != self._length:
            return self._receive_odd(samples, position)
        if position - self._reference.sounded > (MAX_DELAY + TAIL) * self._rate:
            return samples
        sound = samples.astype(np.float32) / np.float32(32768)
        power = float(sound @ sound) / self._length
        self._noise = power if self._noise < 0 else min(self._noise * 1.01, power) + 1e-10
        if position - self._reference.sounded > (MAX_DELAY + TAIL) * self._rate:
            return samples
        self._heard = np.concatenate((self._heard[self._length :], sound))
        if self._delay is None:
            return self._decide(samples, power, position)
        at = position - self._delay
        if at - self._reference.sounded > TAIL * self._rate:
            return samples
        if self._is_gone(power, at):
            self._forget()
            return samples
        return self._cancel(sound, power, at)

    def _receive_odd(self, samples: Samples, position: int) -> Samples:
        """A frame of another length is only let through or held back."""
        self._loaded = -1
        if self._delay is None or position - self._delay - self._reference.sounded > (
            TAIL * self._rate
        ):
            return samples
        return samples if self._gain else np.zeros_like(samples)

    def _decide(self, samples: Samples, power: float, position: int) -> Samples | None:
        """No echo is known: is this one? None: that is not known yet."""
        self._since_look += 1
        quiet = power < self._noise * LOUDER
        silent = not self._knew and self._quiet.min() >= QUIET_FRAMES  # nothing had an echo yet
        if not (quiet and silent):
            oldest = position - round(MAX_DELAY * self._rate)
            peak = self._reference.peak(oldest, position + self._length)
            loudest = peak * peak / 8
            if loudest < SOUND:
                return samples
            quiet = quiet or power < loudest * QUIET
            if quiet and not silent:  # what was loud has no echo of these delays
                self._quiet += self._reference.peaks(oldest, len(self._quiet)) > LOUD
        if quiet:
            self._unexplained = max(0, self._unexplained - 1)
            waits = self._held_back and self._unexplained
            return None if waits and len(self._held_back) < MOST_HELD_BACK else samples
        self._unexplained += 1
        settled = silent or self._unexplained > SETTLED_FRAMES
        undecided = self._unexplained <= EARLY_FRAMES or bool(self._held_back)
        pause = WATCH_FRAMES if settled else 1 if undecided else LOOK_FRAMES
        if self._since_look >= pause and self._unexplained >= LOOK_FRAMES:
            self._look()
            if self._delay is not None:
                return self._hush(len(samples))
        more = self._unexplained - EARLY_FRAMES
        unlikely = self._score < min(UNLIKELY + RISE * more, DOUBTFUL)
        cleared = settled or (more >= 0 and unlikely)
        return samples if cleared or len(self._held_back) == MOST_HELD_BACK else None

    def _hush(self, length: int) -> Samples:
        """The line's noise, and nothing else.

        After digital silence a detector is slow to find speech, and everything is loud.
        """
        self._hushed = (self._hushed + length) % (len(HUSH) - length)
        noise = HUSH[self._hushed : self._hushed + length]
        return (noise * np.float32(32768 * math.sqrt(max(0.0, self._noise)))).astype(np.int16)

    def _look(self) -> None:
        """Search for the delay, and take what is certain."""
        fresh, self._since_look = self._since_look / LOOK_FRAMES, 0
        reference = self._reference
        length = round(SPAN * self._rate)
        end = reference.count
        heard = self._heard
        if self._doubt:  # what was heard before it says where the echo was
            heard = heard.copy()
            heard[: -(self._doubt_age + 1) * self._length] = 0
        possible = self._possible() if self._delay is None else None
        likeness = find_delay(heard, reference.window(end - length, length), self._rate, possible)
        self._score = likeness.score
        again = abs(likeness.delay - self._likely) < SAME
        self._likely = likeness.delay
        near = self._delay is not None and (abs(likeness.delay - self._delay / self._rate) < NEARBY)
        chance = CHANCE_NEARBY if near else CHANCE
        # What two looks have in common says nothing new.
        news = min(1.0, fresh) * max(0.0, likeness.score - chance)
        self._support = (self._support if again else 0.0) + news
        enough = ENOUGH if self._delay is None else ENOUGH_AGAIN
        if likeness.score < CERTAIN and self._support < enough:
            return
        found = round(likeness.delay * self._rate)
        if self._delay is not None and not self._doubt:
            if abs(found - self._found) < SAME * self._rate:
                self._found = found
                return
            if not again:  # look twice
                self._since_look = WATCH_FRAMES - LOOK_FRAMES
                return
        if self._delay is None:
            coupling = self._plausible(found)
            if coupling is None:
                return
            self._coupling = coupling
            self._colour = np.full(BANDS, self._coupling, dtype=np.float32)
            self._canceller.reset(self._coupling)
            self._residual.reset()
            self._delay = found
        else:
            # The filter knows the room by where the echo was.
            self._residual.beware()
            self._support = 0.0
            self._delay += found - self._found
        self._found = found
        self._loaded = -1
        self._doubt, self._assured = 0, MOVED_FRAMES
        self._agreement = self._expected = 0.0

    def _plausible(self, delay: int) -> float | None:
        """Of what was heard to what was played so long before, in power; None: that is no echo."""
        size = len(self._heard)
        played = self._reference.window(self._reference.count - delay - size, size)
        heard, played = (
            np.square(sound).reshape(-1, self._length).mean(axis=1)
            for sound in (self._heard, played)
        )
        coupling = float(heard.sum() / (played.sum() + 1e-9))
        enough = np.count_nonzero(played > SOUND) >= SHORTEST
        return coupling if enough and coupling < HIGHEST_COUPLING else None

    def _is_gone(self, power: float, at: int) -> bool:
        """Was nothing heard of what was loud for so long? A headset, a canceller, or an error."""
        peak = self._reference.peak(at, at + self._length)
        if power >= max(self._noise * LOUDER, QUIET * peak * peak / 8):
            if not self._hang:
                self._gone = 0
        elif peak > LOUD:
            self._gone += 1
        return self._gone >= GONE_FRAMES

    def _forget(self) -> None:
        """The line has no echo: begin as on the first day, but never again be sure of it."""
        self._delay = None
        self._knew = True
        self._gone = self._unexplained = self._hang = self._doubt = 0
        self._support = self._score = self._evidence = 0.0
        self._gain = 1.0
        self._surprised = False
        self._quiet[:] = 0

    def _possible(self) -> NDArray[np.bool_] | None:
        """The delays at which an echo would have been heard before; None: none is ruled out."""
        likely = np.pad(self._quiet < RULED_OUT_FRAMES, 1)
        likely = likely[:-2] | likely[1:-1] | likely[2:]
        return likely if likely.any() else None

    def _cancel(self, sound: Wave, power: float, at: int) -> Samples:
        length, canceller, model = self._length, self._canceller, self._residual
        self._advance(at + round(LEAD * self._rate))
        echo = canceller.predict()
        residual = sound - echo
        if not self._doubt:
            canceller.adapt(residual, DURING_SPEECH if self._hang else WITHOUT)
        two = self._two
        two[:, :length] = two[:, length:]
        two[0, length:] = residual
        two[1, length:] = echo
        left, predicted = np.fft.rfft(two * self._window)
        powers = self._spectra  # left, predicted, and what they have in common
        np.multiply(left.real, left.real, out=powers[0])
        powers[0] += left.imag**2
        np.multiply(predicted.real, predicted.real, out=powers[1])
        powers[1] += predicted.imag**2
        np.multiply(left.real, predicted.real, out=powers[2])
        powers[2] += left.imag * predicted.imag
        left_b, predicted_b, cross = powers @ self._matrix
        left_b += np.float32(1e-12)
        predicted_b += np.float32(1e-12)
        common = predicted_b + cross
        mixed_b = np.maximum(left_b + common + cross, np.float32(1e-12))
        model.hear_noise(left_b)
        self._compare(predicted_b, mixed_b, common, power > LOUDER * self._noise)
        coupling = np.float32(self._coupling)
        bound = model.expect(predicted_b, coupling * self._powers[:3].max(axis=0))
        if self._doubt:
            bound = np.maximum(bound, 4 * self._colour * self._around(at))
        ratio = np.log(left_b / (bound + 2 * model.noise))
        self._judge(ratio)
        if not self._doubt:
            sounding = bound > 2 * model.noise
            if self._hang:
                model.doubt(ratio, sounding)
            else:
                model.learn(np.log(left_b / bound), sounding)
                close = self._powers[:3].max(axis=0)
                told = mixed_b / (close + np.float32(1e-6) * close.max() + np.float32(1e-9))
                self._colour += np.float32(0.03) * sounding * (np.minimum(told, 10) - self._colour)
                played = self._share * float(self._powers[1].sum())
                now = np.array((played, mixed_b.sum(), left_b.sum()))
                self._sums = 0.98 * self._sums + now
        self._since_look += 1
        lost = self._assured and self._agreement < UNLIKE * self._expected
        every = LOOK_FRAMES if self._doubt or lost else WATCH_FRAMES
        ready = self._doubt_age > 4 if self._doubt else lost or not self._hang
        if ready and self._since_look >= every and power > LOUDER * self._noise:
            self._look()
        return self._suppress(left_b, bound)

    def _judge(self, ratio: Bands) -> None:
        """Is there a caller? `ratio`: what is left to what may be echo, in nepers of power."""
        # The likelihood that there is more than echo, against the best guess of how much more.
        more = np.maximum(ratio, 0)
        news = float(np.minimum(np.exp(more) - 1 - more, MOST_NEWS).mean())
        evidence = FADING * self._evidence + news - OLD_NEWS
        self._evidence = max(0.0, min(evidence, MOST_EVIDENCE))
        if self._doubt and self._doubt_age == 1:
            self._hang = 0
        surprise = self._agreement < SURPRISE * self._expected and not self._surprised
        if self._evidence > (KEEP_AT if self._hang else OPEN_AT):
            self._surprised = surprise and not self._hang
            if not self._surprised:
                self._hang = HANG_FRAMES
        else:
            self._surprised = False
            self._hang = max(0, self._hang - 1)

    def _advance(self, start: int) -> None:
        """The canceller's next frame of what was played begins here."""
        length, canceller = self._length, self._canceller
        if self._loaded == start:
            canceller.push(self._reference.window(start - length, 2 * length))
            self._powers[1:] = self._powers[:-1]
            self._powers[0] = canceller.powers[0] @ self._matrix
        else:
            first = start - PARTITIONS * length
            canceller.load(self._reference.window(first, (PARTITIONS + 1) * length))
            self._powers = canceller.powers @ self._matrix
        self._loaded = start + length
        placed = self._reference.placed
        if placed != self._placed and start + length + round(EARLIER * self._rate) > placed:
            self._placed, self._doubt, self._assured = placed, 1, 0
            self._support = 0.0
            self._agreement = self._expected = 0.0

    def _compare(self, predicted: Bands, mixed: Bands, common: Bands, loud: bool) -> None:
        """Does the prediction say what is heard? If not, the delay is in doubt."""
        audible = predicted > 2 * self._residual.noise
        count = np.count_nonzero(audible)
        if count > 4:
            share = np.sqrt(predicted / mixed) * audible
            agreement = float((common / predicted) @ share) / count
            expected = float(np.minimum(1, share).sum()) / count
            self._agreement += 0.4 * (agreement - self._agreement)
            self._expected += 0.4 * (expected - self._expected)
        self._assured = max(0, self._assured - 1)
        self._doubt_age = self._doubt_age + 1 if self._doubt else 0
        if self._doubt:
            self._doubt += loud
            if self._agreement > max(0.25, ALIKE * self._expected):
                self._doubt = 0
            elif self._doubt > DOUBT_FRAMES:
                self._doubt, self._assured = 0, ASSURED_FRAMES
        elif not self._assured and self._expected > 0.4:
            self._support = 0.0
            self._doubt = self._doubt_age = int(self._agreement < UNLIKE * self._expected)

    def _around(self, at: int) -> Bands:
        """The loudest that was played in each band, wherever the delay may have gone."""
        length = self._length
        stretch = self._reference.window(at - 8 * length, 14 * length).reshape(-1, length)
        spectra = np.fft.rfft(np.hstack((stretch[:-1], stretch[1:])))
        powers = spectra.real**2 + spectra.imag**2
        return np.asarray((powers @ self._matrix).max(axis=0))

    def _suppress(self, left: Bands, bound: Bands) -> Samples:
        length = self._length
        target = 1.0 if self._hang else 0.0
        if not target and not self._gain:
            return self._hush(length)
        gains = np.clip(1 - bound / left, FLOOR**2, 1) ** 0.5
        response = gain_filter(gains.astype(np.float32), self._interpolation)
        out = np.fft.irfft(np.fft.rfft(self._two[0]) * response)[length:]
        if target != self._gain:
            ramp = np.full(length, target, dtype=np.float32)
            size = length // 10 if target else length
            ramp[:size] = np.linspace(self._gain, target, size)
            out = out * ramp
            self._gain = target
        return np.clip(np.rint(out * 32768), -32768, 32767).astype(np.int16)
