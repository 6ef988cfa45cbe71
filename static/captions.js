// The conversation as text. The model is an array of turns, the view an ordered list: an entry is
// made when somebody starts to speak and is written in place from then on.

const REDRAW_MS = 40; // an engine may tell a story at once, its words in hundreds of messages

export class Captions {
  /** Turns in order: {turn, user: {text, final},
      reply: {text, heard, paused, ended, interrupted}}. */
  turns = [];
  #list;
  #announce;
  #grown = new Set(); // turns whose reply is still to be drawn
  #redrawTimer = 0;

  /** `list` is the visible <ol>; `announce` is told whole sentences, for screen readers. */
  constructor(list, announce) {
    this.#list = list;
    this.#announce = announce;
  }

  clear() {
    this.turns.length = 0;
    this.#grown.clear();
    this.#list.replaceChildren();
  }

  /** Takes any message of the call; those that are not about words are ignored. */
  receive(message) {
    const handler = this.#handlers[message.type];
    if (!handler) return;
    const turn = this.#turn(message.turn);
    if (this.#grows.has(message.type)) {
      handler(turn, message);
      this.#grown.add(turn);
      this.#redrawTimer ||= setTimeout(() => this.#redraw(), REDRAW_MS);
    } else {
      this.#stick(() => handler(turn, message));
    }
  }

  #redraw() {
    this.#redrawTimer = 0;
    this.#stick(() => {
      for (const turn of this.#grown) this.#showReply(turn);
      this.#grown.clear();
    });
  }

  /** Keeps the end in view, if it was. */
  #stick(change) {
    const { scrollHeight, scrollTop, clientHeight } = this.#list;
    change();
    const atEnd = scrollHeight - scrollTop - clientHeight < 40;
    if (atEnd) this.#list.scrollTop = this.#list.scrollHeight;
  }

  #grows = new Set(["reply.text", "reply.heard"]);

  #handlers = {
    "user.started": (turn) => {
      this.#entry(turn, "user").classList.add("pending");
    },
    "user.transcript": (turn, { text, final }) => {
      turn.user = { text, final };
      if (!text) return;
      const entry = this.#entry(turn, "user");
      entry.classList.toggle("pending", !final);
      words(entry).textContent = text;
      if (final) this.#announce(`You: ${text}`);
    },
    "reply.started": (turn) => {
      this.#settleUser(turn);
      this.#entry(turn, "reply").classList.add("pending");
    },
    "reply.text": (turn, { text }) => {
      reply(turn).text += text;
    },
    // The engine is ahead of its voice: what is still to be spoken waits in a lighter shade.
    "reply.heard": (turn, { text }) => {
      if (turn.reply) turn.reply.heard += text;
    },
    // Told on the screen only: most pauses are over before a screen reader could say so.
    "reply.paused": (turn) => {
      reply(turn).paused = true;
      this.#showReply(turn);
    },
    "reply.resumed": (turn) => {
      reply(turn).paused = false;
      this.#showReply(turn);
    },
    "reply.ended": (turn, { text, heard, interrupted }) => {
      this.#settleUser(turn);
      turn.reply = { text, heard, paused: false, ended: true, interrupted };
      this.#grown.delete(turn);
      if (!text) return this.#entry(turn, "reply").remove();
      this.#showReply(turn);
      this.#announce(`Vaani: ${heard}${interrupted ? " … interrupted" : ""}`);
    },
  };

  #showReply(turn) {
    if (!turn.reply) return;
    const { text, heard, paused, ended, interrupted } = turn.reply;
    const entry = this.#entry(turn, "reply");
    entry.classList.toggle("pending", !text);
    entry.classList.toggle("paused", paused);
    entry.classList.toggle("interrupted", interrupted);
    const rest = text.slice(heard.length);
    words(entry).replaceChildren(heard);
    if (rest.trim()) words(entry).append(span(ended ? "unheard" : "ahead", rest));
  }

  #turn(number) {
    let turn = this.turns.find((known) => known.turn === number);
    if (!turn) {
      turn = { turn: number, user: null, reply: null };
      this.turns.push(turn);
    }
    return turn;
  }

  /** The list entry of one side of a turn, made at its first use. */
  #entry(turn, side) {
    const key = `${turn.turn}-${side}`;
    const known = this.#list.querySelector(`[data-key="${key}"]`);
    if (known) return known;
    const entry = document.createElement("li");
    entry.className = side;
    entry.dataset.key = key;
    entry.append(span("who", side === "user" ? "You" : "Vaani"), span("words"));
    this.#list.append(entry);
    return entry;
  }

  /** An engine that does not transcribe leaves the caller's entry empty: it goes. */
  #settleUser(turn) {
    const entry = this.#list.querySelector(`[data-key="${turn.turn}-user"]`);
    entry?.classList.remove("pending");
    if (entry && !turn.user?.text) entry.remove();
  }
}

function reply(turn) {
  turn.reply ??= { text: "", heard: "", paused: false, ended: false, interrupted: false };
  return turn.reply;
}

function words(entry) {
  return entry.querySelector(".words");
}

function span(className, text = "") {
  const element = document.createElement("span");
  element.className = className;
  element.textContent = text;
  return element;
}
