// How a WebSocket call's audio is coded: Opus where the browser has it, else plain PCM.
//
// Both have this face:
//
//   codec.hello                           what the hello says of it
//   codec.rate                            Hz, of the samples that come out of `decode`
//   codec.encode(samples, take)           20 ms at RATE Hz; take(payload) for each packet made
//   codec.decode(payload, sequence, take) take(samples), for each in order
//   codec.afterwards(then)                then() when all before is decoded
//   codec.onfail                          called when it can go on no more
//   codec.close()

import { RATE } from "./capture.js";
import { OPUS, PCM } from "./packets.js";
import { Resampler } from "./resampler.js";

const PCM_RATE = 24000;   // above 12 kHz a voice holds nothing worth the bytes
const BITRATE = 32000;
const FRAME_US = 20000;

const OPUS_DECODER = { codec: "opus", sampleRate: RATE, numberOfChannels: 1 };
const OPUS_ENCODER = {
  ...OPUS_DECODER,
  bitrate: BITRATE,
  opus: { frameDuration: FRAME_US, application: "voip", complexity: 5 },
};

let opusBroken = false;

/** The best codec of this browser. */
export async function openCodec() {
  if (await opusWorks()) {
    try {
      return new OpusCodec();
    } catch (reason) {
      console.warn("Opus fails here, PCM is used instead:", reason);
    }
  }
  return new PcmCodec();
}

async function opusWorks() {
  if (opusBroken || !window.AudioEncoder || !window.AudioDecoder) return false;
  try {
    const [encoder, decoder] = await Promise.all([
      AudioEncoder.isConfigSupported(OPUS_ENCODER),
      AudioDecoder.isConfigSupported(OPUS_DECODER),
    ]);
    return encoder.supported && decoder.supported;
  } catch {
    return false;
  }
}

export class PcmCodec {
  kind = PCM;
  hello = { codec: "pcm16", rate: PCM_RATE };
  rate = PCM_RATE;
  bytesPerSecond = 2 * PCM_RATE;
  onfail = () => {};
  #resampler = new Resampler(RATE, PCM_RATE);

  encode(samples, take) {
    this.#resampler.write(samples);
    const length = (PCM_RATE * FRAME_US) / 1e6;
    while (this.#resampler.available >= length) {
      const frame = new Float32Array(length);
      this.#resampler.read(frame);
      take(Int16Array.from(frame, (sample) => Math.max(-1, Math.min(1, sample)) * 32767));
    }
  }

  decode(payload, sequence, take) {
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
    const samples = new Float32Array(payload.byteLength >> 1);
    for (let index = 0; index < samples.length; index++) {
      samples[index] = view.getInt16(2 * index, true) / 32768;
    }
    take(samples);
  }

  afterwards(then) {
    then();
  }

  close() {}
}

export class OpusCodec {
  kind = OPUS;
  hello = { codec: "opus" };
  rate = RATE;
  bytesPerSecond = BITRATE / 8;
  onfail = () => {};
  #encoder;
  #decoder;
  #encoded = 0;
  #taking = [];   // what to do with each packet that the encoder still holds,
  #waiting = [];  // and each frame that the decoder does; or what to do after it

  constructor() {
    const error = (reason) => this.#fail(reason);
    this.#encoder = new AudioEncoder({ output: (chunk) => this.#packetMade(chunk), error });
    this.#decoder = new AudioDecoder({ output: (data) => this.#frameMade(data), error });
    this.#encoder.configure(OPUS_ENCODER);
    this.#decoder.configure(OPUS_DECODER);
  }

  encode(samples, take) {
    if (this.#encoder.state !== "configured") return;
    this.#taking.push(take);
    const data = new AudioData({
      format: "f32-planar",
      sampleRate: RATE,
      numberOfChannels: 1,
      numberOfFrames: samples.length,
      timestamp: this.#encoded++ * FRAME_US,
      data: samples,
    });
    this.#encoder.encode(data);
    data.close();
  }

  decode(payload, sequence, take) {
    if (this.#decoder.state !== "configured") return;
    this.#waiting.push({ take });
    this.#decoder.decode(
      new EncodedAudioChunk({ type: "key", timestamp: sequence * FRAME_US, data: payload }),
    );
  }

  afterwards(then) {
    if (this.#waiting.length) this.#waiting.push({ then });
    else then();
  }

  close() {
    for (const coder of [this.#encoder, this.#decoder]) if (coder.state !== "closed") coder.close();
  }

  #packetMade(chunk) {
    const payload = new Uint8Array(chunk.byteLength);
    chunk.copyTo(payload);
    this.#taking.shift()?.(payload);
  }

  #frameMade(data) {
    const samples = new Float32Array(data.numberOfFrames);
    data.copyTo(samples, { planeIndex: 0, format: "f32-planar" });
    data.close();
    this.#waiting.shift()?.take(samples);
    while (this.#waiting[0]?.then) this.#waiting.shift().then();
  }

  #fail(reason) {
    console.warn("Opus fails here, PCM is used instead:", reason);
    opusBroken = true;
    this.onfail();
  }
}
