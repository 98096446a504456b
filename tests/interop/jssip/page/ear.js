'use strict';

// What the page hears of a remote stream: tones by Goertzel.

const { energy, goertzel } = require('./goertzel.js');

const TONE_WINDOW = 16384;

module.exports = class Ear {
  constructor() {
    this.context = new AudioContext();
    this.analyser = new AnalyserNode(this.context, { fftSize: TONE_WINDOW, smoothingTimeConstant: 0 });
    this.sinks = [this.analyser];
    this.source = null;
  }

  /** onDigit(key): once for each digit that begins; the same one again counts after a pause. */
  async findDigits(onDigit) {
    await this.context.audioWorklet.addModule('/digits.js');
    const digits = new AudioWorkletNode(this.context, 'digits', { numberOfOutputs: 0 });
    digits.port.onmessage = ({ data }) => onDigit(data);
    this.sinks.push(digits);
  }

  listen(stream) {
    this.source?.disconnect();
    this.source = new MediaStreamAudioSourceNode(this.context, { mediaStream: stream });
    for (const sink of this.sinks) this.source.connect(sink);
  }

  /** Mean power as a whole and of each frequency, of the last third of a second; full scale is 1. */
  measure(frequenciesHz) {
    const samples = new Float32Array(this.analyser.fftSize);
    this.analyser.getFloatTimeDomainData(samples);
    return {
      energy: energy(samples),
      powers: frequenciesHz.map(frequency => goertzel(samples, frequency, this.context.sampleRate)),
    };
  }
};
