// How loud a stream is, on a scale that looks right: 0 is silence, 1 is as loud as speech gets.

const QUIETEST_DB = -60; // below is room noise
const LOUDEST_DB = -12;  // speech at full voice, as RMS

export class Meter {
  #source;
  #analyser;
  #samples;

  constructor(context, stream) {
    this.#analyser = new AnalyserNode(context, { fftSize: 1024 }); // 21 ms at 48 kHz
    this.#samples = new Float32Array(this.#analyser.fftSize);
    // Not connected on to the speakers: the <audio> element plays, the meter only listens.
    this.#source = context.createMediaStreamSource(stream);
    this.#source.connect(this.#analyser);
  }

  level() {
    return Math.min(1, Math.max(0, (this.decibels() - QUIETEST_DB) / (LOUDEST_DB - QUIETEST_DB)));
  }

  /** RMS in dBFS, of a full-scale square wave. */
  decibels() {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    let energy = 0;
    for (const sample of this.#samples) energy += sample * sample;
    return 10 * Math.log10(energy / this.#samples.length + 1e-12);
  }

  close() {
    this.#source.disconnect();
  }
}
