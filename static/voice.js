// How Vaani should sound: the controls, filled with what the engine offers.

export class VoicePanel {
  #fieldset;
  #selects;
  #rate;
  #rateText;
  #voice = {};

  /** `onChange` is told each part that the caller changes, such as `{emotion: "happy"}`. */
  constructor(fieldset, onChange) {
    const control = (name) => fieldset.querySelector(`[name="${name}"]`);
    this.#fieldset = fieldset;
    this.#selects = {
      name: control("name"),
      emotion: control("emotion"),
      language: control("language"),
    };
    this.#rate = control("rate");
    this.#rateText = fieldset.querySelector("output");
    for (const [key, select] of Object.entries(this.#selects)) {
      select.addEventListener("change", () => onChange({ [key]: select.value }));
    }
    this.#rate.addEventListener("input", () => this.#writeRate());
    this.#rate.addEventListener("change", () => onChange({ rate: Number(this.#rate.value) }));
  }

  /** Fills the controls from `session.started`, hides what offers no choice; true if any does. */
  offer({ voices, emotions, languages, voice }) {
    fill(this.#selects.name, voices.map(({ name, label }) => [name, label]));
    fill(this.#selects.emotion, emotions.map((name) => [name, capital(name)]));
    fill(this.#selects.language, languages.map((tag) => [tag, languageName(tag)]));
    this.show(voice);
    return voices.length + emotions.length + languages.length > 0;
  }

  show(voice) {
    this.#voice = voice;
    for (const [key, select] of Object.entries(this.#selects)) select.value = voice[key];
    this.#rate.value = voice.rate;
    this.#writeRate();
  }

  /** Takes back a choice that the server refused. */
  revert() {
    this.show(this.#voice);
  }

  set enabled(enabled) {
    this.#fieldset.disabled = !enabled;
  }

  get voice() {
    return this.#voice;
  }

  #writeRate() {
    this.#rateText.textContent = `${Number(this.#rate.value).toFixed(2)}×`;
  }
}

function fill(select, options) {
  select.replaceChildren(...options.map(([value, label]) => new Option(label, value)));
  select.closest("label").hidden = options.length < 2;
}

function capital(word) {
  return word.charAt(0).toUpperCase() + word.slice(1);
}

/** A language in its own words and in English: "తెలుగు (Telugu)". */
function languageName(tag) {
  const name = (locale) => new Intl.DisplayNames([locale], { type: "language" }).of(tag);
  const own = capital(name(tag));
  return own === name("en") ? own : `${own} (${name("en")})`;
}
