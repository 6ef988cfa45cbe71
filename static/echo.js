// How loud a sound that was played comes back in a recording. Pure.

const LOW_HZ = 500;
const HIGH_HZ = 4000;
const EDGE_SECONDS = 0.02; // faded in and out, so that loudspeakers do not click
const PEAK_DB = 14;        // that noise may stand out over its average, by chance

/** A tone that rises: it looks like nothing but itself, so it is found far below the noise. */
export function chirp(rate, seconds, amplitude) {
  const samples = new Float32Array(Math.round(rate * seconds));
  const edge = EDGE_SECONDS * rate;
  for (let index = 0; index < samples.length; index++) {
    const time = index / rate;
    const phase = 2 * Math.PI * (LOW_HZ + ((HIGH_HZ - LOW_HZ) * time) / (2 * seconds)) * time;
    const gain = Math.min(1, index / edge, (samples.length - index) / edge);
    samples[index] = amplitude * gain * Math.sin(phase);
  }
  return samples;
}

/** {gain: dB from what was played to what came back, floor: dB that noise alone would look like,
    delay: in samples}. The echo is heard only where its gain is well over the floor. */
export function findEcho(played, recorded) {
  let energy = 1e-12;
  for (const sample of played) energy += sample * sample;
  let strongest = 0;
  let delay = 0;
  let sum = 0;
  const lags = Math.max(1, recorded.length - played.length);
  for (let lag = 0; lag < lags; lag++) {
    let product = 0;
    for (let index = 0; index < played.length; index++) {
      product += played[index] * recorded[lag + index];
    }
    const likeness = Math.abs(product) / energy;
    sum += likeness * likeness;
    if (likeness > strongest) [strongest, delay] = [likeness, lag];
  }
  const decibels = (ratio) => 20 * Math.log10(ratio + 1e-6);
  return { gain: decibels(strongest), floor: decibels(Math.sqrt(sum / lags)) + PEAK_DB, delay };
}
