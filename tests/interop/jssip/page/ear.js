'use strict';

// What the page hears of a remote stream: tones by Goertzel, digits by their pairs of tones.

const LOW_HZ = [697, 770, 852, 941];
const HIGH_HZ = [1209, 1336, 1477, 1633];
const KEYS = ['123A', '456B', '789C', '*0#D'];
const LOOK_EVERY_MS = 20;
const DIGIT_WINDOW = 2048;
const SAME_DIGIT_AFTER_MS = 150; // a tone that a late packet has torn is one digit
const TONE_WINDOW = 16384;
const FULL_SHARE = 0.7; // of the energy, that a digit's two tones have when nothing else is heard
const AUDIBLE = 0.005; // root mean square of silence, at most

/** Mean power of a sine at this frequency in the window: half its amplitude squared. */
function goertzel(samples, frequencyHz, rateHz) {
  const c = 2 * Math.cos((2 * Math.PI * frequencyHz) / rateHz);
  let before = 0;
  let last = 0;
  for (const sample of samples) [before, last] = [last, sample + c * last - before];
  return (2 * (last * last + before * before - c * last * before)) / (samples.length * samples.length);
}

const energy = samples => samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;

module.exports = class Ear {
  /** onDigit(key): once for each digit that begins; the same one again counts after a pause. */
  constructor(onDigit) {
    this.context = new AudioContext();
    this.analysers = [TONE_WINDOW, DIGIT_WINDOW].map(
      fftSize => new AnalyserNode(this.context, { fftSize, smoothingTimeConstant: 0 }));
    this.source = null;
    let last = { digit: null, atMs: 0 };
    setInterval(() => {
      const digit = this.presentDigit();
      if (digit === null) return;
      const atMs = performance.now();
      if (digit !== last.digit || atMs - last.atMs > SAME_DIGIT_AFTER_MS) onDigit(digit);
      last = { digit, atMs };
    }, LOOK_EVERY_MS);
  }

  listen(stream) {
    this.source?.disconnect();
    this.source = new MediaStreamAudioSourceNode(this.context, { mediaStream: stream });
    for (const analyser of this.analysers) this.source.connect(analyser);
  }

  /** Mean power as a whole and of each frequency, of the last third of a second; full scale is 1. */
  measure(frequenciesHz) {
    const samples = this.samples(this.analysers[0]);
    return {
      energy: energy(samples),
      powers: frequenciesHz.map(frequency => goertzel(samples, frequency, this.context.sampleRate)),
    };
  }

  presentDigit() {
    const samples = this.samples(this.analysers[1]);
    const whole = energy(samples);
    if (whole < AUDIBLE ** 2) return null;
    const [row, column] = [LOW_HZ, HIGH_HZ].map(group => {
      const powers = group.map(frequency => goertzel(samples, frequency, this.context.sampleRate));
      const most = Math.max(...powers);
      return { index: powers.indexOf(most), power: most };
    });
    const both = row.power + column.power > FULL_SHARE * whole;
    const alike = Math.max(row.power, column.power) < 10 * Math.min(row.power, column.power);
    return both && alike ? KEYS[row.index][column.index] : null;
  }

  samples(analyser) {
    const samples = new Float32Array(analyser.fftSize);
    analyser.getFloatTimeDomainData(samples);
    return samples;
  }
};
