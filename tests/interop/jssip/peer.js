'use strict';

// JsSIP in node, driven by JSON lines: commands on standard input, replies and events on standard output.
//
//   node peer.js '{"url": …, "uri": …, "password": …, "ca": file, "realm": …, "media": {"host": …, "port": …}}'
//   <- {"id": 1, "do": "call", "target": "sip:6002@…"}
//   -> {"id": 1, "ok": true}   {"event": "confirmed"}   {"event": "remote_sdp", "type": "answer", "sdp": …}
//
// Whoever drives it owns the media: the stand-in for RTCPeerConnection hands over a plain RTP description of the host
// and port given, and tells the far end's description.

const fs = require('node:fs');
const readline = require('node:readline');
const NodeWebSocket = require('ws');

const settings = JSON.parse(process.argv[2]);

const tell = message => process.stdout.write(JSON.stringify(message) + '\n');

class TrustingWebSocket extends NodeWebSocket {
  constructor(url, protocols) {
    const tls = settings.ca ? { ca: fs.readFileSync(settings.ca) } : {};
    super(url, protocols, { ...tls, headers: settings.origin ? { Origin: settings.origin } : {} });
    this.on('error', error => tell({ event: 'socket_error', text: error.message }));
  }
}

const directionOf = sdp => (/^a=(sendrecv|sendonly|recvonly|inactive)\r?$/m.exec(sdp) ?? [, 'sendrecv'])[1];
// RFC 3264 §6.1: what an answer may say to each offer.
const ANSWER_TO = { sendrecv: 'sendrecv', sendonly: 'recvonly', recvonly: 'sendonly', inactive: 'inactive' };

class PlainRtpConnection extends EventTarget {
  constructor() {
    super();
    this.signalingState = 'stable';
    this.iceConnectionState = 'connected';
    this.iceGatheringState = 'complete';
    this.localDescription = null;
    this.remoteDescription = null;
    this.version = 0;
    this.senders = [];
  }

  describe(direction) {
    this.version += 1;
    const { host, port } = settings.media;
    return [
      'v=0',
      `o=- 1 ${this.version} IN IP4 ${host}`,
      's=-',
      `c=IN IP4 ${host}`,
      't=0 0',
      `m=audio ${port} RTP/AVP 0 101`,
      'a=rtpmap:0 PCMU/8000',
      'a=rtpmap:101 telephone-event/8000',
      'a=fmtp:101 0-15',
      'a=ptime:20',
      `a=${direction}`,
      '',
    ].join('\r\n');
  }

  async createOffer() {
    return { type: 'offer', sdp: this.describe('sendrecv') };
  }

  async createAnswer() {
    return { type: 'answer', sdp: this.describe(ANSWER_TO[directionOf(this.remoteDescription.sdp)]) };
  }

  async setLocalDescription(description) {
    this.localDescription = description;
    this.signalingState = description.type === 'offer' ? 'have-local-offer' : 'stable';
  }

  async setRemoteDescription(description) {
    if (!/^m=audio [1-9]\d* RTP\/AVP .*\b0\b/m.test(description.sdp)) {
      throw new Error('no PCMU over plain RTP in the description');
    }
    this.remoteDescription = description;
    this.signalingState = description.type === 'offer' ? 'have-remote-offer' : 'stable';
    tell({ event: 'remote_sdp', type: description.type, sdp: description.sdp });
  }

  addTrack(track) {
    const dtmf = { insertDTMF: tones => tell({ event: 'insert_dtmf', tones }) };
    this.senders.push({ track, dtmf });
  }

  getSenders() {
    return this.senders;
  }

  close() {
    this.signalingState = 'closed';
    this.iceConnectionState = 'closed';
  }
}

globalThis.window = globalThis;
globalThis.WebSocket = TrustingWebSocket;
globalThis.RTCPeerConnection = PlainRtpConnection;
globalThis.RTCSessionDescription = class {
  constructor({ type, sdp }) {
    this.type = type;
    this.sdp = sdp;
  }
};
const microphone = { getTracks: () => [{ kind: 'audio', enabled: true, stop() {} }] };

const makePhone = require('./phone.js');

const COMMANDS = makePhone(settings, tell, () => ({ mediaStream: microphone }));

readline.createInterface({ input: process.stdin }).on('line', async line => {
  const command = JSON.parse(line);
  try {
    const result = await COMMANDS[command.do](command);
    tell({ id: command.id, ok: true, result: typeof result === 'boolean' ? result : null });
  } catch (error) {
    tell({ id: command.id, ok: false, text: String(error.stack ?? error) });
  }
}).on('close', () => process.exit(0));

tell({ event: 'ready', version: makePhone.version });
