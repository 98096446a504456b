'use strict';

// An audio worklet that finds digits by their pairs of tones (ITU-T Q.23). It is given every sample that the page
// plays, however busy the page's own thread is: a look every few milliseconds from there passed over digits.

const { energy, goertzel } = require('./goertzel.js');

const LOW_HZ = [697, 770, 852, 941];
const HIGH_HZ = [1209, 1336, 1477, 1633];
const KEYS = ['123A', '456B', '789C', '*0#D'];
const WINDOW = 2048;
const LOOK_EVERY = 512; // samples
const SAME_DIGIT_AFTER_S = 0.15; // a tone that a late packet has torn is one digit
const FULL_SHARE = 0.7; // of the energy, that a digit's two tones have when nothing else is heard
const AUDIBLE = 0.005; // root mean square of silence, at most

function presentDigit(samples) {
  const whole = energy(samples);
  if (whole < AUDIBLE ** 2) return null;
  const [row, column] = [LOW_HZ, HIGH_HZ].map(group => {
    const powers = group.map(frequency => goertzel(samples, frequency, sampleRate));
    const most = Math.max(...powers);
    return { index: powers.indexOf(most), power: most };
  });
  const both = row.power + column.power > FULL_SHARE * whole;
  const alike = Math.max(row.power, column.power) < 10 * Math.min(row.power, column.power);
  return both && alike ? KEYS[row.index][column.index] : null;
}

/** Posts each digit that begins; the same one again counts after a pause. */
class Digits extends AudioWorkletProcessor {
  constructor() {
    super();
    this.window = new Float32Array(WINDOW);
    this.unseen = 0;
    this.last = { digit: null, atS: 0 };
  }

  process([[samples]]) {
    if (samples === undefined) return true; // nothing is connected
    this.window.copyWithin(0, samples.length);
    this.window.set(samples, WINDOW - samples.length);
    this.unseen += samples.length;
    if (this.unseen >= LOOK_EVERY) {
      this.unseen = 0;
      this.look();
    }
    return true;
  }

  look() {
    const digit = presentDigit(this.window);
    if (digit === null) return;
    if (digit !== this.last.digit || currentTime - this.last.atS > SAME_DIGIT_AFTER_S) this.port.postMessage(digit);
    this.last = { digit, atS: currentTime };
  }
}

registerProcessor('digits', Digits);
