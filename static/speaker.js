// Plays the streams of a call: mostly one, two for a moment while it moves to another transport.

import { Meter } from "./meter.js";

export class Speaker {
  #context;
  #onBlocked;
  #playing = new Map(); // stream: {stop, meter}

  /** `onBlocked(play)` is told when the browser wants a gesture first; `play()` is for that. */
  constructor(context, onBlocked) {
    this.#context = context;
    this.#onBlocked = onBlocked;
  }

  play(stream) {
    const meter = new Meter(this.#context, stream);
    if (!window.RTCPeerConnection) { // WebKitGTK's elements are silent with an AudioContext's stream
      const source = this.#context.createMediaStreamSource(stream);
      source.connect(this.#context.destination);
      this.#playing.set(stream, { stop: () => source.disconnect(), meter });
      return;
    }
    // An element for WebSocket calls too, though Chromium's echo canceller hears an AudioContext's
    // own output as well as an element's (measured in a loop: -21 dBFS come back without it, -69
    // with it, both ways): both transports then sound by the same device, way and volume.
    const element = new Audio();
    element.srcObject = stream;
    this.#playing.set(stream, { stop: () => { element.srcObject = null; }, meter });
    element.play().catch(() => {
      if (this.#playing.has(stream)) this.#onBlocked(() => element.play());
    });
  }

  end(stream) {
    const playing = this.#playing.get(stream);
    if (!playing) return;
    this.#playing.delete(stream);
    playing.stop();
    playing.meter.close();
  }

  level() {
    let level = 0;
    for (const { meter } of this.#playing.values()) level = Math.max(level, meter.level());
    return level;
  }

  close() {
    for (const stream of [...this.#playing.keys()]) this.end(stream);
  }
}
