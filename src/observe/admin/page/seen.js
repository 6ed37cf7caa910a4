/** What the server has told: samples of each second, and its last states. Rates are computed from the states. */

export const MAX_SECONDS = 3600;
/** Rates are over the last few states, so that they do not flicker. */
const RATE_STATES = 5;

export const seen = {
  /** By second, oldest first. */
  samples: [],
  /** The last states with the time at which they came. */
  states: [],
};

/** Adds what the server told this second. */
export function note({ sample, state }) {
  // A restarted server counts from 0 again.
  if (seen.states.length > 0 && state.uptimeSeconds < seen.states.at(-1).state.uptimeSeconds) seen.states = [];
  seen.states.push({ atMs: performance.now(), state });
  if (seen.states.length > RATE_STATES) seen.states.shift();
  if (sample !== null && sample.unixSeconds > (seen.samples.at(-1)?.unixSeconds ?? 0)) seen.samples.push(sample);
  if (seen.samples.length > MAX_SECONDS) seen.samples.splice(0, seen.samples.length - MAX_SECONDS);
}

/** `amountOf(state)` per second. `null` if it is unknown. A restarted server begins at 0 again. */
export function rate(amountOf) {
  if (seen.states.length < 2) return null;
  const [first, last] = [seen.states[0], seen.states.at(-1)];
  const [before, now] = [amountOf(first.state), amountOf(last.state)];
  if (before === undefined || now === undefined || now < before) return null;
  return (now - before) / ((last.atMs - first.atMs) / 1000);
}

export function rateOf(list, isSame, field) {
  return rate((state) => {
    const item = state[list].find(isSame);
    return item === undefined ? undefined : item[field];
  });
}
