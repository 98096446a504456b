'use strict';

// A JsSIP user agent that is driven by commands and tells events, in node and in a browser alike.
//
//   settings {"url", "uri", "password", "realm"};  tell(event);  media(): options of its calls;
//   onConnection(RTCPeerConnection): one was made for a call
//
// Returns the commands that it takes, by name.

const JsSIP = require('jssip');

module.exports = function makePhone(settings, tell, media, onConnection = () => {}) {
  if (settings.trace) JsSIP.debug.enable('JsSIP:*');

  const phone = new JsSIP.UA({
    sockets: [new JsSIP.WebSocketInterface(settings.url)],
    uri: settings.uri,
    password: settings.password,
    realm: settings.realm,
    register: false,
    register_expires: 120,
    session_timers: false,
  });

  let session = null;
  const live = [];

  phone.on('connected', () => tell({ event: 'connected' }));
  phone.on('disconnected', ({ code, reason }) => tell({ event: 'disconnected', code, reason }));
  phone.on('registered', ({ response }) => tell({ event: 'registered', status: response.status_code }));
  phone.on('unregistered', ({ cause }) => tell({ event: 'unregistered', cause }));
  phone.on('registrationFailed', ({ response, cause }) =>
    tell({ event: 'registration_failed', cause, status: response?.status_code ?? null }));

  phone.on('newRTCSession', ({ originator, session: started, request }) => {
    session = started;
    live.push(started);
    if (started.connection) onConnection(started.connection);
    else started.on('peerconnection', ({ peerconnection }) => onConnection(peerconnection));
    const peer = started.remote_identity.uri.user;
    if (originator === 'remote') tell({ event: 'incoming', peer, call_id: request.call_id });
    started.on('progress', ({ originator: by, response }) => {
      if (by === 'remote') tell({ event: 'progress', status: response.status_code });
    });
    started.on('accepted', () => tell({ event: 'accepted' }));
    started.on('confirmed', ({ originator: by }) => tell({ event: 'confirmed', by }));
    started.on('hold', ({ originator: by }) => tell({ event: 'hold', by }));
    started.on('unhold', ({ originator: by }) => tell({ event: 'unhold', by }));
    started.on('newDTMF', ({ originator: by, dtmf }) => tell({ event: 'dtmf', by, digit: dtmf.tone }));
    const over = name => ({ originator: by, cause, message }) => {
      live.splice(live.indexOf(started), 1);
      tell({ event: name, by, cause, status: message?.status_code ?? null });
    };
    started.on('ended', over('ended'));
    started.on('failed', over('failed'));
  });

  return {
    start: () => phone.start(),
    register: () => phone.register(),
    unregister: () => phone.unregister({ all: true }),
    call: ({ target }) => void phone.call(target, media()),
    answer: () => session.answer(media()),
    reject: ({ status }) => session.terminate({ status_code: status }),
    // The outcome of its re-INVITE, or UPDATE, is the reply: true once the far end has agreed.
    hold: ({ update }) => new Promise(done => session.hold({ useUpdate: update }, () => done(true)) || done(false)),
    unhold: ({ update }) => new Promise(done => session.unhold({ useUpdate: update }, () => done(true)) || done(false)),
    restart_ice: () => new Promise(done =>
      session.renegotiate({ rtcOfferConstraints: { iceRestart: true } }, () => done(true)) || done(false)),
    dtmf: ({ digits, transport }) =>
      session.sendDTMF(digits, { transportType: transport, duration: 100, interToneGap: 70 }),
    // Sends its first call elsewhere; with `attended`, to whom its last call is with (Replaces).
    refer: ({ target, attended }) => {
      const said = what => ({ response, request, status_line: line }) => tell({
        event: 'refer', what, status: line?.status_code ?? response?.status_code ?? null,
      });
      const names = ['requestSucceeded', 'requestFailed', 'trying', 'progress', 'accepted', 'failed'];
      const eventHandlers = Object.fromEntries(names.map(name => [name, said(name)]));
      const replaces = attended ? live.at(-1) : undefined;
      return Boolean(live[0].refer(target, { replaces, eventHandlers }));
    },
    hang_up: () => session.terminate(),
    drop: () => phone.transport.socket.disconnect(),
    stop: () => phone.stop(),
  };
};
module.exports.version = JsSIP.version;
