// The latest recordings, and one that is played. Audio is asked for with the token, so no URL holds it.

const LATEST = 10;
const AGAIN_MS = 1000;
const TELLING = new Set(["RecordingStarted", "RecordingStopped", "RecordingFailed"]);
const STATES = { recording: "bad", complete: "good", failed: "warn", lost: "warn", deleted: "" };

export class RecordingList {
  #known = [];
  #playing = null;
  #shown = "";
  #timer = 0;
  #turn = 0;
  #url = "";

  /** send asks the server, make makes elements, place is where the list is. */
  constructor({ send, make, place }) {
    Object.assign(this, { send, make, place });
    [this.rows, this.player, this.save, this.fault] = [".rows", "audio", "a", ".fault"].map((one) => place.querySelector(one));
  }

  /** An event that may have changed it. */
  take(event) {
    if (TELLING.has(event) || (event === "CallCleared" && this.#runs())) { this.look(); }
  }

  /** Ask which there are, and again while one is written: its end is in no event. */
  async look() {
    const turn = ++this.#turn;
    clearTimeout(this.#timer);
    let known = this.#known;
    try {
      known = (await (await this.send("GET", `/recordings?limit=${LATEST}`)).json()).recordings;
    } catch { /* What is shown stays; the connection's state is told elsewhere. */ }
    if (turn !== this.#turn) { return; }
    this.#known = known;
    this.#draw();
    if (this.#runs()) { this.#timer = setTimeout(() => this.look(), AGAIN_MS); }
  }

  /** Forget all: who has signed out hears and sees nothing more. */
  clear() {
    this.#turn += 1;
    clearTimeout(this.#timer);
    this.#known = [];
    this.#playing = null;
    this.#keep(null, "");
    this.#draw();
  }

  #runs() { return this.#known.some((one) => one.state === "recording"); }

  #draw() {
    const shown = JSON.stringify(this.#known.map((one) => [one.recording, one.state, one.left, one.right, one.duration_ms]));
    if (shown === this.#shown) { return; }  // who is about to press a button keeps it
    this.#shown = shown;
    this.place.hidden = !this.#known.length;
    this.rows.replaceChildren(...this.#known.map((one) => this.#row(one)));
  }

  #row(one) {
    const { make } = this;
    const play = make("button", { type: "button", textContent: "Play", title: `plays the recording of ${one.started_at}`, onclick: () => this.play(one) });
    return make("div", { className: "row", dataset: { recording: one.recording } },
      make("time", { dateTime: one.started_at, textContent: new Date(one.started_at).toLocaleString() }),
      make("b", { textContent: `${one.left.join(", ") || "nobody"} | ${one.right.join(", ") || "nobody"}`, title: "left | right" }),
      make("span", { textContent: one.state === "recording" ? "" : length(one.duration_ms) }),
      make("span", { className: "chip", textContent: one.state, title: one.text, dataset: { kind: STATES[one.state] ?? "" } }),
      make("div", { className: "acts" }, one.state === "deleted" ? "" : play));
  }

  /** Fetch it, and let it be heard. */
  async play(one) {
    const asked = this.#playing = Symbol(one.recording);
    this.fault.textContent = "";
    try {
      const audio = await (await this.send("GET", `/recordings/${encodeURIComponent(one.recording)}/audio`)).blob();
      if (asked !== this.#playing) { return; }  // another one was pressed, or signed out
      this.#keep(audio, one.file_name);
      await this.player.play();
    } catch (error) {
      this.fault.textContent = error.message;
    }
  }

  #keep(audio, name) {
    URL.revokeObjectURL(this.#url);
    this.#url = audio ? URL.createObjectURL(audio) : "";
    this.player.parentElement.hidden = !audio;
    if (audio) { this.player.src = this.#url; } else { this.player.removeAttribute("src"); this.player.load(); }
    Object.assign(this.save, { href: this.#url, download: name });
  }
}

/** Minutes and seconds. */
export function length(ms) {
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
