// The sound of an open line: a breath of noise and two plucked strings, sa and pa. It tells the
// caller that Vaani listens, and it is what the browser's echo canceller learns the room by. Without
// it an answer's first second comes back into the microphone almost whole, and Vaani interrupts
// itself; the breath has all frequencies, which the strings alone have not for long enough.

const NOTES = [[0, 146.8], [0.28, 220.2]]; // seconds, Hz
const SECONDS = 1.1;
const FADE = 0.1;
const LOUDNESS = 0.15;
const DECAY = 0.997;  // of a string, at each of its periods
const BREATH = 0.2;

/** Plays it once on an AudioContext. */
export function chime(context) {
  const rate = context.sampleRate;
  const buffer = context.createBuffer(1, SECONDS * rate, rate);
  const sound = buffer.getChannelData(0);
  breathe(sound);
  for (const [start, pitch] of NOTES) pluck(sound, rate, start, pitch);
  for (let i = 0; i < FADE * rate; i++) {
    sound[i] *= i / (FADE * rate);
    sound[sound.length - 1 - i] *= i / (FADE * rate);
  }
  const source = new AudioBufferSourceNode(context, { buffer });
  source.connect(context.destination);
  source.start();
}

/** Noise, the softer the higher; some -31 dBFS. */
function breathe(sound) {
  let last = 0;
  for (let i = 0; i < sound.length; i++) {
    last = 0.9 * last + 0.1 * (2 * Math.random() - 1);
    sound[i] += BREATH * last;
  }
}

/** A string of noise that goes round and loses its edge (Karplus and Strong). */
function pluck(sound, rate, start, pitch) {
  const string = Float32Array.from({ length: Math.round(rate / pitch) }, () => 2 * Math.random() - 1);
  for (let i = Math.round(start * rate), at = 0; i < sound.length; i++, at = (at + 1) % string.length) {
    sound[i] += LOUDNESS * string[at];
    string[at] = (DECAY * (string[at] + string[(at + 1) % string.length])) / 2;
  }
}
