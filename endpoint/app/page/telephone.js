// This browser as a device's telephone: its microphone and loudspeaker by WebRTC, negotiated over HTTPS.
// The session stays up between calls. What rings and who answers is the page's business.

const GATHER_MS = 2000;
const AGAIN_MS = 2000;
const RING_HZ = [440, 554];
const RING_S = { on: 0.9, every: 2.6 };

/** Causes after which a new session may do better. */
const PASSING = new Set(["media_timeout", "media_lost"]);

const MICROPHONE = {
  NotAllowedError: "The microphone was refused. Allow it for this page in the browser, then try again.",
  NotFoundError: "No microphone was found. Plug one in, then try again.",
  NotReadableError: "The microphone can't be opened: another program may have it.",
};

export class Telephone {
  /** ask(method, path, body): a request of the interface. changed(): something is to be drawn anew. */
  constructor({ ask, changed, speaker }) {
    Object.assign(this, { ask, changed, speaker });
    this.device = "";
    this.state = "off";  // asking, connecting, ready, lost
    this.fault = "";
    this.muted = false;
    this.talking = false;
    this.attempt = 0;  // of which what comes late is told apart
  }

  get on() { return this.state !== "off"; }

  /** Become this device's telephone. */
  async use(device) {
    this.end();
    Object.assign(this, { device, fault: "" });
    const attempt = this.attempt;
    if (!window.isSecureContext || !navigator.mediaDevices) {
      this.fail("Browsers open a microphone only for pages that come by https, or from localhost.");
      return;
    }
    this.become("asking");
    try {
      const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
      if (attempt !== this.attempt) { stop(microphone); return; }
      this.microphone = microphone;
    } catch (error) {
      if (attempt === this.attempt) { this.fail(MICROPHONE[error.name] ?? `The microphone can't be opened: ${error.message}`); }
      return;
    }
    this.microphone.getAudioTracks()[0].onended = () => this.fail("The microphone was taken away.");
    sessionStorage.setItem("telephone", device);
    await this.begin();
  }

  /** Be no telephone any more. A call ends. */
  leave() {
    const session = this.session;
    this.end();
    sessionStorage.removeItem("telephone");
    this.changed();
    if (session) { this.ask("DELETE", session).catch(() => {}); }
  }

  mute(muted) {
    this.muted = muted;
    this.open();
    this.changed();
  }

  /** The microphone is open in a call alone. */
  talk(talking) {
    this.talking = talking;
    this.open();
  }

  /** What the endpoint tells of a registration: another page may have taken over. */
  take(registration) {
    if (!this.session || registration.server !== "browser" || registration.device !== this.device) { return; }
    if (registration.contact === this.media) {
      this.isKnown = true;
    } else if (this.isKnown && registration.registered) {
      this.yield();
    } else if (this.isKnown) {
      if (PASSING.has(registration.cause)) { this.again(); } else { this.fail(registration.text); }
    }
  }

  ring(ringing) {
    if (ringing === Boolean(this.bell)) { return; }
    clearInterval(this.bell);
    this.bell = 0;
    if (!ringing) { return; }
    this.sounds ??= new AudioContext();
    this.bell = setInterval(() => this.strike(), RING_S.every * 1000);
    this.strike();
  }

  // -- the session ------------------------------------------------------------------------------

  async begin() {
    const connection = this.connect();
    this.become("connecting");
    try {
      await gathered(connection);
      const media = await this.ask("POST", `/devices/${encodeURIComponent(this.device)}/media`, { sdp: connection.localDescription.sdp });
      const session = `/devices/${encodeURIComponent(this.device)}/media/${media.media}`;
      if (connection !== this.connection) {  // left meanwhile
        this.ask("DELETE", session).catch(() => {});
        return;
      }
      Object.assign(this, { session, media: media.media });
      await connection.setRemoteDescription({ type: "answer", sdp: media.sdp });
    } catch (error) {
      if (connection !== this.connection) { return; }
      if (isPassing(error)) { this.later(() => this.begin()); } else { this.fail(error.message); }
    }
  }

  connect() {
    this.connection?.close();
    const connection = new RTCPeerConnection();
    Object.assign(this, { connection, session: "", media: "", isKnown: false });
    for (const track of this.microphone.getTracks()) { connection.addTrack(track, this.microphone); }
    this.open();
    connection.ontrack = ({ track }) => {
      this.speaker.srcObject = new MediaStream([track]);
      this.hear();
    };
    connection.onconnectionstatechange = () => { if (connection === this.connection) { this.moved(connection.connectionState); } };
    return connection;
  }

  moved(state) {
    if (state === "connected") {
      this.become("ready");
    } else if (state === "failed" && this.state === "connecting") {
      this.leave();
      this.fail("No way for audio was found: a firewall between, or media.ice_servers is needed.");
    } else if (state === "disconnected" || state === "failed") {
      this.restart();
    }
  }

  /** Play what comes: a page that was loaded anew may do so only after a click. */
  async hear() {
    let fault = "";
    try {
      await this.speaker.play();
    } catch (error) {
      if (error.name !== "NotAllowedError") { return; }
      fault = "Click anywhere in the page to hear calls.";
    }
    if (this.on && this.fault !== fault) { this.fault = fault; this.changed(); }
  }

  /** Look for a new way for the audio, under the call. */
  async restart() {
    const connection = this.connection;
    clearTimeout(this.waiting);
    this.become("lost");
    try {
      connection.restartIce();
      await gathered(connection);
      if (connection !== this.connection) { return; }  // this.session is another's by now
      const media = await this.ask("PUT", this.session, { sdp: connection.localDescription.sdp });
      if (connection !== this.connection) { return; }
      await connection.setRemoteDescription({ type: "answer", sdp: media.sdp });
      // Where the old way works still, nothing else tells.
      if (connection.connectionState === "connected") { this.moved("connected"); }
    } catch (error) {
      if (connection !== this.connection) { return; }
      if (isPassing(error)) { this.later(() => this.restart()); } else if (error.status === 410) { this.yield(); } else { this.again(); }
    }
  }

  /** The session is over, or can't be mended: another one, with its call if that still waits. */
  again() {
    this.become("lost");
    this.begin();
  }

  yield() {
    this.fail(`Another page is ${this.device}'s telephone now.`);
  }

  later(step) {
    this.become("lost");
    clearTimeout(this.waiting);
    this.waiting = setTimeout(step, AGAIN_MS);
  }

  fail(text) {
    this.end();
    sessionStorage.removeItem("telephone");
    this.fault = text;
    this.changed();
  }

  end() {
    this.attempt += 1;
    clearTimeout(this.waiting);
    this.ring(false);
    this.connection?.close();
    if (this.microphone) { stop(this.microphone); }
    this.speaker.srcObject = null;
    Object.assign(this, { state: "off", connection: null, microphone: null, session: "", media: "", muted: false });
  }

  open() {
    for (const track of this.microphone?.getAudioTracks() ?? []) { track.enabled = this.talking && !this.muted; }
  }

  become(state) {
    this.state = state;
    this.changed();
  }

  strike() {
    const now = this.sounds.currentTime;
    const gain = new GainNode(this.sounds, { gain: 0 });
    gain.connect(this.sounds.destination);
    gain.gain.setTargetAtTime(0.12, now, 0.02);
    gain.gain.setTargetAtTime(0, now + RING_S.on, 0.05);
    for (const frequency of RING_HZ) {
      const tone = new OscillatorNode(this.sounds, { frequency });
      tone.connect(gain);
      tone.start(now);
      tone.stop(now + RING_S.on + 0.4);
    }
  }
}

/** Offer, with all candidates: there are few where no server is asked. */
async function gathered(connection) {
  await connection.setLocalDescription();
  if (connection.iceGatheringState === "complete") { return; }
  await new Promise((done) => {
    setTimeout(done, GATHER_MS);
    connection.onicegatheringstatechange = () => { if (connection.iceGatheringState === "complete") { done(); } };
  });
}

/** The network, or the media process, is away for a moment. */
function isPassing(error) {
  return error instanceof TypeError || error.status === 503;
}

function stop(microphone) {
  for (const track of microphone.getTracks()) {
    track.onended = null;
    track.stop();
  }
}
