// The latest calls that are over: of the device that this browser is, else of all; and what was recorded of them.

import { length, RecordingList } from "./recordings.js";

const LATEST = 10;
const AGAIN_MS = 1000;
const USUAL = new Set(["busy", "no_answer", "declined", "cancelled"]);

export class PastCalls {
  #device = "";
  #rows = new Map();
  #timer = 0;
  #turn = 0;

  /** send asks the server, make makes elements, place and recordings are where the lists are. */
  constructor({ send, make, place, recordings }) {
    Object.assign(this, { send, make, place, recordings: new RecordingList({ send, make, place: recordings }) });
    [this.title, this.list] = ["h2", ".rows"].map((one) => place.querySelector(one));
  }

  /** An event that may have changed them. A call's record is there before its end is told. */
  take(event) {
    this.recordings.take(event);
    if (event === "CallCleared") { this.#look(); }
  }

  /** This browser is that device now; empty: none. */
  of(device) {
    if (device !== this.#device) {
      this.#device = device;
      this.#forget();
      this.#look();
    }
  }

  look() {
    this.recordings.look();
    this.#look();
  }

  /** Forget all: who has signed out sees nothing more. */
  clear() {
    this.recordings.clear();
    this.#device = "";
    this.#forget();
  }

  #forget() {
    this.#turn += 1;
    clearTimeout(this.#timer);
    this.#rows.clear();
    this.#draw([]);
  }

  /** Ask for the latest, and once for what is told of each; again while a file of one is written. */
  async #look() {
    const turn = ++this.#turn;
    clearTimeout(this.#timer);
    const rows = new Map();
    let again = false;
    try {
      const asked = new URLSearchParams({ limit: LATEST, ...(this.#device ? { device: this.#device } : {}) });
      for (const { call } of (await this.#ask(`/records?${asked}`)).records) {
        let row = this.#rows.get(call);
        if (!row) {
          const found = await this.#ask(`/records/${encodeURIComponent(call)}`);
          row = { node: this.#row(found), runs: found.recordings.some((one) => one.state === "recording") };
        }
        if (turn !== this.#turn) { return; }
        rows.set(call, row);
        again ||= row.runs;
      }
    } catch { return; /* What is shown stays; the connection's state is told elsewhere. */ }
    this.#rows = new Map([...rows].filter(([, row]) => !row.runs));
    this.#draw([...rows.values()].map((row) => row.node));
    if (again) { this.#timer = setTimeout(() => this.#look(), AGAIN_MS); }
  }

  async #ask(path) { return (await this.send("GET", path)).json(); }

  #draw(nodes) {
    this.place.hidden = !nodes.length;
    this.title.textContent = this.#device ? `Last calls of ${this.#device}` : "Last calls";
    this.list.replaceChildren(...nodes);
  }

  #row({ record, explanation, recordings }) {
    const { make } = this;
    const { cause } = record.ending;
    const kind = cause === "normal" ? "good" : USUAL.has(cause) ? "warn" : "bad";
    const [course, why, ...more] = explanation;
    return make("div", { className: "row", dataset: { call: record.call } },
      make("time", { dateTime: record.started_at, textContent: new Date(record.started_at).toLocaleString() }),
      make("b", { textContent: this.#who(record) }),
      make("span", { textContent: record.established_at ? length(Date.parse(record.ended_at) - Date.parse(record.established_at)) : "not answered" }),
      make("span", { className: "chip", textContent: cause.replaceAll("_", " "), dataset: { kind } }),
      make("div", { className: "acts" }, ...recordings.filter((one) => one.state !== "deleted").map((one) => this.#link(one))),
      make("details", {}, make("summary", { textContent: why }), ...[course, ...more].map((text) => make("p", { textContent: text }))));
  }

  #who({ calling, called }) {
    switch (this.#device) {
      case "": return `${calling} → ${called}`;
      case calling: return `→ ${called}`;
      case called: return `← ${calling}`;
      default: return `${calling} → ${called}`;  // it came into a call of others
    }
  }

  #link(one) {
    const play = (event) => { event.preventDefault(); this.recordings.play(one); };
    return this.make("a", { href: "#recordings", textContent: "Recording", title: `plays the recording of ${one.started_at}`, onclick: play });
  }
}
