// The microphone in frames, always on: whatever carries the call, the last seconds can be sent.

export const RATE = 48000;         // Hz, of the frames: what Opus wants
const REMEMBERED_MS = 2000;        // so much is sent of what was said before a connection stood

export class Capture {
  #node;
  #source;
  #recent = [];                    // {time, samples}, newest last
  #listeners = new Set();

  /** Begins at once. Throws where there are no AudioWorklets. */
  static async open(context, stream) {
    await context.audioWorklet.addModule(new URL("worklet.js", import.meta.url));
    return new Capture(context, stream);
  }

  constructor(context, stream) {
    this.#node = new AudioWorkletNode(context, "capture", {
      outputChannelCount: [1],
      channelCount: 1,
      channelCountMode: "explicit",
      processorOptions: { rate: RATE },
    });
    this.#node.port.onmessage = ({ data: samples }) =>
      this.#take({ time: performance.now(), samples });
    this.#source = context.createMediaStreamSource(stream);
    this.#source.connect(this.#node);
    this.#node.connect(context.destination); // silent: WebKit runs nothing that leads nowhere
  }

  /** Tells `listener` each frame as {time (ms), samples}, first those after `since`. */
  listen(listener, since) {
    for (const frame of this.#recent) if (frame.time > since) listener(frame);
    this.#listeners.add(listener);
  }

  unlisten(listener) {
    this.#listeners.delete(listener);
  }

  close() {
    this.#source.disconnect();
    this.#node.port.postMessage("end");
    this.#node.disconnect();
    this.#listeners.clear();
  }

  #take(frame) {
    this.#recent.push(frame);
    while (this.#recent[0].time < frame.time - REMEMBERED_MS) this.#recent.shift();
    for (const listener of this.#listeners) listener(frame);
  }
}
