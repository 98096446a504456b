'use strict';

// Stands in for BasicCall's SPCommand.js and WSSoftPhone.js where those are not beside the page: the same
// object, functions and callbacks as far as this page needs them, and the same frames on the wire.

window.SPCommand = class {
  constructor(phone, command) {
    Object.assign(this, { command, objectClass: 'SPCommand', delegatorId: phone.delegatorId, ins: phone.ins, params: {} });
  }

  pushParams(key, value) {
    this.params[key] = value;
  }

  toString() {
    return JSON.stringify(this);
  }
};

/** Functions that send a command and no more: its name, and those of their arguments. */
const COMMANDS = {
  logoff: 'Logoff', resumeWork: 'ResumeWork', hold: 'Hold', fetchHold: 'FetchHold', answerCall: 'AnswerCall',
  prepareDial: 'PrepareDial', cancelPrepareDial: 'CancelPrepareDial', dial: 'Dial phoneNum ani',
  encryptDial: 'EncryptDial prefix phoneNum encryptMode ani', cancelDial: 'CancelDial', dropCall: 'DropCall',
  finishWrapup: 'FinishWrapup', consult: 'Consult destSPType destSPIns', cancelConsult: 'CancelConsult',
  finishConsult: 'FinishConsult', consultTransfer: 'ConsultTransfer', consultSwap: 'ConsultSwap',
  consultSwapBack: 'ConsultSwapBack', consultConf: 'ConsultConf', dropConf: 'DropConf', cancelWait: 'CancelWait',
  prepareCallInner: 'PrepareCallInner', cancelPrepareCallInner: 'CancelPrepareCallInner',
  callInner: 'CallInner destSPType destSPIns', cancelCallInner: 'CancelCallInner',
  prepareMonitor: 'PrepareMonitor', cancelPrepareMonitor: 'CancelPrepareMonitor',
  monitorAgent: 'MonitorAgent destSPType destSPIns', finishMonitor: 'FinishMonitor', intervene: 'Intervence',
  intercept: 'Intercept', forceDrop: 'ForceDrop', setFunctionSwitch: 'SetFunctionSwitch functionCode isOn',
};
const LISTS = {
  prepareConsult: 'CONSULT', refreshCallInnerAgentList: 'CALLINNER', refreshTransferAgentList: 'TRANSFER',
  refreshMonitorAgentList: 'MONITOR', agentMsg: 'AGENTMSG', prepareMonitorContorl: 'MONITORCONTROL',
};
const FUNCTIONS = {
  1: 'logon', 2: 'logoff', 3: 'prepareDial', 4: 'prepareCallInner', 5: 'prepareMonitor', 6: 'hold', 7: 'prepareConsult',
  8: 'prepareCallout', 10: 'dropCall', 11: 'fetchHold', 12: 'cancelDial', 13: 'cancelConsult', 14: 'finishConsult',
  15: 'consultTransfer', 16: 'consultSwap', 17: 'consultConf', 18: 'consultSwapBack', 20: 'consultSwap',
  21: 'consultTransfer', 22: 'finishConsult', 23: 'consultSwapBack', 25: 'forceDrop', 26: 'intercept', 27: 'intervene',
  28: 'finishMonitor', 31: 'finishWrapup', 33: 'leave', 34: 'resumeWork', 35: 'cancelCallInner', 37: 'agentMsg',
  38: 'cancelPrepareDial', 39: 'cancelPrepareMonitor', 40: 'cancelPrepareCallInner', 41: 'consultConf', 42: 'answerCall',
  48: 'dropConf', 52: 'cancelWait', 68: 'prepareMonitorContorl',
};
/** Events that replace what is known of the call, and those with a callback of their name. */
const OF_CALLS = ['CallArrive', 'DialBegin', 'DialSucc', 'ConsultStart', 'ConsultSucc', 'ConsultFailed', 'ConsultOver'];
const PLAIN = [
  'PrepareDialSucc', 'DevConnected', 'DevDisconnected', 'IVRCheckReturn', 'WaitCallOver', 'InterceptSucc', 'InterveneSucc',
  'ForceDropSucc', 'WebSocketReplaced',
];
const LIST_SETTINGS = [
  'stateSettings', 'workModeSettings', 'leaveReasonSettings', 'transferSubItems', 'transferIVRInfo', 'transferAgentSkillInfo',
  'ivrButtonSettings',
];
const parsed = list => (typeof list === 'string' ? JSON.parse(list) : list);

window.WSSoftPhone = class {
  constructor(attrs, eventHandler) {
    Object.assign(this, { delegatorId: '', softPhoneCode: '', agentState: '0', agentWorkMode: '', leaveReason: '0' }, attrs);
    Object.assign(this, { eventHandler, ws: null, coInfos: {}, tempCOInfos: {}, queueList: [], stateSettings: null });
  }

  // -- the connection

  connectServer() {
    let opened = false;
    this.ws = new WebSocket(this.serverUri);
    if (this.serverUri2) [this.serverUri, this.serverUri2] = [this.serverUri2, this.serverUri];
    this.ws.onopen = () => {
      opened = true;
      this.tell('onWSOpen');
      this.send('CheckWebSocket', { agentName: this.agentName, delegatorId: this.delegatorId });
    };
    this.ws.onmessage = ({ data }) => {
      const frame = JSON.parse(data);
      if (frame.objectClass === 'SPResponse') this.respond(frame);
      else if (frame.ins === this.ins) this.heed(frame);
    };
    this.ws.onclose = () => {
      this.ws = null;
      this.tell('onWSClose');
      if (!opened) this.tell('onWSConnectFailed');
    };
  }

  close() {
    this.ws?.close();
  }

  send(command, params = {}) {
    if (this.ws?.readyState !== WebSocket.OPEN) return;
    const frame = new SPCommand(this, command);
    frame.params = { agentId: this.agentId, ...params };
    this.ws.send(frame.toString());
  }

  tell(name, ...values) {
    this.eventHandler[name]?.apply(this, values);
  }

  // -- functions that are more than a command

  init() {
    this.send('Init', { agentName: this.agentName, delegatorId: this.delegatorId });
  }

  logon() {
    const { agentName, agentWorkMode, softPhoneCode } = this;
    this.send('Logon', { agentName, agentWorkMode, softPhoneCode });
  }

  callSPFunction(id) {
    this[FUNCTIONS[id]]?.();
  }

  setWorkMode(workMode) {
    this.agentWorkMode = workMode;
    if (['0', '1'].includes(this.agentState)) this.tell('onWorkModeChange', workMode);
    else this.send('SetWorkMode', { workMode });
  }

  leave(leaveReason = '0') {
    this.leaveReason = leaveReason;
    this.send('Leave', { leaveReason });
  }

  prepareCallout() {
    this.tell('onPrepareCallOutSucc');
  }

  callout(number) {
    this.consult('OUT', number);
  }

  oneStepTransfer({ destType, destIns, params }) {
    this.send('OneStepTransfer', { destType, destIns, ...params, ...this.tempCOInfos });
  }

  transferToIVR({ svn, checkPassword, params }) {
    this.send('TransferToIVR', { SVN: svn, TRANSFERPREPARE_CHECKPASSWORD: checkPassword, ...params, ...this.tempCOInfos });
  }

  monitorControl(controlType, destSPIns, extraControlParam) {
    if (controlType === '0') this.monitorAgent('AGT', destSPIns);
    else this.send('MonitorControl', { destSPType: 'AGT', destSPIns, controlType, extraControlParam });
  }

  wsHello(helloInfo) {
    this.send('WSHello', { helloInfo, time: new Date().toLocaleString() });
  }

  setCOInfo(key, value) {
    this.tempCOInfos[key] = value;
  }

  // -- what it knows

  getStateSetting() {
    return this.stateSettings?.find(({ state }) => String(state) === this.agentState) ?? null;
  }

  getCoInfos() {
    return this.coInfos;
  }

  getQueueList() {
    return this.queueList;
  }

  getAgentWorkModeName(mode = this.agentWorkMode) {
    const known = this.workModeSettings?.find(({ serviceWorkMode }) => String(serviceWorkMode) === mode);
    return known?.serviceWorkModeName ?? getWorkModeName(mode);
  }

  // -- what it is told

  respond({ command, errorCode, errorDesc, datas, agentInfos }) {
    if (errorCode !== 'Succ') {
      this.tell('onShowTip', `${command} failed: ${errorDesc || errorCode}`);
    } else if (command === 'CheckWebSocket') {
      if (datas.isWebSocketExists && this.eventHandler.onConfirmReplaceWebSocket) this.tell('onConfirmReplaceWebSocket');
      else this.init();
    } else if (command === 'Init') {
      this.delegatorId = datas.delegatorId;
      this.tell('onInited', this.delegatorId);
      this.be(datas);
      this.tell('onStateChange', this.agentState);
      this.switches(agentInfos);
    } else if (command === 'Logon') {
      this.delegatorId = datas.delegatorId;
    } else if (command === 'SetFunctionSwitch') {
      this.tell('onFunctionSwitch', datas.functionCode, true, datas.isOn === 'true');
    } else if (command === 'WSHello') {
      this.tell('onWSHello');
    }
  }

  heed(event) {
    const { event: name, agentInfos, coInfos, params, errorCode, errorDesc } = event;
    if (OF_CALLS.includes(name)) {
      this.coInfos = coInfos;
      if (name === 'CallArrive' && this.isAutoAnswer && this.canAutoAnswer) setTimeout(() => this.answerCall(), 200);
      this.tell(`on${name}`, coInfos);
    } else if (PLAIN.includes(name)) {
      this.tell(`on${name}`);
    } else if (name === 'SettingsNotify') {
      for (const key of LIST_SETTINGS) this[key] = parsed(params[key]);
      this.tell('onNotifySettings');
      this.tell('onStateChange', this.agentState);
    } else if (name === 'StateChange') {
      this.be(agentInfos);
      if (this.agentState === '3') Object.assign(this, { coInfos: {}, tempCOInfos: {} });
      this.tell('onStateChange', this.agentState);
    } else if (name === 'WorkModeChange') {
      this.be(agentInfos);
      this.tell('onWorkModeChange', this.agentWorkMode);
    } else if (name === 'QueueChange') {
      this.queueList = parsed(params.queueList);
      this.tell('onQueueChange', this.queueList);
    } else if (name === 'RefreshAgentListSucc') {
      this.tell('onRefreshAgentListSucc', JSON.parse(params.agentList));
    } else if (name === 'PrepareCallInnerSucc') {
      this.refreshCallInnerAgentList();
    } else if (name === 'PrepareMonitorSucc') {
      this.refreshMonitorAgentList();
    } else if (name === 'LogonSucc') {
      this.switches(agentInfos);
      this.canAutoAnswer = agentInfos.isDigitalDevice === 'true';
      this.tell('onLogonSucc', this.ins);
    } else if (name === 'LogonFailed') {
      this.tell('onLogonFailed', this.ins, errorCode, errorDesc);
    } else if (name === 'LogoffSucc') {
      this.tell('onLogoffSucc', this.ins);
    } else if (name === 'DialFailed' || name === 'OneStepTransferFailed') {
      this.tell(`on${name}`, errorCode);
    }
    if (name === 'WrapupTick') this.tell('onShowTip', `wrap-up ends in ${params.tick} s`);
    else if (errorCode) this.tell('onShowTip', `${name.replace('Failed', ' failed')}: ${errorDesc || errorCode}`);
    else if (name.endsWith('Succ')) this.tell('onShowTip', name.slice(0, -4));
    this.tell('onEvent', event);
  }

  be({ agentState, agentWorkMode }) {
    this.agentState = agentState === '0' ? '1' : agentState;
    this.agentWorkMode = agentWorkMode;
  }

  switches({ canKeepLogon, isKeepLogon }) {
    this.tell('onFunctionSwitch', 'KeepLogon', canKeepLogon === 'true', canKeepLogon === 'true' && isKeepLogon === 'true');
  }
};

for (const [name, text] of Object.entries(COMMANDS)) {
  const [command, ...keys] = text.split(' ');
  WSSoftPhone.prototype[name] = function (...given) {
    this.send(command, Object.fromEntries(keys.map((key, at) => [key, given[at]]).filter(([, value]) => value !== undefined)));
  };
}
for (const [name, kind] of Object.entries(LISTS)) {
  WSSoftPhone.prototype[name] = function () {
    this.send('RefreshAgentList', { agentListType: `AGENTLISTTYPE_${kind}` });
  };
}
