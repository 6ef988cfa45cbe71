// The dialog that runs the self-test and says in plain words what it found.

import { closeMicrophone, openMicrophone } from "./microphone.js";
import { describe } from "./problems.js";
import { PATHS, measureEcho, measureMicrophone, tryPath } from "./self-test.js";

const QUIET_DB = -50;      // a microphone that never gets louder hears nobody
const SILENT_DB = -90;     // not even the noise of a microphone
const TROUBLING_DB = -25;  // echo at which Vaani would hear itself speak

const NAMES = {
  UDP: "WebRTC, UDP",
  TCP: "WebRTC, TCP",
  relay: "WebRTC, relay",
  WebSocket: "WebSocket",
};

export class SelfTestPanel {
  /** {microphone, echo: {off, on}, paths: {name: {ms} | {problem}}, done}; null before a test. */
  results = null;
  #dialog;
  #list;
  #run;

  constructor(dialog) {
    this.#dialog = dialog;
    this.#list = dialog.querySelector("dl");
    this.#run = dialog.querySelector("[name=run]");
    this.#run.addEventListener("click", () => this.#test());
    dialog.querySelector("[name=close]").addEventListener("click", () => dialog.close());
  }

  open() {
    this.#dialog.showModal();
  }

  async #test() {
    const results = { microphone: null, echo: { off: null, on: null }, paths: {}, done: false };
    this.results = results;
    this.#run.disabled = true;
    this.#list.replaceChildren();
    const context = new AudioContext(); // in the click, for Safari
    context.resume();
    try {
      await this.#line("Microphone", "Say something …", async () => {
        results.microphone = await measureMicrophone(context);
        return microphoneWords(results.microphone);
      });
      await this.#line("Echo", "Listening to chirps …", async () => {
        results.echo.off = await measureEcho(context, false);
        results.echo.on = await measureEcho(context, true);
        return echoWords(results.echo);
      });
      await this.#testPaths(context, results.paths);
    } finally {
      context.close();
      results.done = true;
      this.#run.disabled = false;
    }
  }

  async #testPaths(context, results) {
    const stream = await openMicrophone().catch(() => null);
    if (!stream) return;
    try {
      for (const path of PATHS) {
        if (!this.#dialog.open) return;
        await this.#line(NAMES[path], "Trying …", async () => {
          try {
            results[path] = { ms: await tryPath(path, context, stream) };
            return [`Works: connected in ${Math.round(results[path].ms)} ms.`, true];
          } catch (problem) {
            results[path] = { problem: problem.code ?? problem.message };
            return pathWords(problem);
          }
        });
      }
    } finally {
      closeMicrophone(stream);
    }
  }

  async #line(name, meanwhile, measure) {
    const term = document.createElement("dt");
    const words = document.createElement("dd");
    term.textContent = name;
    words.textContent = meanwhile;
    words.className = "running";
    this.#list.append(term, words);
    let found;
    try {
      found = await measure();
    } catch (problem) {
      const { title, advice } = describe(problem);
      found = [`${title}. ${advice}`, false];
    }
    const [text, good] = found;
    words.textContent = text;
    words.className = good ? "good" : "bad";
  }
}

function microphoneWords(decibels) {
  const rounded = String(Math.round(decibels)).replace("-", "−");
  if (decibels < SILENT_DB) return ["Silent: is it muted, or the wrong one?", false];
  if (decibels < QUIET_DB) return [`Very quiet: ${rounded} dBFS at most.`, false];
  return [`Hears you: ${rounded} dBFS at its loudest.`, true];
}

function echoWords({ off, on }) {
  const words = ({ gain, floor }) => gain < floor
    ? "nothing is heard of it"
    : `${Math.max(0, Math.round(-gain))} dB quieter than it was played`;
  const good = on.gain < Math.max(on.floor, TROUBLING_DB);
  const verdict = good
    ? "Vaani will not hear itself."
    : "Vaani may hear itself and stop: turn the sound down, or use headphones.";
  return [`${verdict} Without cancellation: ${words(off)}; with it: ${words(on)}.`, good];
}

function pathWords(problem) {
  if (problem.code === "not-offered") return ["Not offered by the server or this browser.", true];
  if (problem.code === "busy") return ["Not tried: the server takes no further call now.", true];
  if (problem.code === "no-media") return ["Does not get through.", false];
  const { title, advice } = describe(problem);
  return [`${title}. ${advice}`, false];
}
