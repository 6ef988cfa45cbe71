// The voice, drawn as a muggu: the line drawing of Telugu doorsteps, where two lines weave around
// rings of dots without touching one. One line is the caller's, the other Vaani's; loudness opens
// the loops, and travels outward from the middle like sound does.

const RINGS = [ // radius as a part of the half width, loops on the way around
  { radius: 0.50, loops: 6 },
  { radius: 0.69, loops: 9 },
  { radius: 0.88, loops: 12 },
];
const REST = 0.028;         // how far a silent line bends around a dot, as a part of the half width
const SWING = 0.085;        // how much further at full voice
const RING_DELAY_MS = 90;   // how much later the next ring out moves
const TURN_MS = 90000;      // one slow revolution
const STEPS = 24;           // line segments per loop
const PICTURE_MS = 30;      // 33 pictures a second are smooth here, at half the work of 60

export class Muggu {
  #canvas;
  #levels;
  #trail = [];              // recent {time, mic, reply}, newest last
  #colours = {};
  #still = matchMedia("(prefers-reduced-motion: reduce)");

  /** What Vaani is doing, a `state` of the call: it changes how the dots glow. */
  state = "idle";

  /** `levels()` is asked for {mic, reply}, each 0 to 1, at every picture. */
  constructor(canvas, levels) {
    this.#canvas = canvas;
    this.#levels = levels;
    new ResizeObserver(() => this.#fit()).observe(canvas);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", () => this.#readColours());
    this.#readColours();
    requestAnimationFrame((time) => this.#frame(time));
  }

  #fit() {
    const size = Math.round(this.#canvas.clientWidth * Math.min(devicePixelRatio, 2));
    this.#canvas.width = size;
    this.#canvas.height = size;
  }

  #readColours() {
    const style = getComputedStyle(document.documentElement);
    for (const name of ["caller", "vaani", "dot"]) {
      this.#colours[name] = style.getPropertyValue(`--${name}`);
    }
  }

  #frame(time) {
    requestAnimationFrame((next) => this.#frame(next));
    if (time - (this.#trail.at(-1)?.time ?? -Infinity) < PICTURE_MS) return;
    this.#remember(time);
    this.#draw(time);
  }

  /** Levels rise at once and fall slowly, as eyes like it. */
  #remember(time) {
    const now = this.#levels();
    const last = this.#trail.at(-1) ?? { time, mic: 0, reply: 0 };
    const decay = Math.exp((last.time - time) / 160);
    this.#trail.push({
      time,
      mic: Math.max(now.mic, last.mic * decay),
      reply: Math.max(now.reply, last.reply * decay),
    });
    while (this.#trail[0].time < time - 1000) this.#trail.shift();
  }

  #ago(time) {
    return this.#trail.find((moment) => moment.time >= time) ?? this.#trail.at(-1);
  }

  #draw(time) {
    const half = this.#canvas.width / 2;
    const pen = this.#canvas.getContext("2d");
    pen.clearRect(0, 0, 2 * half, 2 * half);
    pen.save();
    pen.translate(half, half);
    pen.lineWidth = Math.max(1.5, half / 110);
    pen.lineJoin = "round";
    RINGS.forEach((ring, index) => {
      const { mic, reply } = this.#ago(time - index * RING_DELAY_MS);
      const direction = index % 2 ? -1 : 1;
      const angle = this.#still.matches ? 0 : (direction * time * 2 * Math.PI) / TURN_MS;
      const breath = this.#still.matches ? 0 : 0.006 * Math.sin(time / 1400 - index);
      const bend = (level) => half * (REST + breath + SWING * level);
      pen.save();
      pen.rotate(angle);
      pen.globalAlpha = 1 - 0.22 * index;
      const caller = line(half * ring.radius, ring.loops, bend(mic));
      const vaani = line(half * ring.radius, ring.loops, -bend(reply));
      this.#petals(pen, caller, vaani, mic > reply ? this.#colours.caller : this.#colours.vaani);
      pen.strokeStyle = this.#colours.caller;
      pen.stroke(caller);
      pen.strokeStyle = this.#colours.vaani;
      pen.stroke(vaani);
      this.#dots(pen, half, ring, time);
      pen.restore();
    });
    pen.restore();
  }

  /** A tint between the lines, of whoever is louder. */
  #petals(pen, caller, vaani, colour) {
    const between = new Path2D(caller);
    between.addPath(vaani);
    pen.save();
    pen.globalAlpha *= 0.14;
    pen.fillStyle = colour;
    pen.fill(between, "evenodd");
    pen.restore();
  }

  /** A dot sits wherever the lines are farthest apart. Thought runs around the dots. */
  #dots(pen, half, { radius, loops }, time) {
    pen.fillStyle = this.#colours.dot;
    for (let dot = 0; dot < 2 * loops; dot++) {
      const angle = (Math.PI * dot) / loops;
      const wave = Math.cos(angle - time / 260);
      const size = this.state === "thinking" ? 1 + 0.7 * Math.max(0, wave) : 1;
      pen.beginPath();
      const x = half * radius * Math.cos(angle);
      const y = half * radius * Math.sin(angle);
      pen.arc(x, y, (half / 110) * size, 0, 2 * Math.PI);
      pen.fill();
    }
  }
}

/** A closed line around the middle, bent outward and inward `loops` times. */
function line(radius, loops, bend) {
  const path = new Path2D();
  const steps = loops * STEPS;
  for (let step = 0; step < steps; step++) {
    const angle = (2 * Math.PI * step) / steps;
    const r = radius + bend * Math.cos(loops * angle);
    path.lineTo(r * Math.cos(angle), r * Math.sin(angle));
  }
  path.closePath();
  return path;
}
