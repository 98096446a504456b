// What the page shows. It knows nothing of the soft phone.

const $ = id => document.getElementById(id);

/** Every button of the soft phone, by its number (ESPFunc), in the order of work. */
const GROUPS = {
  Agent: [[1, 'Log on'], [2, 'Log off'], [33, 'Leave'], [34, 'Resume'], [36, 'Work mode'], [37, 'Message']],
  Call: [
    [42, 'Answer'], [10, 'Hang up'], [3, 'Dial'], [38, 'Cancel'], [6, 'Hold'], [11, 'Take back'], [9, 'Transfer…'],
    [12, 'Cancel dial'], [48, 'End three-way'], [52, 'Stop waiting'], [31, 'End wrap-up'],
  ],
  'Ask a colleague': [
    [7, 'Consult'], [13, 'Cancel'], [16, 'Swap'], [18, 'Swap back'], [17, 'Three-way'], [15, 'Transfer'], [14, 'Finish'],
  ],
  'Ask somebody outside': [
    [8, 'Consult'], [20, 'Swap'], [23, 'Swap back'], [41, 'Three-way'], [21, 'Transfer'], [22, 'Finish'],
  ],
  'Call a colleague': [[4, 'Call'], [40, 'Cancel'], [35, 'Cancel call']],
  Supervise: [
    [5, 'Listen'], [39, 'Cancel'], [28, 'Stop'], [27, 'Come in'], [26, 'Take over'], [25, 'End their call'],
    [68, 'Control'],
  ],
};
const ENDS = new Set([2, 10, 12, 13, 25, 28, 35, 48]);

export const STATES = {
  0: 'not connected', 1: 'logged off', 3: 'idle', 5: 'ringing', 6: 'in a call', 7: 'on hold', 8: 'dialling…',
  9: 'calling', 10: 'calling a colleague', 11: 'asking a colleague', 12: 'back with the customer',
  13: 'calling outside', 14: 'asking outside', 15: 'back with the customer', 16: 'choosing whom to hear',
  17: 'listening', 18: 'in their call', 19: 'wrap-up', 20: 'being asked', 21: 'conference', 22: 'conference',
  23: 'away', 24: 'choosing a colleague', 25: 'calling a colleague', 26: 'with a colleague',
  27: 'picking up', 30: 'conference', 31: 'customer at an IVR', 32: 'transferring', 34: 'telephone is away',
  38: 'put on hold', 41: 'on hold', 42: 'put on hold',
};
const KINDS = { 0: 'off', 1: 'off', 3: 'free', 19: 'away', 23: 'away', 34: 'away' };

function node(name, text, ...children) {
  const made = document.createElement(name);
  made.textContent = text;
  made.append(...children);
  return made;
}

/** Draw all buttons; `press` is called with the number of the one that is pressed. */
export function drawButtons(press) {
  for (const [title, buttons] of Object.entries(GROUPS)) {
    const group = node('div', '', node('h3', title));
    group.className = 'group';
    for (const [id, label] of buttons) {
      const button = node('button', label, node('small', String(id)));
      button.dataset.id = id;
      button.disabled = true;
      if (ENDS.has(id)) button.className = 'end';
      button.onclick = () => press(id);
      group.append(button);
    }
    $('groups').append(group);
  }
}

/** `setting` is what getStateSetting() gives: it alone says what can be pressed. */
export function showButtons(setting) {
  const enabled = new Set((setting?.functions ?? []).filter(each => each.enabled).map(each => String(each.id)));
  for (const button of document.querySelectorAll('#groups button')) button.disabled = !enabled.has(button.dataset.id);
}

let since = Date.now();

export function showState(state, mode) {
  const name = STATES[state] ?? `state ${state}`;
  if ($('state').textContent !== name) since = Date.now();
  $('state').textContent = name;
  $('agent').dataset.kind = KINDS[state] ?? 'busy';
  $('agent').dataset.state = state;
  $('mode').textContent = mode;
}

setInterval(() => {
  const seconds = Math.floor((Date.now() - since) / 1000);
  const two = value => String(value % 60).padStart(2, '0');
  $('lasts').textContent = `${two(Math.floor(seconds / 60))}:${two(seconds)}`;
}, 1000);

export function showTip(text) {
  $('tip').textContent = text;
  $('tip').toggleAttribute('data-bad', /失败|错误|failed|can't/.test(text));
}

export function showLink(link, text) {
  $('link').dataset.link = link;
  $('link').textContent = text;
  $('close').disabled = link === 'off';
}

const SHOWN = { ANI: 'from', DNIS: 'to', SK: 'queue', IT: 'since', COID: 'call' };
const SILENT = new Set(['17', 'CN0_UserPhoneNum', 'CN2_ChannelANI', 'IVRROOT', 'TASKPR', 'tenantID', ...Object.keys(SHOWN)]);

/** The pop-up: who it is, what is known of the call, and all data that goes with it. */
export function showCall(infos) {
  const is = Object.keys(infos ?? {}).length > 0;
  $('call').toggleAttribute('data-on', is);
  $('number').textContent = is ? infos.CN0_UserPhoneNum || infos.ANI : 'no call';
  const rows = is ? Object.entries(SHOWN).map(([key, label]) => [label, infos[key]]) : [];
  if (is) rows.push(...Object.entries(infos).filter(([key]) => !SILENT.has(key)));
  $('co-infos').replaceChildren(...rows.filter(([, value]) => value).flatMap(([key, value]) => [node('dt', key), node('dd', value)]));
}

export function showQueue(list) {
  $('nobody').hidden = list.length > 0;
  $('queue').replaceChildren(
    ...list.map(({ ani, sk, aid, qtm }) =>
      node('tr', '', node('td', ani), node('td', sk), node('td', aid && `rings at ${aid}`), node('td', `${qtm} s`)),
    ),
  );
}

export function note(name, ...values) {
  const text = values.filter(value => value !== undefined).map(value => (typeof value === 'object' ? JSON.stringify(value) : value)).join(' ');
  $('log').prepend(node('li', '', node('time', new Date().toLocaleTimeString()), Object.assign(node('span', `${name} ${text}`), { title: text })));
  while ($('log').children.length > 200) $('log').lastChild.remove();
}

/**
 * Ask the user: `rows` are {label, detail, acts: {text: act}}, `field` and `check` are labels of what can be
 * typed and ticked, `acts` are below. An act is given what was typed, and whether the box was ticked.
 * `otherwise` is done when the user wants none of it.
 */
export function ask({ title, rows = [], field = '', check = '', acts = {}, otherwise = () => {} }) {
  const dialog = $('ask');
  if (dialog.open) dialog.close();
  let chosen = false;
  const button = ([text, act]) => {
    const made = node('button', text);
    made.value = 'done';
    made.onclick = () => {
      chosen = true;
      act($('ask-field').value.trim(), $('ask-box').checked);
    };
    return made;
  };
  $('ask-title').textContent = title;
  for (const [id, text] of [['ask-label', field], ['ask-check', check]]) {
    $(id).hidden = !text;
    $(id).querySelector('span').textContent = text;
  }
  $('ask-field').value = '';
  $('ask-box').checked = false;
  $('ask-rows').replaceChildren(
    ...rows.map(({ label, detail = '', acts: own }) =>
      node('li', '', node('span', label, node('small', detail)), ...Object.entries(own).map(button)),
    ),
  );
  const below = Object.entries(acts).map(button);
  below.forEach(each => (each.className = 'main'));
  const never = node('button', 'Cancel');
  never.formNoValidate = true;
  $('ask-acts').replaceChildren(...below, never);
  dialog.onclose = () => chosen || otherwise();
  dialog.showModal();
  (field ? $('ask-field') : never).focus();
}
