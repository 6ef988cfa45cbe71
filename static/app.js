// The page: puts the call, the captions, the meters and the controls together.

import { Captions } from "./captions.js";
import { chime } from "./chime.js";
import { Line } from "./line.js";
import { Meter } from "./meter.js";
import { closeMicrophone, obstacle, openMicrophone } from "./microphone.js";
import { Muggu } from "./muggu.js";
import { PathBadge } from "./path.js";
import { CallProblem, describe } from "./problems.js";
import { SelfTestPanel } from "./self-test-panel.js";
import { Speaker } from "./speaker.js";
import { VoicePanel } from "./voice.js";

const NOTICE_MS = 8000;
const METER_MS = 50;
const ANNOUNCED = 20; // sentences a screen reader can go back to

const STATES = {
  listening: "Listening",
  user_speaking: "You are speaking",
  endpointing: "A pause …",
  thinking: "Thinking",
  speaking: "Vaani is speaking",
  held: "Vaani is speaking", // the captions tell of the pause: a word here would only flicker
  reconnecting: "Reconnecting …",
};

const FORCED_TRANSPORT = new URLSearchParams(location.search).get("transport");

const $ = (id) => document.getElementById(id);

let call = null;          // the call in progress, from the click until it has ended
let state = "idle";       // idle, connecting, reconnecting, or a `state` of the server
let sessionId = null;     // whose captions are on show
let lastProblem = null;
let microphone = null;
let context = null;       // the AudioContext of the meters, and of a WebSocket call's sound
let meter = null;         // of the microphone
let speaker = null;
let noticeTimer = 0;

const levels = () => ({ mic: meter?.level() ?? 0, reply: speaker?.level() ?? 0 });
const badge = new PathBadge($("path"));
const selfTest = new SelfTestPanel($("self-test"));
const captions = new Captions($("captions"), announce);
const voice = new VoicePanel($("voice").querySelector("fieldset"),
  (part) => call?.send({ type: "voice.set", voice: part }));
const muggu = new Muggu($("muggu"), levels);

// What tests and the curious may read.
window.vaani = {
  get call() { return call; },
  get levels() { return levels(); },
  get state() { return state; },
  get sessionId() { return sessionId; },
  get transcript() { return structuredClone(captions.turns); },
  get voice() { return { ...voice.voice }; },
  get path() { return badge.path && { ...badge.path }; },
  get rtt() { return badge.path?.rtt ?? null; },
  get selfTest() { return selfTest.results; },
  get problem() { return lastProblem && { code: lastProblem.code, ...describe(lastProblem) }; },
};

async function start() {
  dismiss();
  setState("connecting");
  const mine = new Line(FORCED_TRANSPORT);
  call = mine;
  // Made in the click: Safari lets neither sound nor an AudioContext begin at any other time.
  context = new AudioContext({ latencyHint: "interactive" });
  context.resume();
  speaker = new Speaker(context, askForGesture);

  mine.addEventListener("remote", ({ detail }) => speaker.play(detail));
  mine.addEventListener("silent", ({ detail }) => speaker.end(detail));
  mine.addEventListener("message", ({ detail }) => receive(detail));
  mine.addEventListener("carried", ({ detail }) => {
    if (detail) badge.follow(() => mine.measure());
    else {
      badge.stop();
      setState("reconnecting");
      announce("The connection was lost. Reconnecting.");
    }
  });
  mine.addEventListener("renewed", () => notice(
    "The call before could not be continued: this is a new one.",
  ));
  mine.addEventListener("unstable", ({ detail }) => {
    if (detail) notice("The connection is struggling …");
    else dismiss();
  });
  mine.addEventListener("ended", ({ detail }) => finish(detail));

  try {
    const stream = await openMicrophone();
    if (call !== mine) { // hung up while the browser was asking
      closeMicrophone(stream);
      return;
    }
    microphone = stream;
    context.resume(); // where the question for the microphone interrupted it
    meter = new Meter(context, stream);
    microphone.getAudioTracks()[0].onended =
      () => notice("The microphone was unplugged or switched off.");
    await mine.start(stream, context);
  } catch (error) {
    if (call === mine) finish(error);
  }
}

function askForGesture(play) {
  notice("Your browser holds the sound back. Press anywhere to hear Vaani.");
  addEventListener("pointerdown", () => play().then(dismiss, () => {}), { once: true });
}

function receive(message) {
  captions.receive(message);
  switch (message.type) {
    case "session.started":
      if (message.session_id !== sessionId) captions.clear();
      chime(context);
      sessionId = message.session_id;
      $("engine").textContent = message.engine;
      $("connection").hidden = false;
      $("voice").hidden = !voice.offer(message);
      voice.enabled = true;
      setState("listening");
      announce("Connected. Vaani is listening.");
      break;
    case "session.resumed":
      announce("Connected again.");
      setState(message.state);
      break;
    case "state":
      setState(message.state);
      break;
    case "voice.changed":
      voice.show(message.voice);
      break;
    case "error":
      voice.revert();
      notice(message.message);
      break;
  }
}

/** Everything back to how it was before the call; `problem` says why, null needs no words. */
function finish(problem) {
  call = null;
  closeMicrophone(microphone);
  microphone = null;
  meter = null;
  speaker.close();
  speaker = null;
  context.close();
  badge.stop();
  voice.enabled = false;
  $("connection").hidden = true;
  $("mute").setAttribute("aria-pressed", "false");
  setState("idle");
  dismiss();
  if (problem) report(problem);
  else announce("The call has ended.");
}

function setState(next) {
  state = next;
  const phase = next === "idle" || next === "connecting" ? next : "live";
  document.body.dataset.phase = phase;
  document.body.dataset.state = next;
  muggu.state = next;
  $("interrupt").disabled = !["thinking", "speaking", "held"].includes(next);
  $("call-label").textContent = { idle: "Call", connecting: "Cancel", live: "Hang up" }[phase];
  if (next === "idle") $("state").textContent = "Press to call, then simply talk";
  else if (next === "connecting") $("state").textContent = "Connecting …";
  else $("state").textContent = STATES[next] ?? "";
}

/** Words that stay until the next call. */
function report(problem) {
  lastProblem = problem instanceof CallProblem
    ? problem
    : new CallProblem("refused", problem.message);
  const { title, advice } = describe(lastProblem);
  const heading = document.createElement("strong");
  heading.textContent = title;
  $("problem").replaceChildren(heading, ` ${advice}`);
}

/** Words in passing, during a call. */
function notice(text) {
  $("problem").replaceChildren(text);
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(dismiss, NOTICE_MS);
}

function dismiss() {
  clearTimeout(noticeTimer);
  lastProblem = null;
  $("problem").replaceChildren();
}

/** For screen readers: whole sentences only, since a live region that changes with every word or
    state would talk over the call. */
function announce(sentence) {
  const line = document.createElement("p");
  line.textContent = sentence;
  $("announcer").append(line);
  if ($("announcer").childElementCount > ANNOUNCED) $("announcer").firstElementChild.remove();
}

function drawMeters() {
  const now = levels();
  document.querySelector(".meter.caller i").style.transform = `scaleX(${now.mic})`;
  document.querySelector(".meter.vaani i").style.transform = `scaleX(${now.reply})`;
}

$("call").addEventListener("click", () => {
  if (!call) start();
  else if (state === "connecting" && !microphone) finish(null); // still asking for the microphone
  else call.hangUp();
});

$("interrupt").addEventListener("click", () => call?.send({ type: "interrupt" }));

$("mute").addEventListener("click", () => {
  const muted = $("mute").getAttribute("aria-pressed") !== "true";
  $("mute").setAttribute("aria-pressed", String(muted));
  for (const track of microphone?.getAudioTracks() ?? []) track.enabled = !muted;
});

$("test").addEventListener("click", () => selfTest.open());

addEventListener("pagehide", () => call?.hangUp());

// Where there is little room the captions need it more.
if (matchMedia("(max-width: 760px), (max-height: 520px)").matches) $("voice").open = false;

const impossible = obstacle();
if (impossible) {
  document.body.dataset.phase = "impossible"; // takes the Call button away: it would do nothing
  report(impossible);
  $("state").textContent = "";
}
setInterval(drawMeters, METER_MS);
