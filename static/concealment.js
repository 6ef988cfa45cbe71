// What to play while audio is missing: the last period of the voice again, dying away.

const HISTORY_SECONDS = 0.045;
const SHORTEST = 0.0025;  // of a period: 400 Hz
const LONGEST = 0.015;    // 67 Hz
const COMPARED = 0.01;    // seconds of the voice that must look the same a period earlier
const SEAM = 0.002;       // seconds in which the jump from one period to the next is levelled
const HOLD = 0.01;        // seconds at full loudness
const FADE = 0.05;        // and then to nothing

export class Concealment {
  #rate;
  #history;
  #period = null;   // the samples that are repeated, while something is concealed
  #jump = 0;        // from the last sample before to the first of a period
  #made = 0;

  constructor(rate) {
    this.#rate = rate;
    this.#history = new Float32Array(Math.round(HISTORY_SECONDS * rate));
  }

  /** Remembers what was really played. */
  hear(samples) {
    this.#period = null;
    const history = this.#history;
    if (samples.length >= history.length) {
      history.set(samples.subarray(samples.length - history.length));
    } else {
      history.copyWithin(0, samples.length);
      history.set(samples, history.length - samples.length);
    }
  }

  /** The samples that follow in place of the missing ones, silent in the end. */
  fill(out) {
    if (!this.#period) this.#begin();
    const period = this.#period;
    const seam = Math.round(SEAM * this.#rate);
    for (let index = 0; index < out.length; index++, this.#made++) {
      const at = this.#made % period.length;
      const level = at < seam ? this.#jump * (1 - at / seam) : 0;
      out[index] = this.#gain() * (period[at] + level);
    }
  }

  /** Nothing is remembered: what comes next follows silence. */
  reset() {
    this.#history.fill(0);
    this.#period = null;
  }

  #gain() {
    const seconds = this.#made / this.#rate;
    return Math.min(1, Math.max(0, 1 - (seconds - HOLD) / FADE));
  }

  #begin() {
    const length = this.#likeliestPeriod();
    this.#period = this.#history.slice(-length);
    this.#jump = this.#history.at(-1) - this.#period[0];
    this.#made = 0;
  }

  #likeliestPeriod() {
    const history = this.#history;
    const window = Math.round(COMPARED * this.#rate);
    const start = history.length - window;
    let best = Math.round(0.01 * this.#rate); // where nothing is alike: 10 ms, as good as any
    let likest = 0;
    for (let lag = Math.round(SHORTEST * this.#rate); lag <= LONGEST * this.#rate; lag++) {
      let product = 0;
      let energy = 1e-9;
      for (let index = start; index < history.length; index += 2) {
        product += history[index] * history[index - lag];
        energy += history[index - lag] ** 2;
      }
      const likeness = product > 0 ? (product * product) / energy : 0;
      if (likeness > likest) [best, likest] = [lag, likeness];
    }
    return best;
  }
}
