// Changes the rate of a stream of samples. Pure: for the worklets, the page and the tests.
//
// A windowed sinc, looked up at any fraction of a sample, so that the rate may be nudged while it
// runs: that is how the playout follows the clock of the sender.

const ZERO_CROSSINGS = 12; // on each side: 70 dB of what would alias is gone
const PASSED = 0.92;       // of the lower Nyquist frequency
const PHASES = 256;

export class Resampler {
  /** Samples in per sample out; may be changed by a few percent at any time. */
  step;
  #half;
  #kernel;
  #held;      // the input that is still needed, from silence
  #length;
  #at;        // where in it the next sample lies

  constructor(from, to) {
    this.step = from / to;
    const cutoff = PASSED * Math.min(1, to / from);
    this.#half = Math.ceil(ZERO_CROSSINGS / cutoff);
    this.#kernel = kernel(cutoff, this.#half);
    this.#held = new Float32Array(4096);
    this.#length = this.#half - 1;
    this.#at = this.#half - 1;
  }

  write(samples) {
    if (this.#length + samples.length > this.#held.length) this.#makeRoom(samples.length);
    this.#held.set(samples, this.#length);
    this.#length += samples.length;
  }

  /** How many samples can be read now. */
  get available() {
    return Math.max(0, Math.ceil((this.#length - this.#half - this.#at) / this.step));
  }

  /** Fills `out`, as far as there is input; returns how many samples it wrote. */
  read(out) {
    const count = Math.min(out.length, this.available);
    for (let index = 0; index < count; index++) {
      out[index] = this.#sample();
      this.#at += this.step;
    }
    return count;
  }

  #sample() {
    const whole = Math.floor(this.#at);
    const phase = (this.#at - whole) * PHASES;
    const row = Math.floor(phase);
    const share = phase - row;
    const width = 2 * this.#half;
    const first = row * width;
    const held = whole - this.#half + 1;
    let sum = 0;
    for (let tap = 0; tap < width; tap++) {
      const low = this.#kernel[first + tap];
      const high = this.#kernel[first + width + tap];
      sum += this.#held[held + tap] * (low + share * (high - low));
    }
    return sum;
  }

  #makeRoom(wanted) {
    const used = Math.floor(this.#at) - this.#half + 1;
    const rest = this.#held.subarray(used, this.#length);
    const size = rest.length + wanted;
    const larger = size > this.#held.length ? new Float32Array(2 * size) : this.#held;
    if (larger === this.#held) larger.copyWithin(0, used, this.#length);
    else larger.set(rest);
    this.#held = larger;
    this.#length -= used;
    this.#at -= used;
  }
}

/** One row of taps for each of PHASES + 1 fractions of a sample. */
function kernel(cutoff, half) {
  const width = 2 * half;
  const taps = new Float32Array((PHASES + 1) * width);
  for (let row = 0; row <= PHASES; row++) {
    for (let tap = 0; tap < width; tap++) {
      const x = tap - half + 1 - row / PHASES;
      const window = 0.42 + 0.5 * Math.cos((Math.PI * x) / half)
        + 0.08 * Math.cos((2 * Math.PI * x) / half);
      const sinc = x === 0 ? cutoff : Math.sin(Math.PI * cutoff * x) / (Math.PI * x);
      taps[row * width + tap] = Math.abs(x) < half ? sinc * window : 0;
    }
  }
  return taps;
}
