// Which buttons a party of a call gets: from its `commands`, as the endpoint tells them. Draws nothing.

/** What a command is called on its button, and what it posts to. About two calls: the held one asks. */
const COMMANDS = {
  AnswerCall: { label: "Answer", path: "answer", look: "go" },
  RetrieveCall: { label: "Retrieve", path: "retrieve", look: "go" },
  AlternateCall: { label: "Swap", path: "alternate", look: "go", ofTwo: true },
  ReconnectCall: { label: "Back", path: "reconnect", ofTwo: true, title: "leave the other call" },
  ConferenceCall: { label: "Conference", path: "conference", ofTwo: true, title: "bring all of both calls together" },
  TransferCall: { label: "Transfer", path: "transfer", ofTwo: true, title: "bring the others together, and leave" },
  HoldCall: { label: "Hold", path: "hold" },
  SetMicrophoneMute: { label: "Mute", path: "mute" },
  StartRecording: { label: "Record", path: "record" },
  PauseRecording: { label: "Pause recording", path: "pause-recording", title: "as while a card number is told" },
  ResumeRecording: { label: "Go on recording", path: "resume-recording", look: "go" },
  StopRecording: { label: "Stop recording", path: "stop-recording" },
  ClearConnection: { label: "Hang up", path: "clear", look: "end" },
  ClearCall: { label: "End for all", path: "end", look: "end" },
};
/** Commands that need a number. */
export const TO_A_NUMBER = {
  ConsultationCall: { label: "Consult", path: "consult", title: "put the call aside and call" },
  SingleStepTransfer: { label: "Transfer", path: "transfer", title: "leave the call to" },
  SingleStepConference: { label: "Add", path: "add", title: "call into the call" },
  LendCall: { label: "Lend", path: "lend", title: "have back from" },
  DeflectCall: { label: "Send on", path: "deflect", title: "let it ring at" },
  ParkCall: { label: "Park", path: "park", field: "at", title: "leave the call, and let it wait with music at" },
};

export const isIn = (party) => party.state !== "null";
export const isOwnedBy = (device, party) => party.device === device && !party.from_outside;

/** The other call of a device, the one that it talks in first; none where it is in one only. */
function otherCall(calls, call, party) {
  const found = [...calls].filter((one) => one.call !== call.call)
    .flatMap((one) => one.parties.filter((mine) => isOwnedBy(party.device, mine) && isIn(mine)).map((mine) => ({ one, mine })));
  return found.find(({ mine }) => mine.state !== "hold") ?? found[0];
}

/** Whether a button is any use now, beyond what the state allows. */
function isOfUse(name, call, party, other, isHere) {
  if (COMMANDS[name].ofTwo && !other) { return name === "ReconnectCall"; }  // takes back who is lent
  switch (name) {
    case "AlternateCall": return other.mine.state === "connected" && Boolean(other.one.established_at);
    case "ConferenceCall": return Boolean(other.one.established_at);
    case "TransferCall": return party.state === "hold";  // the call that goes on
    case "RetrieveCall": return !other || other.mine.state === "hold";  // else it is swapped
    case "ClearCall": return call.parties.filter(isIn).length > 2;
    case "SetMicrophoneMute": return !isHere;  // a browser closes its microphone
    default: return true;
  }
}

/** The buttons of a party. isHere: this browser is its telephone. */
export function offered(calls, call, party, isHere) {
  const other = otherCall(calls, call, party);
  return Object.entries(COMMANDS)
    .filter(([name]) => party.commands.includes(name) && isOfUse(name, call, party, other, isHere))
    .map(([name, { ofTwo, title = name, ...button }]) => {
      if (ofTwo && other) { return { ...button, title, body: { other: other.one.call } }; }
      if (name === "ClearConnection" && party.state === "alerting") { return { ...button, title, label: "Decline" }; }
      if (name !== "SetMicrophoneMute") { return { ...button, title }; }
      return { ...button, title, label: party.muted ? "Unmute" : "Mute", pressed: String(party.muted), body: { muted: !party.muted } };
    });
}

/** What may be done with a number. In two calls it is first to be decided about these. */
export function namesToANumber(calls, call, party) {
  const hasOther = Boolean(otherCall(calls, call, party));
  const isOfTwo = call.parties.filter((one) => isIn(one) && one.participation === "active").length === 2;
  return Object.keys(TO_A_NUMBER).filter((name) => party.commands.includes(name)
    && (name === "ParkCall" ? isOfTwo : !hasOther || name === "DeflectCall"));
}
