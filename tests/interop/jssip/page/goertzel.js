'use strict';

// Power by Goertzel, for the page and for its audio worklet.

/** Mean power of a sine at this frequency in the window: half its amplitude squared. */
function goertzel(samples, frequencyHz, rateHz) {
  const c = 2 * Math.cos((2 * Math.PI * frequencyHz) / rateHz);
  let before = 0;
  let last = 0;
  for (const sample of samples) [before, last] = [last, sample + c * last - before];
  return (2 * (last * last + before * before - c * last * before)) / (samples.length * samples.length);
}

const energy = samples => samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;

module.exports = { energy, goertzel };
