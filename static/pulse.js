// Whether anything still comes from the server, and how long a ping takes.

const PING_MS = 500;
const LOOK_MS = 100;
const LOOKS = 4; // so many in a row find nothing: one late timer of a busy page proves nothing

export class Pulse {
  /** Milliseconds of the last ping; null before the first has come back. */
  rtt = null;
  /** When something last came, on the clock of `performance.now`. */
  heardAt = performance.now();
  #options;
  #looks = 0;
  #timers;

  /** `send(message)` pings; `moved()` says whether audio came since it was last asked; `lost()` is
      called once when nothing has come for `limit` ms. */
  constructor({ send, moved, limit, lost }) {
    this.#options = { send, moved, limit, lost };
    this.#timers = [
      setInterval(() => this.#ping(), PING_MS),
      setInterval(() => this.#look(), LOOK_MS),
    ];
    this.#ping();
  }

  /** A message came; null is audio. */
  hear(message) {
    this.heardAt = performance.now();
    this.#looks = 0;
    if (message?.type === "pong") this.rtt = this.heardAt - message.t;
  }

  stop() {
    for (const timer of this.#timers) clearInterval(timer);
  }

  #ping() {
    this.#options.send({ type: "ping", t: performance.now() });
  }

  #look() {
    if (this.#options.moved()) return this.hear(null);
    this.#looks++;
    const silent = performance.now() - this.heardAt;
    if (this.#looks < LOOKS || silent < this.#options.limit) return;
    this.stop();
    this.#options.lost();
  }
}
