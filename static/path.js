// The badge that says which way the call takes and how good it is.

const MEASURE_MS = 1000;

const WAYS = {
  "UDP": "WebRTC over UDP: the most direct way",
  "TCP": "WebRTC over TCP: UDP does not get through here",
  "relay": "WebRTC through a relay: there is no direct way from here",
  "WebSocket": "WebSocket: WebRTC does not get through here, or this browser has none",
};

const ms = (value) => `${Math.round(value)} ms`;

export class PathBadge {
  /** {kind, rtt, loss, jitter} in ms and percent; null while nothing carries a call. */
  path = null;
  #element;
  #timer = 0;

  constructor(element) {
    this.#element = element;
  }

  /** `measure()` is asked about once a second, as a call has it. */
  follow(measure) {
    this.stop();
    const update = async () => {
      const measured = await measure().catch(() => null);
      if (timer === this.#timer) this.#show(measured);
    };
    const timer = setInterval(update, MEASURE_MS);
    this.#timer = timer;
    update();
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = 0;
    this.#show(null);
  }

  #show(measured) {
    if (!measured?.kind) {
      this.path = null;
      this.#element.replaceChildren();
      this.#element.title = "";
      return;
    }
    const { kind, rtt, loss, jitter, details } = measured;
    this.path = { kind, rtt, loss, jitter };
    const way = document.createElement("b");
    way.textContent = kind === "relay" ? "Relay" : kind;
    const more = document.createElement("span");
    more.textContent = `${loss.toFixed(loss < 9.95 ? 1 : 0)} % lost, ±${Math.round(jitter)} ms`;
    this.#element.replaceChildren(way, rtt === null ? "" : ` ${ms(rtt)} `, more);
    this.#element.title = [
      WAYS[kind],
      rtt === null ? "" : `Round trip ${ms(rtt)}`,
      `Lost or late ${loss.toFixed(1)} %`,
      `Jitter ${jitter.toFixed(1)} ms`,
      ...Object.entries(details).filter(([, value]) => value !== null)
        .map(([name, value]) => `${name}: ${typeof value === "number" ? ms(value) : value}`),
    ].filter(Boolean).join("\n");
  }
}
