// The live page. All text goes into the document as text, never as markup; only events change it.

import { AgentDesk } from "./agents.js";
import { isIn, isOwnedBy, namesToANumber, offered, TO_A_NUMBER } from "./commands.js";
import { callsOfOthers, dropper, giver } from "./others.js";
import { PastCalls } from "./pastcalls.js";
import { SignIn } from "./signin.js";
import { Telephone } from "./telephone.js";

const API = "/api/v1";
const KEPT_EVENTS = 200;
const QUALITY_EVERY_MS = 3000;

const $ = (id) => document.getElementById(id);
const state = { calls: new Map(), devices: new Map(), registrations: new Map(), quality: new Map(), number: 0, run: "", skew: 0 };
let [token, socket] = ["", null];
let [retry, retryS] = [0, 1];

const PARTS = { silent: "listens", whisper: "whispers" };
const STATES = {
  initiated: ["dialling", "info"], alerting: ["ringing", "warn"], connected: ["connected", "good"],
  hold: ["on hold", "warn"], queued: ["parked", "info"], fail: ["failed", "bad"], null: ["gone", ""],
};
/** Diagnoses that are no fault. */
const WELL = new Set(["fine", "beginning", "held", "not_routed", "no_far_end"]);
const KINDS = {
  Established: "good", Retrieved: "good", DeviceRegistered: "good", MediaConfirmed: "good",
  MediaResumed: "good", Transferred: "good", Conferenced: "good", Joined: "good", TransferFailed: "bad", MicrophoneMute: "warn", RecordingStarted: "good", RecordingPaused: "warn", RecordingResumed: "good", RecordingFailed: "bad",
  MediaInterrupted: "warn", Held: "warn", Delivered: "warn", Failed: "bad", DigitsFailed: "bad", DeviceUnregistered: "bad", SourceBanned: "bad",
};

// -- small tools --------------------------------------------------------------------------------

function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  const { dataset, ...rest } = properties;
  Object.assign(node, rest);
  Object.assign(node.dataset, dataset ?? {});
  node.append(...children.filter((child) => child !== null && child !== ""));
  return node;
}

const two = (number) => String(number).padStart(2, "0");

function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h ? `${h}:${two(m)}:${two(s)}` : `${two(m)}:${two(s)}`;
}

function timeOfDay(moment) {
  const at = new Date(moment);
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

// -- asking the server --------------------------------------------------------------------------

async function send(method, path, body, more = {}) {
  const answer = await fetch(API + path, {
    method,
    headers: { ...more, Authorization: `Bearer ${token}`, ...(body ? { "Content-Type": "application/json" } : {}) },
    body: body ? JSON.stringify(body) : undefined,
  });
  if (answer.status === 401) { leave(own.on ? "Sign in again: your time is over, or you were signed out." : "This token is not right."); }
  if (answer.ok) { return answer; }
  const content = await answer.json();
  throw Object.assign(new Error(content.text || content.error), { status: answer.status });
}

const ask = (...asked) => send(...asked).then((answer) => (answer.status === 204 ? null : answer.json()));

async function command(path, body) {
  $("fault").textContent = "";
  try {
    return await ask("POST", path, body);
  } catch (error) {
    $("fault").textContent = error.message;
    return null;
  }
}

// -- drawing ------------------------------------------------------------------------------------

function chip(connection) {
  const [text, kind] = STATES[connection] ?? [connection, ""];
  return make("span", { className: "chip", textContent: text, dataset: { kind, ringing: connection === "alerting" ? "yes" : "no" } });
}

const pathOf = (call, word) => `/calls/${encodeURIComponent(call.call)}/${word}`;

/** A button that asks for something in a device's name. */
function act(call, device, { label, look, path, body, title, pressed }) {
  return make("button", {
    type: "button", className: look ?? "", textContent: label, title: `${device}: ${title}`, ariaPressed: pressed ?? null,
    onclick: () => command(pathOf(call, path), { device, ...body }),
  });
}

function actsOf(call, party) {
  const drops = dropper(call, party, isOwn);
  return [
    ...offered(state.calls.values(), call, party, isOwn(party)).map((button) => act(call, party.device, button)),
    ...(drops ? [act(call, drops.device, { label: "Drop", look: "end", path: "clear", title: `drops ${party.device}`, body: { connection: party.connection } })] : []),
  ];
}

/** Fields for a number and for digits, where a telephone here needs them. */
function formsOf(call, party) {
  const names = namesToANumber(state.calls.values(), call, party);
  return [
    ...(names.length ? [reach(call, party, names)] : []),
    ...(party.commands.includes("GenerateDigits") ? [keys(call, party)] : []),
  ];
}

function partyRow(call, party) {
  const quality = make("small", { className: "quality", dataset: { call: call.call, device: party.device, outside: party.from_outside } });
  const row = make("div", { className: "party" },
    make("div", { className: "who" }, make("b", { textContent: party.device }), heard(party), hearing(call, party), quality),
    chips(party), make("div", { className: "acts" }, ...actsOf(call, party)));
  // A far party that is a telephone of ours has keys of its own, and so has this browser.
  if (party.role === "station" && !isOwn(party)) { row.append(make("div", { className: "forms" }, ...formsOf(call, party))); }
  return row;
}

function chips(party) {
  return make("div", { className: "chips" },
    party.participation in PARTS && party.state === "connected" ? "" : chip(party.state),
    party.participation in PARTS ? make("span", { className: "chip", textContent: PARTS[party.participation], dataset: { kind: "info" } }) : "",
    party.muted ? make("span", { className: "chip", textContent: "muted", dataset: { kind: "bad" } }) : "");
}

/** Whom it hears, as the endpoint routes it. */
function hearing(call, party) {
  if (!call.parties.some((one) => one.hears.length)) { return ""; }
  const beside = party.beside && party.participation in PARTS ? ` · beside ${party.beside}` : "";
  return make("small", { className: "hears", textContent: `hears ${party.hears.join(", ") || "nobody"}${beside}` });
}

/** That audio arrives is said where nothing newer is: the quality of the last seconds knows better. */
function heard(party) {
  const side = party.parked_by ? `parked by ${party.parked_by}` : party.role === "station" ? "agent" : "far party";
  return make("small", { className: "side", textContent: side, dataset: { side, confirmed: party.media_confirmed ? "yes" : "no" } });
}

/** The call dialled here may have failed before its command was answered. */
function dialled(call) {
  state.dialled = call;
  tellFailed();
}

function tellFailed() {
  const { dialled, failed } = state;
  if (dialled && failed?.fields.call === dialled) {
    $("fault").textContent = `${failed.fields.device ?? "The call"} was not reached: ${details(failed)}`;
  }
}

/** Both directions in a few words; what they mean and what to do is in the title. */
function drawQuality() {
  for (const node of document.querySelectorAll(".quality")) {
    const party = state.quality.get(node.dataset.call)
      ?.find((one) => one.device === node.dataset.device && String(one.from_outside) === node.dataset.outside);
    const isHeld = state.calls.get(node.dataset.call)?.parties.some((one) => one.state === "hold");
    const way = [party?.codec, party?.protection].filter(Boolean).join(" · ");
    node.replaceChildren(...(party?.received
      ? [direction("from it", party.received, isHeld), direction("to it", party.sent, isHeld), make("span", { className: "way", textContent: way })] : []));
    const side = node.parentElement.querySelector(".side");
    const arrives = !party?.received && side.dataset.confirmed === "yes";
    side.textContent = arrives ? `${side.dataset.side} · audio arrives` : side.dataset.side;
    side.classList.toggle("heard", arrives);
  }
}

function direction(name, audio, isHeld) {
  const word = isHeld && audio.diagnosis === "not_routed" ? "held" : audio.diagnosis;
  const figures = [audio.mos === null ? "" : `MOS ${audio.mos.toFixed(1)}`, audio.loss_percent ? `${audio.loss_percent} % lost` : ""];
  return make("span", {
    className: WELL.has(audio.diagnosis) ? "" : "bad", title: audio.text,
    textContent: [`${name}: ${word.replaceAll("_", " ")}`, ...figures].filter(Boolean).join(" · "),
  });
}

/** A number, and what is to be done with it. */
function reach(call, party, names) {
  const input = make("input", {
    id: `number ${call.call} ${party.device}`, placeholder: "number", maxLength: 128, required: true,
    autocomplete: "off", inputMode: "tel", spellcheck: false, ariaLabel: `Number for ${party.device}`,
  });
  return make("form", {
    className: "keys reach",
    onsubmit: async (event) => {
      event.preventDefault();
      const { path, field = "destination" } = TO_A_NUMBER[event.submitter?.dataset.name ?? names[0]];
      if (await command(pathOf(call, path), { device: party.device, [field]: input.value.trim() })) { input.value = ""; }
    },
  }, input, ...names.map((name) => {
    const { label, title } = TO_A_NUMBER[name];
    return make("button", { type: "submit", textContent: label, title: `${party.device}: ${title} …`, dataset: { name } });
  }));
}

async function askQuality() {
  if (document.hidden || !token) { return; }
  const calls = [...state.calls.keys()];
  const answers = await Promise.allSettled(calls.map((call) => ask("GET", `/calls/${encodeURIComponent(call)}/quality`)));
  state.quality = new Map(answers.filter((one) => one.status === "fulfilled").map((one) => [one.value.call, one.value.parties]));
  drawQuality();
}

function keys(call, party) {
  const id = `keys ${call.call} ${party.device}`;
  const input = make("input", {
    id, placeholder: "digits, as 1234#", pattern: "[0-9*#A-D]+", maxLength: 64, required: true,
    autocomplete: "off", inputMode: "tel", ariaLabel: `Digits from ${party.device}`,
  });
  return make("form", {
    className: "keys",
    onsubmit: async (event) => {
      event.preventDefault();
      if (await command(pathOf(call, "digits"), { device: party.device, digits: input.value })) { input.value = ""; }
    },
  }, input, make("button", { type: "submit", textContent: "Send digits" }));
}

/** The data that the call carries, and a field for more. */
function dataOf(call) {
  const texts = Object.entries(call.data).map(([key, text]) => make("span", {}, make("b", { textContent: key }), ` ${text}`));
  const gives = giver(call, isOwn);
  if (!texts.length && !gives) { return ""; }
  const footer = make("footer", { className: "data" }, ...texts);
  if (!gives) { return footer; }
  const input = make("input", {
    id: `data ${call.call}`, placeholder: "data, as order=4711", pattern: "[A-Za-z0-9_.:\\-]+=.*", required: true, maxLength: 512,
    autocomplete: "off", spellcheck: false, ariaLabel: `Data of the call of ${gives.device}`,
  });
  footer.append(make("form", {
    className: "keys",
    onsubmit: async (event) => {
      event.preventDefault();
      const [key, ...text] = input.value.split("=");
      if (await command(pathOf(call, "data"), { device: gives.device, data: { [key]: text.join("=") } })) { input.value = ""; }
    },
  }, input, make("button", { type: "submit", textContent: "Set data", title: `${gives.device}: gives the call data that follows it` })));
  return footer;
}

function callCard(call) {
  const name = call.calling_name ? ` “${call.calling_name}”` : "";
  return make("article", { className: "call" },
    make("header", {},
      make("h3", {}, call.calling, name, make("i", { textContent: "→" }), call.called),
      make("span", { className: "chip", textContent: call.direction }),
      make("span", { className: "since", dataset: { call: call.call } })),
    ...call.parties.filter(isIn).map((party) => partyRow(call, party)), dataOf(call));
}

/** Draw, and leave what is being typed, and who types it, as they are. */
function keepTyped(draw) {
  const typed = new Map([...document.querySelectorAll(".keys input")].filter((one) => one.value).map((one) => [one.id, one.value]));
  const focused = document.activeElement?.closest?.(".keys") ? document.activeElement.id : "";
  draw();
  for (const [id, value] of typed) {
    const again = document.getElementById(id);
    if (again) { again.value = value; }
  }
  if (focused) { document.getElementById(focused)?.focus(); }
}

function drawCalls() {
  const calls = [...state.calls.values()].sort((a, b) => b.started_at.localeCompare(a.started_at));
  keepTyped(() => $("calls").replaceChildren(...(calls.length ? calls.map(callCard) : [
    make("p", { className: "empty" }, "No calls. Dial above, or let a phone call one of the devices."),
  ])));
  drawDurations();
  drawQuality();
}

/** What whose telephone this is may do about calls of others; without one, who would dial. */
function drawOthers() {
  const me = state.devices.get(phone.on ? phone.device : $("dial-device").value);
  const rows = me ? callsOfOthers(state.calls.values(), me) : [];
  const key = JSON.stringify(rows.map(({ call, party, text, buttons }) => [me.device, call.call, party.state, text, buttons]));
  if ($("others").dataset.key === key) { return; }
  $("others").dataset.key = key;
  $("others").hidden = !rows.length;
  $("others-title").textContent = `For ${me?.device} to join or pick up`;
  $("others-rows").replaceChildren(...rows.map(({ call, party, text, buttons }) => make("div", { className: "row" },
    make("b", { textContent: text }), chip(party.state), make("div", { className: "acts" }, ...buttons.map((button) => act(call, me.device, button))))));
}

function drawDurations() {
  const now = Date.now() + state.skew;
  for (const node of document.querySelectorAll(".since")) {
    const call = state.calls.get(node.dataset.call);
    if (!call) { continue; }
    node.textContent = clock((now - Date.parse(call.established_at ?? call.started_at)) / 1000);
    node.classList.toggle("waiting", !call.established_at);
    node.title = call.established_at ? "since it was answered" : "since it began";
  }
}

const PHONE_TEXTS = {
  off: "Your microphone and loudspeaker, for the calls of a device.",
  asking: "Allow the microphone in your browser.",
  connecting: "Connecting its audio…",
  ready: "Ready for calls, while this page is open.",
  lost: "Its audio was lost. Looking for another way…",
};

const isOwn = (party) => phone.on && isOwnedBy(phone.device, party);

/** The calls of the device whose telephone this is, as far as it is one. */
function ownCalls() {
  const own = [...state.calls.values()].flatMap((call) => call.parties
    .filter((party) => isOwn(party) && isIn(party)).map((party) => ({ call, party })));
  const in_ = (word) => own.find(({ party }) => party.state === word);
  const talking = Boolean(in_("connected"));
  const ringing = Boolean(in_("alerting")?.party.commands.includes("AnswerCall"));
  const shown = in_("alerting") ?? in_("connected") ?? in_("initiated") ?? own[0];
  return { shown, others: own.filter((one) => one !== shown), talking, ringing };
}

/** Who else is in a call, or is dialled; not who only listens. */
function namesIn({ call, party }) {
  const others = call.parties.filter((one) => one !== party && isIn(one) && one.participation === "active");
  return others.map((one) => one.device).join(", ") || (call.called === party.device ? call.calling : call.called);
}

/** A page that nobody looks at is not drawn, but rings, and closes its microphone. */
function follow() {
  const { talking, ringing } = ownCalls();
  phone.talk(talking);
  phone.ring(ringing && !talking);
  drawSoon();
}

function drawPhone() {
  const { device, fault, muted, on } = phone;
  const { shown, others, talking, ringing } = ownCalls();
  const isMuted = muted || Boolean(shown?.party.muted);
  $("phone").dataset.state = phone.state !== "ready" || !shown ? phone.state : ringing ? "ringing" : "talking";
  const other = shown && namesIn(shown);
  $("phone-title").textContent = !on ? "Telephone" : !shown ? `This browser is ${device}'s telephone`
    : ringing ? `${other} calls ${device}` : `${device} and ${other}`;
  $("phone-text").textContent = shown && phone.state === "ready"
    ? [talking && PARTS[shown.party.participation] || STATES[shown.party.state]?.[0], talking && isMuted ? "muted" : ""].filter(Boolean).join(" · ") : PHONE_TEXTS[phone.state];
  $("phone-fault").textContent = fault;
  // Buttons that stay the same stay where they are: who is about to press one keeps it.
  const key = JSON.stringify((shown ? [shown, ...others] : []).map((one) => [
    one.call.call, one.call.established_at, one.party.state, one.party.muted, one.party.commands, one.call.parties.filter(isIn).length, namesIn(one)]));
  if ($("phone-acts").dataset.key !== key) {
    $("phone-acts").dataset.key = key;
    $("phone-acts").replaceChildren(...(shown ? actsOf(shown.call, shown.party) : []));
    $("phone-others").replaceChildren(...others.map((one) => make("div", { className: "other" },
      make("b", { textContent: namesIn(one) }), chip(one.party.state), make("div", { className: "acts" }, ...actsOf(one.call, one.party)))));
    keepTyped(() => $("phone-keys").replaceChildren(...(shown ? formsOf(shown.call, shown.party) : [])));
  }
  $("phone-form").hidden = on;
  $("phone-leave").hidden = !on;
  $("phone-mute").hidden = !talking;
  $("phone-mute").textContent = isMuted ? "Unmute" : "Mute";
  $("phone-mute").ariaPressed = String(isMuted);
}

function deviceRow(device) {
  const all = [...state.registrations.values()].filter((one) => one.device === device.device);
  // A telephone that has gone is no news of a device that is reached elsewhere.
  const known = all.filter((one) => one.registered || !all.some((other) => other.registered)
    || (!["", "browser", "telephone"].includes(one.server) && one.cause !== "normal"));
  const station = device.kinds.includes("station");
  const [text, kind] = device.calls.length ? ["in a call", "info"]
    : device.reachable ? [known.some((one) => one.registered) ? "registered" : "ready", "good"]
    : known.some((one) => one.cause) ? ["unreachable", "bad"] : ["not registered", ""];
  return make("li", {},
    make("b", {}, device.device, device.display_name ? make("span", { textContent: device.display_name }) : ""),
    make("span", { className: "chip", textContent: text, dataset: { kind } }),
    ...known.map((one) => make("small", one.registered
      ? { textContent: one.server === "browser" ? "a browser's page"
        : one.server === "telephone" ? `${one.contact} is up, between calls for ${one.expires_s} s`
        : `${one.contact}${one.server ? ` at ${one.server}` : ""} · ${one.expires_s} s` }
      : { className: one.cause === "normal" ? "" : "bad", textContent: [one.server, one.text || one.cause, one.sip_status].filter(Boolean).join(" · ") })),
    ...(station ? [make("small", { textContent: "station without a phone" })] : []));
}

function drawDevices() {
  const devices = [...state.devices.values()].sort((a, b) => a.device.localeCompare(b.device, undefined, { numeric: true }));
  if (devices.length) {
    $("devices").replaceChildren(...devices.map(deviceRow));
  } else {
    $("devices").replaceChildren(make("li", {}, make("small", { textContent: "None yet. agent-endpoint extension add 6001 --generate" })));
  }
  // An IVR can call, but is nobody's telephone, and not the one that is meant unless it is said.
  const isIvr = (device) => device.kinds.join() === "ivr";
  const telephones = devices.filter((device) => !isIvr(device));
  const known = [...telephones, ...devices.filter(isIvr)].filter((device) => device.reachable || (phone.on && device.device === phone.device));
  offer($("dial-device"), known, "none is there");
  offer($("phone-device"), telephones, "no device");
  agents.offer(telephones);
  drawDial();
  $("phone-use").disabled = telephones.length === 0;
}

/** Who is chosen stays so while it is busy: a redial must not come from somebody else. */
function drawDial() {
  const chosen = state.devices.get($("dial-device").value);
  const isFree = Boolean(chosen?.reachable && chosen.commands.includes("MakeCall"));
  $("dial-go").disabled = !isFree;
  $("dial-go").title = chosen && !isFree ? `${chosen.device} is ${chosen.reachable ? "in a call" : "not reachable"}` : "";
}

/** What is chosen stays so; the device whose telephone this is comes first when it becomes free. */
function offer(select, devices, none) {
  const isNew = phone.on && ![...select.options].some((option) => option.value === phone.device);
  const chosen = isNew && devices.some((device) => device.device === phone.device) ? phone.device : select.value;
  select.replaceChildren(...(devices.length
    ? devices.map((device) => make("option", { value: device.device, textContent: device.device }))
    : [make("option", { value: "", textContent: none })]));
  if (devices.some((device) => device.device === chosen)) { select.value = chosen; }
}

function parties({ calling, called }) {
  return calling && called ? make("span", { className: "parties", textContent: `${calling} → ${called}` }) : "";
}

function details(frame) {
  const fields = frame.fields;
  const said = [];
  if (fields.contact) { said.push(fields.contact); }
  if (fields.digits) { said.push(`digits ${fields.digits}`); }
  if (fields.transferred_to ?? fields.diverted_to) { said.push(`to ${fields.transferred_to ?? fields.diverted_to}`); }
  if (fields.participation) { said.push(fields.participation); }
  if (fields.beside) { said.push(`beside ${fields.beside}`); }
  if (frame.event === "MicrophoneMute") { said.push(fields.muted ? "muted" : "heard again"); }
  if (fields.far_end) { said.push(`far end ${fields.far_end}`); }
  if (fields.cause) { said.push(fields.cause.replaceAll("_", " ")); }
  if (fields.sip_status) { said.push(`SIP ${fields.sip_status}`); }
  if (fields.q850) { said.push(`Q.850 ${fields.q850}`); }
  if (fields.text) { said.push(fields.text); }
  return said.join(" · ");
}

function feed(frame) {
  const kind = frame.fields.cause && frame.fields.cause !== "normal" ? "bad" : KINDS[frame.event] ?? "";
  const more = details(frame);
  $("events").prepend(make("li", { dataset: { kind } },
    make("time", { dateTime: frame.at, textContent: timeOfDay(frame.at) }),
    make("span", {}, make("b", { textContent: frame.event }), ` ${frame.fields.device ?? ""}`, parties(frame.fields)),
    make("span", { className: "number", textContent: `#${frame.number}` }),
    more ? make("p", { textContent: more }) : ""));
  while ($("events").childElementCount > KEPT_EVENTS) { $("events").lastElementChild.remove(); }
}

function drawCounts() {
  const registered = [...state.registrations.values()].filter((one) => one.registered).length;
  for (const [name, count, one] of [["calls", state.calls.size, "call"], ["registered", registered], ["events", state.number, "event"]]) {
    const told = $(`count-${name}`);
    told.textContent = count;
    told.previousElementSibling.textContent = count === 1 && one ? one : name;
  }
  document.title = state.calls.size ? `(${state.calls.size}) agent-endpoint` : "agent-endpoint";
}

// -- the event socket ---------------------------------------------------------------------------

const keyOf = (registration) => `${registration.device} ${registration.server}`;
const byKey = (list, key) => new Map(list.map((one) => [key(one), one]));

function receive(frame) {
  if (frame.type === "snapshot") {
    if (frame.run !== state.run) { $("events").replaceChildren(); }
    if (frame.missed) { state.number = frame.number; }
    Object.assign(state, {
      run: frame.run, skew: Date.parse(frame.time) - Date.now(),
      calls: byKey(frame.calls, (call) => call.call),
      devices: byKey(frame.devices, (device) => device.device),
      registrations: byKey(frame.registrations, keyOf),
    });
    askQuality();
    past.look();
  } else {
    state.number = frame.number;
    past.take(frame.event);
    if (frame.call) {
      state.calls.set(frame.call.call, frame.call);
    } else if (frame.fields.call) {
      state.calls.delete(frame.fields.call);
    }
    if (frame.registration) {
      state.registrations.set(keyOf(frame.registration), frame.registration);
      phone.take(frame.registration);
    }
    for (const other of frame.others) { state.calls.set(other.call, other); }
    for (const device of frame.devices) { state.devices.set(device.device, device); }
    if (frame.event === "Failed") { state.failed = frame; tellFailed(); }
    feed(frame);
  }
  follow();
}

let due = false;
function drawSoon() {
  if (due) { return; } else { due = true; }
  requestAnimationFrame(() => { due = false; drawCalls(); drawDevices(); drawOthers(); drawCounts(); drawPhone(); });
}

function show(link, text) {
  $("link").dataset.link = link;
  $("link").lastElementChild.textContent = text;
}

function connect() {
  const place = new URL(`${API}/events`, location.href);
  place.protocol = place.protocol.replace("http", "ws");
  place.searchParams.set("from", state.run ? state.number : -KEPT_EVENTS);
  if (state.run) { place.searchParams.set("run", state.run); }
  const mine = new WebSocket(place, ["agent-endpoint.v1", `bearer.${token}`]);
  const before = socket;
  socket = mine;
  before?.close();
  mine.onopen = () => { if (socket === mine) { retryS = 1; show("live", "live"); } };
  mine.onmessage = (message) => { if (socket === mine) { receive(JSON.parse(message.data)); } };
  mine.onclose = () => { if (socket === mine) { later("connection lost"); } };
}

/** Prove the token first: a refused WebSocket does not say why. */
async function enter() {
  clearTimeout(retry);
  const proven = token;
  try {
    await ask("GET", "/health");
  } catch (error) {
    if (token && token === proven) { later(error instanceof TypeError ? "the endpoint can't be reached" : error.message); }
    return;
  }
  if (token !== proven) { return; }  // signed out meanwhile
  sessionStorage.setItem("token", token);
  $("gate").hidden = true;
  for (const id of ["desk", "counts", "forget"]) { $(id).hidden = false; }
  connect();
  agents.begin();  // whoever is an agent has its session back
  const device = sessionStorage.getItem("telephone");
  if (device && !phone.on) { phone.use(device); }  // the page was reloaded
}

function later(reason) {
  show("lost", `${reason}, trying again in ${retryS} s`);
  clearTimeout(retry);
  retry = setTimeout(enter, retryS * 1000);
  retryS = Math.min(retryS * 2, 15);
}

function leave(reason = "") {
  if (phone.on) { phone.leave(); }
  for (const one of [past, agents]) { one.clear(); }
  token = "";
  clearTimeout(retry);
  sessionStorage.removeItem("token");
  const open = socket;
  socket = null;
  open?.close();
  for (const id of ["desk", "counts", "forget"]) { $(id).hidden = true; }
  $("gate").hidden = false;
  show("off", "not connected");
  own.ask(reason);
}

/** What an agent is let in by ends: with the next one all goes on. */
function renewed(next) {
  token = next;
  sessionStorage.setItem("token", token);
  if (socket) { connect(); }
}

const past = new PastCalls({ send, make, place: $("past"), recordings: $("recordings") });
const agents = new AgentDesk({ ask, make, token: () => token, place: $("agent"), others: $("agents"), api: API });
const phone = new Telephone({ ask, changed: () => { past.of(phone.on ? phone.device : ""); follow(); }, speaker: $("phone-speaker") });

const own = new SignIn({ api: API, form: $("gate-form"), entered: (shown) => { token = shown; enter(); }, renewed });

// -- begin --------------------------------------------------------------------------------------

$("forget").addEventListener("click", () => { own.end(token); leave(); });
$("dial").addEventListener("submit", async (event) => {
  event.preventDefault();
  state.dialled = "";
  const placed = await command("/calls", { device: $("dial-device").value, destination: $("dial-destination").value.trim() });
  if (!placed) { return; }
  $("dial-destination").value = "";
  dialled(placed.call);
});
$("dial-device").addEventListener("change", () => { drawDial(); drawOthers(); });
$("phone-form").addEventListener("submit", (event) => { event.preventDefault(); phone.use($("phone-device").value); });
$("phone-leave").addEventListener("click", () => phone.leave());
$("phone-mute").addEventListener("click", () => {
  const { shown } = ownCalls();
  const wasMuted = phone.muted || Boolean(shown?.party.muted);
  phone.mute(!wasMuted);
  if (wasMuted && shown?.party.muted) { command(pathOf(shown.call, "mute"), { device: phone.device, muted: false }); }
});
document.addEventListener("click", () => { if ($("phone-speaker").srcObject) { phone.hear(); } });
setInterval(drawDurations, 1000);
setInterval(askQuality, QUALITY_EVERY_MS);

const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) { history.replaceState(null, "", location.pathname); }
token = given ?? sessionStorage.getItem("token") ?? "";
if (token) { enter(); } else { leave(); }
