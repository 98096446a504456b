'use strict';

// A host that has every callback, and notes each. `confirms`: what its user answers where another
// page has the agent; null: it has no such callback.

const host = confirms =>
  new Proxy(
    {},
    {
      get: (_, name) => {
        if (name === 'onTrace') return () => {};
        if (!String(name).startsWith('on')) return undefined;
        if (name === 'onConfirmReplaceWebSocket' && confirms === null) return undefined;
        return (...values) => {
          note(name, ...values);
          if (name === 'onConfirmReplaceWebSocket' && confirms) phone.init();
        };
      },
    },
  );

window.begin = (attrs, confirms) => {
  window.phone = new WSSoftPhone(attrs, host(confirms));
  phone.connectServer();
};

window.pull = async ms => {
  await until(() => heard.length > 0, ms);
  return heard.splice(0);
};

window.enabled = () => {
  const setting = phone.getStateSetting();
  return setting ? setting.functions.filter(each => each.enabled).map(each => each.id) : [];
};

/** What the script makes of frames, one after the other: what it threw, called and sent. */
window.judge = (attrs, frames, confirms) => {
  window.WebSocket = Fake;
  window.phone = new WSSoftPhone(attrs, host(confirms));
  phone.connectServer();
  return frames.map(data => {
    heard.length = sent.length = 0;
    let threw = null;
    try {
      phone.ws.onmessage({ data });
    } catch (error) {
      threw = error.name;
    }
    return { threw, heard: heard.splice(0), sent: sent.splice(0), state: phone.agentState };
  });
};
