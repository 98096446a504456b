// What a device may do about calls of others, by what the endpoint tells of both. Draws nothing.

import { isIn, isOwnedBy } from "./commands.js";

const WAYS = { silent: ["Listen", "nobody there hears it"], whisper: ["Whisper", "is heard by it alone"], active: ["Barge in", "is heard by all"] };

const isAmong = (device, names) => names.some((name) => (name.endsWith("*") ? device.startsWith(name.slice(0, -1)) : device === name));
const talksIn = (call) => call.parties.filter((one) => isIn(one) && one.participation === "active" && !one.parked_by);

/** Every party that a device may join, replace, drop or pick up for: `{ call, party, text, buttons }`. */
export function callsOfOthers(calls, me) {
  return [...calls].flatMap((call) => call.parties.filter(isIn).map((party) => {
    const buttons = party.of_others.includes("DirectedPickupCall") ? pickUp(call, party, me) : supervise(call, party, me);
    return { call, party, text: said(call, party), buttons };
  })).filter(({ buttons }) => buttons.length);
}

function pickUp(call, party, me) {
  const whose = [party.device, party.parked_by].filter(Boolean);
  const isOurs = party.parked_by ? whose.includes(me.device) : false;
  const may = isOurs || whose.some((one) => isAmong(one, me.picks_up));
  if (me.calls.length || !may || (!party.parked_by && isOwnedBy(me.device, party))) { return []; }
  return [{ label: "Pick up", path: "pickup", look: "go", title: "takes the call", body: { beside: party.device } }];
}

function supervise(call, party, me) {
  const mine = call.parties.find((one) => isOwnedBy(me.device, one) && isIn(one));
  const isThere = Boolean(mine?.beside) && mine.state === "connected";
  if (party === mine || party.from_outside || !isAmong(party.device, me.supervises)) { return []; }
  const beside = { beside: party.device };
  const joins = Object.entries(WAYS).map(([participation, [label, title]]) => ({
    label, title, path: "join", body: { ...beside, participation },
    pressed: isThere ? String(mine.participation === participation && mine.beside === party.device) : undefined,
  }));
  const isFree = !me.calls.length || isThere;
  return [
    ...(isFree && party.of_others.includes("JoinCall") ? joins : []),
    ...(isFree && party.of_others.includes("InterceptCall") ? [{ label: "Take over", title: "takes its place", path: "intercept", body: beside }] : []),
    ...(party.of_others.includes("ClearConnection") && call.established_at
      ? [{ label: "Drop", title: "drops it", look: "end", path: "clear", body: { connection: party.connection } }] : []),
  ];
}

function said(call, party) {
  const others = talksIn(call).filter((one) => one !== party).map((one) => one.device).join(", ") || call.calling;
  if (party.parked_by) { return `${others} waits at ${party.device}`; }
  return party.state === "alerting" ? `${others} rings at ${party.device}` : `${party.device} with ${others}`;
}

/** Who may drop a party that is no device of ours, where more than it would leave: whoever talks there. */
export function dropper(call, party, prefers) {
  const able = talksIn(call).filter((one) => one !== party && one.commands.includes("ClearCall"));
  if (party.commands.length || talksIn(call).length < 3 || !party.of_others.includes("ClearConnection")) { return undefined; }
  return able.find(prefers) ?? able[0];
}

/** Who of ours may give a call data. */
export function giver(call, prefers) {
  const able = call.parties.filter((one) => one.commands.includes("AssociateData"));
  return able.find(prefers) ?? able[0];
}
