// A page of a CRM with BasicCall's soft phone in it, as its manual has it: one object, and callbacks.
// BasicCall's own scripts are used where they lie beside this page, else standin.js.

import { ask, drawButtons, note, showButtons, showCall, showLink, showQueue, showState, showTip, STATES } from './view.js';

const $ = id => document.getElementById(id);
const AGAIN_MS = 3000;
const HELLO_MS = 5000;

// Names that BasicCall's locale file has.
window.getStateName = state => STATES[state] ?? `state ${state}`;
window.getWorkModeName = mode => `work mode ${mode}`;

const load = src =>
  new Promise((done, failed) => {
    const script = Object.assign(document.createElement('script'), { src, onload: done, onerror: failed });
    document.head.append(script);
  });

try {
  await load('SPCommand.js');
  await load('WSSoftPhone.js');
  $('script').textContent = 'WSSoftPhone.js';
} catch {
  await load('standin.js');
  $('script').textContent = 'standin.js';
}

let phone = null;
let wanted = false; // by the user: else a lost connection is not made again

function refresh() {
  const mode = phone.workModeSettings ? phone.getAgentWorkModeName() : '';
  showState(phone.agentState, mode);
  showButtons(phone.ws && phone.getStateSetting());
  showCall(phone.getCoInfos());
}

// -- what the soft phone tells: each of these is a place for what a CRM does -----------------------

const told = {
  onInited: delegatorId => sessionStorage.setItem('delegatorId', delegatorId), // it brings the session back
  onNotifySettings: () => refresh(),
  onStateChange: () => refresh(),
  onWorkModeChange: () => refresh(),
  onLogonSucc: () => {},
  onLogonFailed: (ins, code, text) => showTip(`log-on failed: ${text}`),
  onLogoffSucc: () => {},
  onShowTip: text => showTip(text),
  onQueueChange: list => showQueue(list),
  onCallArrive: infos => showCall(infos), // pop up the customer's page here
  onDevConnected: () => {},
  onDevDisconnected: () => {},
  onDialBegin: infos => showCall(infos),
  onDialSucc: infos => showCall(infos),
  onDialFailed: () => {},
  onConsultStart: infos => showCall(infos),
  onConsultSucc: infos => showCall(infos),
  onConsultFailed: infos => showCall(infos),
  onConsultOver: infos => showCall(infos),
  onOneStepTransferFailed: () => {},
  onIVRCheckReturn: () => {},
  onWaitCallOver: () => {},
  onInterceptSucc: () => {},
  onInterveneSucc: () => {},
  onForceDropSucc: () => {},
  onPrepareDialSucc: () =>
    ask({
      title: 'Dial',
      field: 'Number',
      check: 'Hide it from agents',
      acts: { Dial: (number, hide) => (hide ? phone.encryptDial('', number, '1') : phone.dial(number)) },
      otherwise: () => phone.cancelPrepareDial(),
    }),
  onPrepareCallOutSucc: () =>
    ask({ title: 'Ask somebody outside', field: 'Number', acts: { Consult: number => phone.callout(number) } }),
  onRefreshAgentListSucc: list => choose(list),
  onConfirmReplaceWebSocket: () =>
    ask({
      title: 'Another page has this agent. Replace it?',
      acts: { Replace: () => phone.init() },
      otherwise: () => close(),
    }),
  onWebSocketReplaced: () => {
    wanted = false;
    showButtons(null);
    showTip('Another page has taken over. Connect, to have the agent back.');
  },
  onFunctionSwitch: (code, isSupported, isOn) => {
    $('keep').disabled = !isSupported;
    $('keep').checked = isOn;
  },
  onWSOpen: () => showLink('live', 'connected'),
  onWSClose: () => {
    showLink(wanted ? 'lost' : 'off', wanted ? 'lost, connecting again…' : 'not connected');
    showState('0', '');
    showButtons(null);
    if (wanted) setTimeout(() => wanted && phone.connectServer(), AGAIN_MS);
  },
  onWSConnectFailed: () => showTip(`${form.elements.serverUri.value} can't be reached, or admits no page of ${location.origin}`),
};

const SILENT = ['onShowTip', 'onNotifySettings', 'onFunctionSwitch', 'onWSHello', 'onTrace', 'onEvent'];
const handler = {
  onTrace: () => {},
  onWSHello: () => {},
  onEvent: event => {
    // What the script has no callback for: everything, and so messages of other agents.
    if (event.event === 'AgentMsg') showTip(`${event.params.agentName}: ${event.params.message}`);
    if (event.event === 'AgentMsg' || event.errorCode) note(event.event, event.errorDesc || event.params.message);
  },
};
for (const [name, act] of Object.entries(told)) {
  handler[name] = function (...values) {
    if (this !== phone && this !== handler) return; // of one that this page had before
    if (!SILENT.includes(name)) note(name, ...(name === 'onInited' ? [] : values));
    act(...values);
  };
}

// -- what the user asks ----------------------------------------------------------------------------

function choose({ agentListType, items }) {
  const kind = agentListType.replace('AGENTLISTTYPE_', '');
  const type = ({ itemType }) => (itemType === '1' ? 'AGT' : 'EXT');
  const acts = {
    CONSULT: one => ({ Consult: () => phone.consult(type(one), one.ins) }),
    CALLINNER: one => ({ Call: () => phone.callInner(type(one), one.ins) }),
    MONITOR: one => ({ Listen: () => phone.monitorAgent(type(one), one.ins) }),
    TRANSFER: one => ({ Transfer: () => phone.oneStepTransfer({ destType: type(one), destIns: one.ins, params: {} }) }),
    AGENTMSG: one => ({ Send: text => send('SendAgentMsg', { destSPType: 'AGT', destSPIns: one.ins, message: text }) }),
    MONITORCONTROL: one => ({
      Listen: () => phone.monitorControl('0', one.ins, ''),
      'Log off': () => phone.monitorControl('1', one.ins, '0'),
      Away: () => phone.monitorControl('2', one.ins, '0'),
      Back: () => phone.monitorControl('3', one.ins, '0'),
      'Finish wrap-up': () => phone.monitorControl('4', one.ins, '0'),
      'Take calls': () => phone.monitorControl('5', one.ins, '0'),
    }),
  }[kind];
  const back = { CALLINNER: () => phone.cancelPrepareCallInner(), MONITOR: () => phone.cancelPrepareMonitor() };
  ask({
    title: items.length ? 'Choose' : 'There is nobody',
    field: kind === 'AGENTMSG' && items.length ? 'Message' : '',
    rows: items.map(one => ({
      label: one.agentName || one.ins,
      detail: one.itemType === '1' ? `${one.workID} at ${one.ins}, ${getStateName(one.state)}` : one.calst === '32' ? 'free' : 'in a call',
      acts: acts(one),
    })),
    otherwise: back[kind],
  });
}

/** A command that the script has no function for. */
function send(command, params) {
  const frame = new SPCommand(phone, command);
  for (const [key, value] of Object.entries({ agentId: phone.agentId, ...params })) frame.pushParams(key, value);
  phone.ws.send(frame.toString());
}

function transferMenu() {
  const to = (destType, destIns) => phone.oneStepTransfer({ destType, destIns, params: {} });
  ask({
    title: 'Transfer',
    field: 'Number outside',
    rows: [
      ...(phone.transferIVRInfo ?? []).map(({ svn, name, checkPassword }) => ({
        label: name,
        detail: checkPassword ? `IVR ${svn}, and back` : `IVR ${svn}`,
        acts: { Transfer: () => phone.transferToIVR({ svn, checkPassword, params: {} }) },
      })),
      ...(phone.transferAgentSkillInfo ?? []).map(({ skillCode, skillName }) => ({
        label: skillName,
        detail: `queue ${skillCode}`,
        acts: { Transfer: () => to('SK', skillCode) },
      })),
      { label: 'A colleague', acts: { 'Choose…': () => phone.refreshTransferAgentList() } },
    ],
    acts: { 'Transfer outside': number => number && to('OUT', number) },
  });
}

const visible = list => (list ?? []).filter(each => String(each.visible) === '1');
const own = {
  9: transferMenu,
  33: () =>
    ask({
      title: 'Leave',
      rows: visible(phone.leaveReasonSettings).map(({ reasonId, reasonName }) => ({
        label: reasonName,
        acts: { Leave: () => phone.leave(String(reasonId)) },
      })),
    }),
  36: () =>
    ask({
      title: 'Work mode',
      rows: visible(phone.workModeSettings).map(({ serviceWorkMode, serviceWorkModeName }) => ({
        label: serviceWorkModeName,
        acts: { Choose: () => phone.setWorkMode(String(serviceWorkMode)) },
      })),
    }),
};

drawButtons(id => (own[id] ? own[id]() : phone.callSPFunction(id)));

function close() {
  wanted = false;
  phone?.close();
}

const form = $('connection');
const asked = new URLSearchParams(location.search);
const kept = JSON.parse(localStorage.getItem('connection') ?? '{}');
const defaults = { serverUri: 'ws://127.0.0.1:8887/', agentId: '1001', ins: '6001', ...kept, ...Object.fromEntries(asked) };
for (const name of ['serverUri', 'agentId', 'ins']) form.elements[name].value = defaults[name];

function connect() {
  const { serverUri, agentId, ins, softPhoneCode, isAutoAnswer } = form.elements;
  const attrs = { serverUri: serverUri.value, agentId: agentId.value.trim(), ins: ins.value.trim() };
  localStorage.setItem('connection', JSON.stringify(attrs));
  const whose = `${attrs.agentId} ${attrs.ins}`;
  if (sessionStorage.getItem('whose') !== whose) sessionStorage.removeItem('delegatorId');
  sessionStorage.setItem('whose', whose);
  close();
  phone = new WSSoftPhone(
    {
      ...attrs,
      agentName: attrs.agentId,
      softPhoneCode: softPhoneCode.value,
      isAutoAnswer: isAutoAnswer.checked,
      delegatorId: sessionStorage.getItem('delegatorId') ?? '',
    },
    handler,
  );
  window.phone = phone; // to be looked at in the console
  wanted = true;
  showLink('lost', 'connecting…');
  phone.connectServer();
}

form.onsubmit = event => {
  event.preventDefault();
  connect();
};
$('close').onclick = close;
$('keep').onchange = event => phone.setFunctionSwitch('KeepLogon', event.target.checked);
$('data').onsubmit = event => {
  event.preventDefault();
  const { key, value } = event.target.elements;
  phone?.setCOInfo(key.value, value.value);
  note('setCOInfo', key.value, value.value);
  event.target.reset();
};
setInterval(() => phone?.ws && phone.wsHello('here'), HELLO_MS);
showState('0', '');
showCall(null);
showQueue([]);
if (sessionStorage.getItem('delegatorId')) connect(); // the page was loaded anew
document.body.dataset.ready = 'yes';
