"""The page's pure modules, in the browser that runs them: playout, resampling, echo, tickets."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Run = Callable[[str], Any]

RATE = 24_000
SMOOTH = 0.06  # the largest step between samples of the tone below is 0.04; a click has more

SIMULATION = """
const { PlayoutBuffer } = await import("./static/playout.js");
const RATE = 24000, FRAME = 480;
const buffer = new PlayoutBuffer(RATE);
// Frame n of a tone that goes on from frame to frame; its phase tells which was played.
const tone = (n) => Float32Array.from({ length: FRAME },
  (_, i) => 0.5 * Math.sin(2 * Math.PI * 310 * (n * FRAME + i) / RATE));
let now = 0;
const push = (n, { made = now, samples = tone(n) } = {}) => buffer.push(n, samples, now, made);
const heard = [];
/** Plays so many milliseconds; `each(now)` is called before every one of them. */
const play = (ms, each = () => {}) => {
  const from = heard.length;
  for (let i = 0; i < ms; i++, now++) {
    each(now);
    const out = new Float32Array(RATE / 1000);
    buffer.pull(out);
    heard.push(...out);
  }
  return heard.slice(from);
};
const step = (samples) => samples.reduce(
  (most, x, i) => i ? Math.max(most, Math.abs(x - samples[i - 1])) : 0, 0);
const loudest = (samples) => samples.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
"""


@pytest.fixture(scope="module")
def blank_page(launch: Callable[[list[str]], Browser], server_url: str) -> Iterator[Page]:
    browser = launch([])
    page = browser.new_page()
    page.goto(server_url)
    yield page
    browser.close()


@pytest.fixture
def run(blank_page: Page) -> Run:
    """Runs the body of an async function among the page's modules; its result."""
    return lambda body: blank_page.evaluate(f"async () => {{ {body} }}")


@pytest.fixture
def simulate(run: Run) -> Run:
    """The same with a playout buffer, a tone, and a clock; see SIMULATION."""
    return lambda body: run(SIMULATION + body)


def test_clean_path_plays_every_sample_once_and_at_once(simulate: Run) -> None:
    result = simulate("""
      play(5);
      for (let n = 0; n < 5; n++) push(n);           // the lead, in one burst
      let next = 5;
      play(1000, (t) => { if (t > 5 && (t - 5) % 20 === 0 && next < 50) push(next++); });
      const first = heard.findIndex((x) => x !== 0);
      const expected = Array.from({ length: 50 }, (_, n) => [...tone(n)]).flat();
      let error = 0;
      for (let i = 240; i < expected.length; i++) {
        error = Math.max(error, Math.abs(heard[5 * 24 + i] - expected[i]));
      }
      return { first, error, target: buffer.target, sequence: buffer.sequence };
    """)
    assert result["first"] < 5 * 24 + 5
    assert result["error"] == 0
    assert 20 <= result["target"] <= 40
    assert result["sequence"] == 50


def test_late_arrivals_raise_the_target_and_it_sinks_again(simulate: Run) -> None:
    result = simulate("""
      const targets = [];
      let next = 0;
      const second = (lateness) => {
        for (let i = 0; i < 50; i++) {
          const made = now;
          now += 20;
          buffer.push(next, tone(next), made + 20 + (i % 10 ? 0 : lateness), made);
          next++;
        }
        targets.push(buffer.target);
      };
      second(0);
      second(90);
      for (let i = 0; i < 40; i++) second(0);
      return targets;
    """)
    clean, late, after = result[0], result[1], result[-1]
    assert clean == 20
    assert late > 100
    assert result[2] > 90, "one good second is not believed"
    assert after < 25
    assert result[1:] == sorted(result[1:], reverse=True)


def test_a_spurt_waits_for_what_the_path_needs(simulate: Run) -> None:
    waited = simulate("""
      for (let n = 0; n < 20; n++) buffer.push(n, tone(n), n * 20 + (n === 10 ? 100 : 0), n * 20);
      buffer.flush(Infinity);
      play(20);
      let next = 20;
      const from = heard.length;
      play(300, (t) => { if (t % 20 === 0) push(next++, { made: t }); });
      return heard.slice(from).findIndex((x) => x !== 0) * 1000 / RATE;
    """)
    assert 80 < waited < 130


def test_what_is_missing_is_concealed_without_a_click_and_dies_away(simulate: Run) -> None:
    result = simulate("""
      for (let n = 0; n < 5; n++) push(n, { made: 0 });
      play(100);
      const gap = play(150);
      const concealed = buffer.concealed;
      for (let n = 5; n < 15; n++) push(n);
      play(200);
      const whole = heard.slice(240);
      return { early: loudest(gap.slice(0, 240)), end: loudest(gap.slice(-480)), concealed,
        step: step(whole), last: buffer.sequence, target: buffer.target };
    """)
    assert result["early"] > 0.4
    assert result["end"] == 0
    assert result["concealed"] == 150 * 24
    assert result["step"] < SMOOTH
    assert result["last"] == 15
    assert result["target"] > 100, "more is held from now on"


def test_concealing_a_sound_without_a_pitch_does_not_click_either(simulate: Run) -> None:
    step = simulate("""
      const rumble = (n) => Float32Array.from({ length: FRAME },
        (_, i) => 0.5 * Math.sin(2 * Math.PI * 35 * (n * FRAME + i) / RATE));
      for (let n = 0; n < 5; n++) push(n, { samples: rumble(n) });
      play(200);
      return step(heard);
    """)
    assert step < SMOOTH


def test_flush_fades_and_forgets_what_came_before(simulate: Run) -> None:
    result = simulate("""
      for (let n = 0; n < 10; n++) push(n);
      play(43);
      buffer.flush(20);
      const after = play(60);
      push(12);                              // one that a decoder still held
      const late = play(40);
      push(20); push(21);
      const next = play(100);
      return { fade: after.findLastIndex((x) => x !== 0) / 24, late: loudest(late),
        next: loudest(next.slice(0, 480)), step: step(heard), sequence: buffer.sequence };
    """)
    assert 3 < result["fade"] <= 8
    assert result["late"] == 0
    assert result["next"] > 0.4
    assert result["step"] < SMOOTH
    assert result["sequence"] == 22


def test_flush_leaves_what_comes_after_it(simulate: Run) -> None:
    result = simulate("""
      for (let n = 0; n < 3; n++) push(n);
      buffer.silence(3);
      push(30); push(31);
      buffer.silence(32);
      play(10);
      buffer.flush(30);
      play(100);
      return { played: buffer.played, sequence: buffer.sequence };
    """)
    assert result["sequence"] == 32
    assert result["played"] >= 2 * 480


def test_silence_ends_a_spurt_without_concealment(simulate: Run) -> None:
    result = simulate("""
      for (let n = 0; n < 4; n++) push(n);
      buffer.silence(4);
      play(80);
      const after = play(300);
      const sequence = buffer.sequence;
      push(90); push(91);                    // any number may follow
      buffer.silence(92);
      const again = play(100);
      return { fade: after.findLastIndex((x) => x !== 0) / 24, concealed: buffer.concealed,
        sequence, again: loudest(again), played: buffer.played, step: step(heard) };
    """)
    assert result["fade"] <= 5
    assert result["concealed"] == 0
    assert result["sequence"] == 4
    assert result["again"] > 0.4
    assert result["played"] == 6 * 480
    assert result["step"] < SMOOTH


def test_frames_that_the_sender_skipped_cost_no_more_than_two(simulate: Run) -> None:
    result = simulate("""
      for (let n = 0; n < 4; n++) push(n);
      push(50); push(51);
      buffer.silence(52);
      play(300);
      return { concealed: buffer.concealed, played: buffer.played, step: step(heard) };
    """)
    assert result["concealed"] == 2 * 480
    assert result["played"] == (4 + 2 + 2) * 480
    assert result["step"] < SMOOTH


def test_a_frame_that_comes_twice_is_played_once(simulate: Run) -> None:
    played = simulate("""
      for (const n of [7, 8, 8, 7, 9]) push(n);
      buffer.silence(10);
      play(200);
      return buffer.played;
    """)
    assert played == 3 * 480


def test_clocks_that_differ_are_followed(simulate: Run) -> None:
    speeds = simulate("""
      const speeds = [];
      let next = 0;
      for (let n = 0; n < 5; n++) push(next++);
      // A sender that is ahead more and more, and then one that is hardly ahead.
      play(4000, (t) => { if (t && t % 18 === 0) push(next++, { made: t }); });
      speeds.push(buffer.speed);
      buffer.flush(Infinity);
      push(next++); push(next++);
      play(4000, (t) => { if (t % 20 === 19) push(next++, { made: t }); });
      speeds.push(buffer.speed);
      return speeds;
    """)
    assert speeds[0] == 1.005
    assert speeds[1] <= 1


def test_nothing_is_left_when_all_was_played(simulate: Run) -> None:
    drained = simulate("""
      const states = [buffer.drained];
      push(1); push(2);
      states.push(buffer.drained);
      play(10);
      buffer.silence(Infinity);
      states.push(buffer.drained);
      play(60);
      return [...states, buffer.drained];
    """)
    assert drained == [True, False, False, True]


@pytest.mark.parametrize(
    ("source", "target"), [(44_100, 48_000), (48_000, 24_000), (24_000, 44_100)]
)
def test_resampler_keeps_a_tone_and_its_length(run: Run, source: int, target: int) -> None:
    result = run(f"""
      const {{ Resampler }} = await import("./static/resampler.js");
      const resampler = new Resampler({source}, {target});
      const out = [];
      for (let at = 0; at < {source}; at += 128) {{
        resampler.write(Float32Array.from({{ length: 128 }},
          (_, i) => Math.sin(2 * Math.PI * 1000 * (at + i) / {source})));
        const piece = new Float32Array(resampler.available);
        resampler.read(piece);
        out.push(...piece);
      }}
      // What is not a tone of 1 kHz, of any phase, is error.
      let s = 0, c = 0, energy = 0, count = 0;
      const wave = (i) => 2 * Math.PI * 1000 * i / {target};
      for (let i = 1000; i < 1000 + {target} / 2; i++, count++) {{
        s += out[i] * Math.sin(wave(i)); c += out[i] * Math.cos(wave(i)); energy += out[i] ** 2;
      }}
      const of = 2 * (s * s + c * c) / count;
      return {{ length: out.length, gain: of / count * 2,
        snr: 10 * Math.log10(of / Math.max(1e-12, energy - of)) }};
    """)
    assert abs(result["length"] - target) < 0.01 * target
    assert result["snr"] > 50
    assert abs(result["gain"] - 1) < 0.01


def test_resampler_lets_nothing_fold_back(run: Run) -> None:
    loudest = run("""
      const { Resampler } = await import("./static/resampler.js");
      const resampler = new Resampler(48000, 24000);
      resampler.write(Float32Array.from({ length: 9600 }, (_, i) => Math.sin(2 * Math.PI * i / 3)));
      const out = new Float32Array(4000);
      resampler.read(out);
      return out.slice(200).reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    """)
    assert loudest < 0.001


def test_packets_are_as_the_protocol_says(run: Run) -> None:
    result = run("""
      const { decodePacket, encodePacket } = await import("./static/packets.js");
      const made = [...new Uint8Array(encodePacket(1, 258, 70000.9, Int16Array.of(1, -2)))];
      const { kind, sequence, timestamp, payload } = decodePacket(Uint8Array.from(made).buffer);
      const bad = [new ArrayBuffer(11), new ArrayBuffer(12)].map(decodePacket);
      return { made, read: [kind, sequence, timestamp, [...payload]], bad };
    """)
    assert bytes(result["made"]) == struct.pack(">B3xII", 1, 258, 70_000) + struct.pack(
        "<2h", 1, -2
    )
    assert result["read"] == [1, 258, 70_000, [1, 0, 254, 255]]
    assert result["bad"] == [None, None]


def test_events_that_come_again_are_not_new(run: Run) -> None:
    result = run("""
      const { SessionTicket } = await import("./static/ticket.js");
      const ticket = new SessionTicket();
      ticket.take({ session_id: "s", resume_token: "t", resume_window: 30 });
      const seen = [1, 2, 2, 5, 5, 3].map((seq) => ticket.isNew({ seq }));
      const hole = ticket.resume(null).seq;
      seen.push(ticket.isNew({ seq: 4 }), ticket.isNew({ seq: 5 }), ticket.isNew({}));
      return { seen, hole, last: ticket.resume({ sequence: 9 }) };
    """)
    assert result["seen"] == [True, True, False, True, False, True, True, False, True]
    assert result["hole"] == 3
    assert result["last"] == {
        "session_id": "s",
        "resume_token": "t",
        "seq": 5,
        "played": {"sequence": 9},
    }


def test_echo_is_found_and_silence_is_not_taken_for_one(run: Run) -> None:
    result = run("""
      const { chirp, findEcho } = await import("./static/echo.js");
      const rate = 12000, played = chirp(rate, 0.4, 0.3);
      let seed = 1;
      const noise = () => ((seed = (seed * 16807) % 2147483647) / 2147483647 - 0.5) * 0.01;
      const empty = Float32Array.from({ length: rate }, noise);
      const echo = Float32Array.from(empty);
      played.forEach((x, i) => { echo[1500 + i] += x * 0.05; });
      return { echo: findEcho(played, echo), empty: findEcho(played, empty) };
    """)
    assert abs(result["echo"]["gain"] + 26) < 1
    assert abs(result["echo"]["delay"] - 1500) <= 1
    assert result["echo"]["gain"] > result["echo"]["floor"]
    assert result["empty"]["gain"] < result["empty"]["floor"]
