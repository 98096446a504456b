'use strict';

// The page of the browser peer: a JsSIP telephone, or a bare RTCPeerConnection, driven over a WebSocket of the server
// that the page came from by the same JSON as peer.js.

const makePhone = require('../phone.js');
const Ear = require('./ear.js');

const driver = new WebSocket(`ws://${location.host}/driver`);
const element = id => document.getElementById(id);

function tell(event) {
  driver.send(JSON.stringify(event));
  const line = document.createElement('li');
  line.textContent = Object.values(event).filter(value => value !== null).join(' ');
  element('events').append(line);
  element('events').scrollTop = element('events').scrollHeight;
  element('state').textContent = line.textContent;
}

addEventListener('error', ({ message }) => tell({ event: 'page_error', text: message }));
addEventListener('unhandledrejection', ({ reason }) => tell({ event: 'page_error', text: String(reason) }));

const ear = new Ear();
let microphone = null;
let connection = null; // the call's, or the bare one

function onConnection(made) {
  connection = made;
  made.addEventListener('track', ({ track }) => {
    const stream = new MediaStream([track]);
    element('remote').srcObject = stream; // without a player, Chromium decodes nothing
    ear.listen(stream);
  });
  made.addEventListener('connectionstatechange', () => tell({ event: 'connection', state: made.connectionState }));
}

const RTC = { iceServers: [] };

/** Our description once it holds all candidates; `anew` where there are some to be gathered. */
async function described(made, anew) {
  const gathered = new Promise(done =>
    made.addEventListener('icecandidate', ({ candidate }) => candidate === null && done()));
  await made.setLocalDescription();
  if (anew) await gathered;
  return made.localDescription.sdp;
}

function bareConnection() {
  if (connection === null) onConnection(new RTCPeerConnection(RTC));
  return connection;
}

function prefer(transceiver, encodings) {
  const known = RTCRtpReceiver.getCapabilities('audio').codecs;
  transceiver.setCodecPreferences(encodings.flatMap(
    encoding => known.filter(({ mimeType }) => mimeType.toLowerCase() === `audio/${encoding.toLowerCase()}`)));
}

/** {name: value} of what a test asks about a connection, from its getStats. */
async function statistics() {
  const all = [...(await connection.getStats()).values()];
  const one = type => all.find(row => row.type === type) ?? {};
  const codec = row => all.find(({ id }) => id === row.codecId)?.mimeType.replace('audio/', '') ?? null;
  const [inbound, outbound] = [one('inbound-rtp'), one('outbound-rtp')];
  const transport = one('transport');
  const pair = all.find(({ id }) => id === transport.selectedCandidatePairId) ?? {};
  const candidate = id => all.find(row => row.id === id)?.candidateType ?? null;
  return {
    receives: codec(inbound),
    sends: codec(outbound),
    packets_received: inbound.packetsReceived ?? 0,
    packets_lost: inbound.packetsLost ?? 0,
    packets_sent: outbound.packetsSent ?? 0,
    jitter_s: inbound.jitter ?? null,
    concealed: inbound.concealedSamples ?? null,
    round_trip_s: one('remote-inbound-rtp').roundTripTime ?? null,
    ice_ufrag: transport.iceLocalUsernameFragment ?? null,
    dtls_role: transport.dtlsRole ?? null,
    srtp: transport.srtpCipher ?? null,
    local_candidate: candidate(pair.localCandidateId),
    remote_candidate: candidate(pair.remoteCandidateId),
  };
}

const DRAW_EVERY_MS = 200;
const SILENCE_DBOV = -60;

/** A meter for each frequency. */
function showLevels(frequencies) {
  const rows = frequencies.map(frequency => {
    const meter = document.createElement('meter');
    Object.assign(meter, { min: SILENCE_DBOV, max: 0, ariaLabel: `${frequency} Hz` });
    const [name, level] = [0, 1].map(() => document.createElement('span'));
    name.textContent = `${frequency} Hz`;
    element('levels').append(name, meter, level);
    return { meter, level };
  });
  setInterval(() => {
    ear.measure(frequencies).powers.forEach((power, index) => {
      const dbov = Math.max(10 * Math.log10(power), SILENCE_DBOV);
      rows[index].meter.value = dbov;
      rows[index].level.textContent = dbov > SILENCE_DBOV ? `${dbov.toFixed(0)} dBov` : '';
    });
  }, DRAW_EVERY_MS);
}

let phone = null;

const COMMANDS = {
  // {"microphone": …} false: a page that was granted nothing
  open: async ({ title, microphone: wanted, frequencies_hz: frequencies }) => {
    element('who').textContent = document.title = title;
    await ear.findDigits(digit => tell({ event: 'digit_heard', digit }));
    showLevels(frequencies);
    if (wanted) {
      microphone = await navigator.mediaDevices.getUserMedia(
        { audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
    }
    return makePhone.version;
  },
  account: ({ settings }) => {
    phone = makePhone(settings, tell, () => ({ mediaStream: microphone, pcConfig: RTC }), onConnection);
  },
  measure: ({ frequencies_hz: frequencies }) => ear.measure(frequencies),
  statistics,
  offer: async ({ encodings, restart }) => {
    const made = bareConnection();
    if (!made.getTransceivers().length) {
      const direction = microphone ? 'sendrecv' : 'recvonly';
      const transceiver = made.addTransceiver(microphone?.getAudioTracks()[0] ?? 'audio', { direction });
      if (encodings) prefer(transceiver, encodings);
    }
    if (restart) made.restartIce();
    return described(made, restart || made.localDescription === null);
  },
  take_answer: ({ sdp }) => connection.setRemoteDescription({ type: 'answer', sdp }),
  take_offer: async ({ sdp }) => {
    const made = bareConnection();
    await made.setRemoteDescription({ type: 'offer', sdp });
    const [transceiver] = made.getTransceivers();
    if (microphone && !transceiver.sender.track) {
      await transceiver.sender.replaceTrack(microphone.getAudioTracks()[0]);
      transceiver.direction = 'sendrecv';
    }
    return described(made, made.localDescription === null);
  },
  press: ({ digits }) => connection.getSenders()[0].dtmf.insertDTMF(digits, 100, 70),
  close: () => connection.close(),
};

driver.addEventListener('message', async ({ data }) => {
  const { id, do: name, ...given } = JSON.parse(data);
  try {
    const result = await (COMMANDS[name] ?? phone[name])(given);
    driver.send(JSON.stringify({ id, ok: true, result: result ?? null }));
  } catch (error) {
    driver.send(JSON.stringify({ id, ok: false, text: String(error.stack ?? error) }));
  }
});
