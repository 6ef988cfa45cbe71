// The two ends of a WebSocket call on the audio thread: the microphone in 20 ms frames, and the
// playout of what comes. The work is done by pure modules; here it meets the audio clock.

import { PlayoutBuffer } from "./playout.js";
import { Resampler } from "./resampler.js";

const QUANTUM = 128;
const FRAMES_PER_SECOND = 50;
const REPORTS_PER_SECOND = 50; // so that a call which moves goes on at the right frame

/** Posts Float32Arrays of 20 ms at `processorOptions.rate` Hz, mono, without a pause. */
class Capture extends AudioWorkletProcessor {
  #resampler;
  #length;
  #silence = new Float32Array(QUANTUM);
  #ended = false;

  constructor({ processorOptions: { rate } }) {
    super();
    this.#resampler = new Resampler(sampleRate, rate);
    this.#length = rate / FRAMES_PER_SECOND;
    this.port.onmessage = () => { this.#ended = true; };
  }

  process([input]) {
    // A track that is muted by the system has no channels at all: the server still wants frames.
    this.#resampler.write(input[0] ?? this.#silence);
    while (this.#resampler.available >= this.#length) {
      const frame = new Float32Array(this.#length);
      this.#resampler.read(frame);
      this.port.postMessage(frame, [frame.buffer]);
    }
    return !this.#ended;
  }
}

/** Plays frames of `processorOptions.rate` Hz. Messages in:

    {sequence, samples, arrival, timestamp}, {silence: sequence}, {flush: sequence},
    {end: true}    play what is there, then be done

Out, for every frame and at the end with `drained`: {sequence, ...} as below. */
class Playout extends AudioWorkletProcessor {
  #buffer;
  #resampler;
  #piece;
  #step;
  #ending = false;
  #done = false;
  #unreported = 0;

  constructor({ processorOptions: { rate } }) {
    super();
    this.#buffer = new PlayoutBuffer(rate);
    this.#resampler = new Resampler(rate, sampleRate);
    this.#step = rate / sampleRate;
    this.#piece = new Float32Array(rate / 1000);
    this.port.onmessage = ({ data }) => this.#receive(data);
  }

  #receive(message) {
    if (message.samples) {
      const { sequence, samples, arrival, timestamp } = message;
      this.#buffer.push(sequence, samples, arrival, timestamp);
    } else if (message.silence !== undefined) this.#buffer.silence(message.silence);
    else if (message.flush !== undefined) this.#buffer.flush(message.flush);
    else if (message.end) {
      this.#buffer.silence(Infinity);
      this.#ending = true;
    }
  }

  process(inputs, [[out]]) {
    if (this.#done) return false;
    this.#resampler.step = this.#step * this.#buffer.speed;
    while (this.#resampler.available < out.length) {
      this.#buffer.pull(this.#piece);
      this.#resampler.write(this.#piece);
    }
    this.#resampler.read(out);
    this.#done = this.#ending && this.#buffer.drained;
    this.#unreported += out.length;
    if (this.#done || this.#unreported >= sampleRate / REPORTS_PER_SECOND) this.#report();
    return true;
  }

  #report() {
    this.#unreported = 0;
    const { sequence, held, target, jitter, played, concealed } = this.#buffer;
    const drained = this.#done;
    this.port.postMessage({ sequence, held, target, jitter, played, concealed, drained });
  }
}

registerProcessor("capture", Capture);
registerProcessor("playout", Playout);
