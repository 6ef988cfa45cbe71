// Frames in as they come, an even stream of samples out. Pure: it runs in a worklet and in tests.
//
// Frames come in order, for TCP keeps it. A spurt of them begins when enough is held for the
// jitter of the path, and ends with a silence; what is missing in between is concealed. Every cut
// is softened: what was sounding fades, what begins is blended with what it follows.

import { Concealment } from "./concealment.js";
import { Jitter } from "./jitter.js";

const NOTHING = new Float32Array(0);
const FRAME_MS = 20;
const BLEND_MS = 5;
const FLUSH_MS = 6;
const REBUFFER_MS = 40;     // after an underrun so much must be there: one gap, not a stutter
const CONCEALED_FRAMES = 2; // of a hole that the sender left: it skipped to catch up, so do we
const LEAD_MS = 80;         // the sender's own; so much more than the target is nothing unusual
const EASE_MS = 40;
const NUDGE = 0.005;        // of the speed: nobody hears it
const WINDOW_MS = 1000;     // over which the least that was held is looked at

export class PlayoutBuffer {
  /** Samples played, and those of them that had to be made up. */
  played = 0;
  concealed = 0;
  #rate;
  #queue = [];          // {sequence, samples, at} | {sequence, hole: samples left} | {silence}
  #mode = "idle";       // idle, waiting (to hold enough), playing, starved
  #held = 0;            // samples in the queue
  #waited = 0;          // samples of silence or concealment since the mode began,
  #ready = 0;           // and since there was something to wait with
  #expected = null;     // the sequence of the next frame to come; null where any may
  #next = null;         // the sequence of the next frame to play
  #floor = 0;           // frames before it are not wanted any more
  #seam = NOTHING;      // what the next samples still have to be blended with
  #fade = null;         // what is left of a fade-out
  #last = 0;
  #jitter = new Jitter();
  #concealment;
  #slack = { least: Infinity, before: Infinity, samples: 0 };

  /** `rate` in Hz, of the samples in and out. */
  constructor(rate) {
    this.#rate = rate;
    this.#concealment = new Concealment(rate);
  }

  /** A frame of the session. `arrival` and `timestamp` are ms, when it came and was made. */
  push(sequence, samples, arrival, timestamp) {
    this.#jitter.observe(arrival, timestamp);
    if (sequence < this.#floor || (this.#expected !== null && sequence < this.#expected)) return;
    if (this.#expected !== null && sequence > this.#expected) {
      const frames = Math.min(CONCEALED_FRAMES, sequence - this.#expected);
      this.#queue.push({ sequence, hole: this.#samples(frames * FRAME_MS) });
    }
    if (this.#mode === "playing") {
      this.#slack.least = Math.min(this.#slack.least, this.#held);
    }
    this.#queue.push({ sequence, samples, at: 0 });
    this.#held += samples.length;
    this.#expected = sequence + 1;
    if (this.#mode === "idle") this.#enter("waiting");
  }

  /** From this sequence on there is nothing to play until the next frame. */
  silence(sequence) {
    this.#expected = null;
    if (sequence < this.#floor || this.#mode === "idle") return;
    this.#queue.push({ sequence, silence: true });
  }

  /** Play nothing more of the frames before `sequence`; Infinity is all that are there now. */
  flush(sequence) {
    if (this.#sounding) this.#fade = this.#fadeOut();
    this.#queue = this.#queue.filter((entry) => entry.sequence >= sequence && !entry.hole);
    this.#held = this.#queue.reduce((sum, entry) => sum + (entry.samples?.length ?? 0), 0);
    if (Number.isFinite(sequence)) this.#floor = Math.max(this.#floor, sequence);
    this.#next = Number.isFinite(sequence) ? sequence : this.#expected ?? this.#next;
    this.#expected = null;
    this.#seam = NOTHING;
    this.#concealment.reset();
    this.#enter(this.#queue.some((entry) => entry.samples) ? "waiting" : "idle");
    if (this.#mode === "idle") this.#queue = [];
  }

  /** Fills `out`, with silence where there is nothing. */
  pull(out) {
    let done = 0;
    while (done < out.length) {
      const length = this.#play(out.subarray(done));
      done += length;
      if (length) this.#last = out[done - 1];
    }
    this.#slack.samples += out.length;
    if (this.#slack.samples >= this.#samples(WINDOW_MS)) {
      this.#slack = { least: Infinity, before: this.#slack.least, samples: 0 };
    }
  }

  /** The sequence of the next frame to be played; null before the first. */
  get sequence() {
    const [head] = this.#queue;
    if (!head?.samples) return this.#next;
    return head.at > head.samples.length / 2 ? head.sequence + 1 : head.sequence;
  }

  /** Nothing is held and nothing sounds. */
  get drained() {
    return this.#mode === "idle" && !this.#fade;
  }

  /** How fast to play, 1 or next to it, so that no more and no less is held than is needed. */
  get speed() {
    const least = Math.min(this.#slack.least, this.#slack.before);
    if (this.#mode !== "playing" || !Number.isFinite(least)) return 1;
    const held = (1000 * least) / this.#rate;
    if (held > this.target + LEAD_MS + EASE_MS) return 1 + NUDGE;
    if (held < this.#jitter.target / 4) return 1 - NUDGE;
    return 1;
  }

  /** Milliseconds: held now, wanted before a spurt begins, and the jitter of the path. */
  get held() {
    return (1000 * this.#held) / this.#rate;
  }

  get target() {
    return this.#jitter.target;
  }

  get jitter() {
    return this.#jitter.mean;
  }

  get #sounding() {
    return this.#mode === "playing" || this.#mode === "starved" || this.#fade !== null;
  }

  #samples(milliseconds) {
    return Math.round((milliseconds * this.#rate) / 1000);
  }

  #enter(mode) {
    this.#mode = mode;
    this.#waited = 0;
    this.#ready = 0;
  }

  /** Plays into the beginning of `out`; returns how many samples. */
  #play(out) {
    if (this.#fade) return this.#playFade(out);
    if (this.#mode === "waiting" && this.#enough(this.#jitter.target)) this.#begin();
    if (this.#mode === "starved" && this.#enough(REBUFFER_MS)) {
      // The end of a spurt that came late is no reason to wait longer for the next one.
      if (this.#queue[0].samples) this.#jitter.starved((1000 * this.#waited) / this.#rate);
      this.#begin();
    }
    if (this.#mode === "playing") return this.#playHead(out);
    // In small steps while something is waited for, so that it begins on time.
    const length = Math.min(out.length, this.#samples(1));
    const silent = out.subarray(0, length);
    if (this.#mode === "starved") {
      this.#concealment.fill(silent);
      this.concealed += length;
      this.played += length;
    } else {
      silent.fill(0);
    }
    this.#waited += length;
    if (this.#queue.length) this.#ready += length;
    return length;
  }

  /** So much is held, or was waited for, or no more will come. */
  #enough(milliseconds) {
    if (!this.#queue.length) return false;
    return this.held >= milliseconds
      || this.#ready >= this.#samples(milliseconds)
      || this.#queue.some((entry) => entry.silence);
  }

  #begin() {
    this.#enter("playing");
    this.#seam = this.#makeSeam();
    this.#slack = { least: Infinity, before: Infinity, samples: 0 };
  }

  #playHead(out) {
    const [head] = this.#queue;
    if (!head) {
      this.#enter("starved");
      return 0;
    }
    if (head.silence) return this.#endSpurt(head);
    if (head.hole) return this.#playHole(head, out);
    const length = Math.min(out.length, head.samples.length - head.at);
    const playing = out.subarray(0, length);
    playing.set(head.samples.subarray(head.at, head.at + length));
    if (this.#seam.length) this.#blendIn(playing);
    this.#concealment.hear(playing);
    head.at += length;
    this.#held -= length;
    this.played += length;
    if (head.at === head.samples.length) {
      this.#queue.shift();
      this.#next = head.sequence + 1;
    }
    return length;
  }

  #playHole(head, out) {
    const length = Math.min(out.length, head.hole);
    this.#concealment.fill(out.subarray(0, length));
    this.concealed += length;
    this.played += length;
    head.hole -= length;
    if (!head.hole) {
      this.#queue.shift();
      this.#seam = this.#makeSeam();
    }
    return length;
  }

  /** What follows a hole, an underrun or silence grows out of what is made up for it. */
  #makeSeam() {
    const seam = new Float32Array(this.#samples(BLEND_MS));
    this.#concealment.fill(seam);
    return seam;
  }

  #blendIn(samples) {
    const whole = this.#samples(BLEND_MS);
    const length = Math.min(this.#seam.length, samples.length);
    for (let index = 0; index < length; index++) {
      const share = (this.#seam.length - index) / whole;
      samples[index] += share * (this.#seam[index] - samples[index]);
    }
    this.#seam = this.#seam.subarray(length);
  }

  #endSpurt(head) {
    this.#queue.shift();
    this.#next = head.sequence;
    this.#fade = ramp(new Float32Array(this.#samples(BLEND_MS)).fill(this.#last));
    this.#concealment.reset();
    this.#seam = NOTHING;
    this.#enter(this.#queue.length ? "waiting" : "idle");
    return 0;
  }

  #fadeOut() {
    const fade = new Float32Array(this.#samples(FLUSH_MS));
    if (this.#fade) fade.set(this.#fade.subarray(0, fade.length));
    else if (this.#mode === "playing" && this.#queue[0]?.samples) {
      const { samples, at } = this.#queue[0];
      const rest = samples.subarray(at, at + fade.length);
      fade.set(rest);
      fade.fill(rest.at(-1) ?? this.#last, rest.length);
    } else this.#concealment.fill(fade);
    return ramp(fade);
  }

  #playFade(out) {
    const length = Math.min(out.length, this.#fade.length);
    out.set(this.#fade.subarray(0, length));
    this.#fade = length < this.#fade.length ? this.#fade.subarray(length) : null;
    return length;
  }
}

/** From full loudness to nothing, in place. */
function ramp(samples) {
  for (let index = 0; index < samples.length; index++) {
    samples[index] *= 1 - (index + 1) / samples.length;
  }
  return samples;
}
