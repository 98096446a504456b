'use strict';

// What a CRM's page has beside BasicCall's two scripts: names of states and work modes. And what a
// test looks at: the frames of its socket. `Fake` is a socket without a server, for single frames.

window.getStateName = state => `state ${state}`;
window.getWorkModeName = mode => `mode ${mode}`;

window.heard = [];
window.sent = [];
window.note = (name, ...values) => {
  heard.push([name, values.map(value => JSON.parse(JSON.stringify(value ?? null)))]);
};
window.addEventListener('error', event => note('error', event.message));

window.Real = window.WebSocket;
window.WebSocket = class extends Real {
  constructor(uri) {
    super(uri);
    this.addEventListener('message', ({ data }) => {
      const frame = JSON.parse(data);
      note('frame', data);
      if (frame.objectClass === 'SPResponse' && frame.errorCode !== 'Succ') note('refused', frame);
    });
  }

  send(text) {
    sent.push(JSON.parse(text));
    super.send(text);
  }
};
window.Fake = class {
  constructor() {
    this.readyState = this.OPEN = 1;
  }

  send(text) {
    sent.push(JSON.parse(text));
  }
};
