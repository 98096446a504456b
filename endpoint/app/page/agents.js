// The agent who works here, and all others: state, buttons, countdown. Only events change what is shown of the own one.

const LOOK_MS = 3000;
const STATES = {
  null: ["logged off", ""], notReady: ["not ready", "warn"], ready: ["ready", "good"],
  busy: ["in a call", "info"], workingAfterCall: ["wrap-up", "warn"],
};
const AGAIN_MS = 1000;

export class AgentDesk {
  #own = null;       // the agent that is logged on here, as it is now
  #all = [];
  #reasons = [];
  #modes = [];
  #forces = false;
  #socket = null;
  #session = null;   // { agent, id }: by it a page that is loaded anew has its session back
  #number = 0;
  #skew = 0;
  #shown = "";
  #timer = 0;

  /** ask and send talk to the server, make makes elements, token is asked for when it is needed. */
  constructor({ ask, make, token, place, others, api }) {
    Object.assign(this, { ask, make, token, place, others, api });
    const one = (name) => place.querySelector(name);
    [this.title, this.text, this.acts, this.form, this.fault, this.devices] = ["h3", ".what p", ".acts", "form", ".fault", "datalist"].map(one);
    this.form.addEventListener("submit", (event) => { event.preventDefault(); this.logOn(event.submitter?.name === "take-over"); });
    setInterval(() => this.#count(), 1000);
    setInterval(() => this.look(), LOOK_MS);
  }

  /** Who asks has shown a token: is there a directory, and a session of before? */
  async begin() {
    try {
      const [who, reasons, modes] = await Promise.all(["/identity", "/directory/reasons", "/directory/modes"].map((path) => this.ask("GET", path)));
      this.#forces = who.role !== "agent";
      this.#isSelf(who.kind === "agent" ? who.agent : "");
      this.#reasons = reasons.reasons.filter((one) => one.visible !== false);
      this.#modes = modes.modes;
    } catch { return; }
    await this.look();
    const kept = sessionStorage.getItem("agent");
    if (kept && !this.#session) { this.#session = JSON.parse(kept); this.#listen(); }
    this.#draw();
  }

  /** Who has signed in as an agent need not say again who it is. */
  #isSelf(agent) {
    const [number, password] = ["agent", "password"].map((name) => this.form.elements[name]);
    if (agent) { number.value = agent; }
    number.readOnly = password.hidden = Boolean(agent);
  }

  /** Devices that are known here; of others an agent knows the number. */
  offer(devices) {
    const names = devices.map((one) => one.device);
    if (names.join() === [...this.devices.options].map((one) => one.value).join()) { return; }
    this.devices.replaceChildren(...names.map((name) => this.make("option", { value: name })));
  }

  /** All agents, as they are now: of others nothing is told here. */
  async look() {
    if (document.hidden || !this.token()) { return; }
    try { this.#all = (await this.ask("GET", "/agents")).agents; } catch { return; }
    this.#draw();
  }

  async logOn(takeOver) {
    const [agent, password, device] = ["agent", "password", "device"].map((name) => this.form.elements[name].value.trim());
    const body = { device, ready: true, take_over: takeOver, ...(password ? { password } : {}) };
    const told = await this.#try(() => this.ask("POST", `/agents/${encodeURIComponent(agent)}/log-on`, body));
    this.form.elements["take-over"].hidden = !/take over/.test(this.fault.textContent);
    if (!told) { return; }
    this.form.elements.password.value = "";
    this.#keep({ agent, id: told.delegator_id });
    this.#number = told.agent.number;
    this.#take(told.agent);
    this.#listen();
  }

  /** Forget all: who has signed out is shown nothing more. Its agent stays logged on for the grace time. */
  clear() {
    this.#keep(null);
    const open = this.#socket;
    this.#socket = null;
    open?.close();
    [this.#own, this.#all] = [null, []];
    this.#draw();
  }

  #keep(session) {
    this.#session = session;
    if (session) { sessionStorage.setItem("agent", JSON.stringify(session)); } else { sessionStorage.removeItem("agent"); }
  }

  #listen() {
    clearTimeout(this.#timer);
    const { agent, id } = this.#session;
    const place = new URL(`${this.api}/agents/${encodeURIComponent(agent)}/events`, location.href);
    place.protocol = place.protocol.replace("http", "ws");
    if (this.#number) { place.searchParams.set("from", this.#number); }
    const mine = new WebSocket(place, ["agent-endpoint.v1", `bearer.${this.token()}`, `delegator.${id}`]);
    this.#socket = mine;
    let opened = false;
    mine.onopen = () => { opened = true; };
    mine.onmessage = ({ data }) => { if (this.#socket === mine) { this.#receive(JSON.parse(data)); } };
    mine.onclose = () => { if (this.#socket === mine) { this.#closed(opened); } };
  }

  #receive(frame) {
    if (frame.type === "credentials") { return; }
    if (frame.type === "snapshot") { this.#skew = Date.parse(frame.time) - Date.now(); }
    this.#number = frame.number;
    if (frame.event === "OwnerReplaced") { this.#end("Another page has this session now."); return; }
    if (frame.event === "AgentLoggedOff") { this.#end(frame.fields.cause === "asked" ? "" : `Logged off: ${frame.fields.cause}.`); return; }
    this.#take(frame.agent);
  }

  /** Lost: it is tried again while the session is ours; refused: it is not. */
  async #closed(opened) {
    if (!this.#session || !this.token()) { return; }
    if (!opened) {
      const now = await this.ask("GET", `/agents/${encodeURIComponent(this.#session.agent)}`).catch(() => null);
      if (now && (now.state === "null" || now.is_owned)) { this.#end(""); return; }
    }
    this.#timer = setTimeout(() => { if (this.#session) { this.#listen(); } }, AGAIN_MS);
  }

  #end(why) {
    this.#keep(null);
    [this.#own, this.#number] = [null, 0];
    const open = this.#socket;
    this.#socket = null;
    open?.close();
    this.fault.textContent = why;
    this.look();
    this.#draw();
  }

  #take(agent) {
    this.#own = agent;
    this.fault.textContent = "";
    this.#draw();
  }

  async #try(work) {
    this.fault.textContent = "";
    try { return await work(); } catch (error) { this.fault.textContent = error.message; return null; }
  }

  /** A command; of the own agent with the id that makes it its own, of others by force. */
  async #command(agent, word, body) {
    const isOwn = this.#session?.agent === agent;
    const headers = isOwn ? { "Delegator-Id": this.#session.id } : {};
    await this.#try(() => this.ask("POST", `/agents/${encodeURIComponent(agent)}/${word}`, body, headers));
    this.look();
  }

  #buttons(now, isOwn) {
    const { make } = this;
    const button = (word, label, look, body) => (now.commands.includes(word) ? [make("button", {
      type: "button", className: look, textContent: label, title: `${now.agent}: ${word}`, onclick: () => this.#command(now.agent, word, body?.()),
    })] : []);
    const chooser = (word, label, options, value, body) => (now.commands.includes(word) && isOwn ? [make("select", {
      ariaLabel: label, onchange: ({ target }) => { if (target.value !== "") { this.#command(now.agent, word, body(target.value)); } },
    }, ...options.map(([code, name]) => make("option", { value: code, textContent: name, selected: code === value })))] : []);
    const reasons = [["", "Not ready…"], ...this.#reasons.map((one) => [one.code, one.name || one.code])];
    const modes = this.#modes.filter((one) => one.visible !== false).map((one) => [String(one.code), one.name]);
    return [
      ...button("ready", "Ready", "go"),
      ...(isOwn ? chooser("not-ready", "Reason for not being ready", reasons, "", (reason) => ({ reason })) : button("not-ready", "Not ready", "", () => ({}))),
      ...button("finish-wrap-up", "Done", ""),
      ...chooser("work-mode", "Work mode", modes, String(now.mode), (mode) => ({ mode: Number(mode) })),
      ...button("log-off", "Log off", "end"),
    ];
  }

  #reason(code) { return this.#reasons.find((one) => one.code === code)?.name || code; }

  #said(now) {
    const pending = now.pending;
    return [
      now.state === "notReady" && now.reason ? this.#reason(now.reason) : "",
      now.device && !now.reachable ? "its telephone is not registered" : "",
      pending?.logs_off ? "logs off after the call" : pending && !pending.ready ? `not ready after the call ${this.#reason(pending.reason)}`.trim() : "",
    ].filter(Boolean).join(" · ");
  }

  #draw() {
    const [own, others] = [this.#own, this.#all.filter((one) => one.agent !== this.#own?.agent && one.device)];
    const shown = JSON.stringify([own, others, this.#all.length, this.#forces]);
    if (shown === this.#shown) { return; }  // who is about to press a button keeps it
    this.#shown = shown;
    const { make } = this;
    this.place.hidden = !this.#all.length;
    this.place.dataset.state = own?.state ?? "null";
    this.form.hidden = Boolean(own);
    this.title.textContent = own ? `${own.name || own.agent} (${own.agent}) at ${own.device}` : "Agent";
    this.acts.replaceChildren(...(own ? this.#buttons(own, true) : []));
    this.others.hidden = !others.length;
    this.others.querySelector(".rows").replaceChildren(...others.map((one) => make("div", { className: "row", dataset: { agent: one.agent } },
      make("b", { textContent: `${one.name || one.agent} · ${one.device}` }), this.#chip(one),
      make("small", { textContent: this.#said(one) }),
      make("div", { className: "acts" }, ...(this.#forces ? this.#buttons(one, false) : [])))));
    this.#count();
  }

  #chip(now) {
    const [text, kind] = STATES[now.state];
    return this.make("span", { className: "chip", textContent: text, dataset: { kind } });
  }

  /** How long it has been so, and of a wrap-up how long it will be. */
  #count() {
    const own = this.#own;
    if (!own) { this.text.textContent = "Log on to take calls of queues."; return; }
    const now = Date.now() + this.#skew;
    const left = own.wrap_up_ends_at ? Math.max(0, Math.ceil((Date.parse(own.wrap_up_ends_at) - now) / 1000)) : null;
    const since = Math.max(0, Math.floor((now - Date.parse(own.since)) / 1000));
    const length = `${Math.floor(since / 60)}:${String(since % 60).padStart(2, "0")}`;
    this.text.textContent = [STATES[own.state][0], left === null ? length : `${left} s left`, this.#said(own)].filter(Boolean).join(" · ");
  }
}
