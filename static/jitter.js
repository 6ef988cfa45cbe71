// How much later than at its best a connection delivers, and so how long playout has to wait.

const MARGIN_MS = 20;      // the sender's own unevenness, and ours
const LEAST_MS = 20;
const MOST_MS = 300;
const FORGET_MS = 8000;    // time constant with which an outlier is forgotten
const CREEP = 0.001;       // ms per ms: the two clocks drift apart by less

export class Jitter {
  /** Milliseconds from one packet to the next, on average (RFC 3550): what people call jitter. */
  mean = 0;
  #peak = 0;            // over the quickest delivery, of the slowest lately
  #quickest = null;
  #transit = 0;
  #last = 0;

  /** A packet made at `timestamp` came at `arrival`: ms on two clocks that need not agree. */
  observe(arrival, timestamp) {
    const transit = arrival - timestamp;
    if (this.#quickest !== null) this.mean += (Math.abs(transit - this.#transit) - this.mean) / 16;
    this.#transit = transit;
    const elapsed = Math.max(0, arrival - this.#last);
    this.#quickest = this.#quickest === null
      ? transit
      : Math.min(transit, this.#quickest + CREEP * elapsed);
    this.#last = arrival;
    const late = transit - this.#quickest;
    if (late >= this.#peak) this.#peak = Math.min(late, MOST_MS);
    else this.#peak += (late - this.#peak) * (1 - Math.exp(-elapsed / FORGET_MS));
  }

  /** Playout stood still for so long because nothing was there: more should be held. */
  starved(milliseconds) {
    this.#peak = Math.min(MOST_MS, Math.max(this.#peak, this.target - MARGIN_MS + milliseconds));
  }

  /** Milliseconds of audio to hold before playing. */
  get target() {
    return Math.min(MOST_MS, Math.max(LEAST_MS, this.#peak + MARGIN_MS));
  }
}
