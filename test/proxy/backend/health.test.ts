import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FailOpenGate, Health, HealthState } from "../../../src/proxy/backend/health.ts";
import { ManualClock } from "../../support/fakes/manual-clock.ts";

const CONFIG = { timeoutsUntilTko: 3, firstProbeMs: 250, lastProbeMs: 5_000, failOpen: null };

/** A health whose probes are counted and answered by hand. */
function start(random = () => 0) {
  const clock = new ManualClock();
  const states: HealthState[] = [];
  const probesMs: number[] = [];
  const health = new Health(CONFIG, clock, random);
  const member = {
    probe: () => void probesMs.push(clock.nowMs()),
    changed: (state: HealthState) => void states.push(state),
  };
  health.join(member);
  return { clock, states, probesMs, health, member };
}

describe("Health of a backend", () => {
  it("enters soft TKO after the configured number of timeouts in a row", () => {
    const { health, states } = start();
    health.timedOut();
    health.timedOut();
    expect(health.state).toBe(HealthState.up);
    health.timedOut();
    expect(states).toEqual([HealthState.soft]);
  });

  it("counts only requests' timeouts while it is up if probes are ignored, as in mcrouter", () => {
    const health = new Health({ ...CONFIG, timeoutsUntilTko: 1, ignoresProbes: true }, new ManualClock(), () => 0);
    for (let i = 0; i < 5; i++) health.timedOut(true);
    expect([health.state, health.failures]).toEqual([HealthState.up, 0]);
    health.timedOut();
    expect([health.state, health.failures]).toEqual([HealthState.soft, 1]);
    health.timedOut(true);
    expect(health.failures).toBe(2);
  });

  it("stays out of use and unprobed while it is drained, whatever replies say", () => {
    const { health, states, clock, probesMs } = start();
    health.drain();
    expect(states).toEqual([HealthState.hard]);
    clock.advance(100_000);
    health.probeSucceeded();
    expect([health.state, probesMs]).toEqual([HealthState.hard, []]);
    health.undrain();
    expect(states).toEqual([HealthState.hard, HealthState.up]);
    health.connectFailed();
    clock.advance(1_000);
    expect(probesMs).toHaveLength(1);
  });

  it("stays dead after a drain of a dead server, and counts once for the limit of dead servers", () => {
    const clock = new ManualClock();
    const gate = new FailOpenGate({ upper: 2, lower: 1 });
    const [one, two] = [0, 1].map(() => new Health(CONFIG, clock, () => 0, gate));
    const member = { probe: () => {}, changed: () => {} };
    one!.join(member);
    two!.join(member);
    one!.connectFailed();
    one!.drain();
    one!.undrain();
    expect(one!.state).toBe(HealthState.up);
    // The gate has room for one dead server again.
    two!.connectFailed();
    expect(two!.state).toBe(HealthState.hard);
  });

  it("restarts the count after a reply", () => {
    const { health } = start();
    for (let i = 0; i < 10; i++) {
      health.timedOut();
      health.timedOut();
      health.answered();
    }
    expect(health.state).toBe(HealthState.up);
  });

  it("counts the failures since the last success, which for a dead server is an answered probe", () => {
    const { health } = start();
    health.timedOut();
    expect(health.failures).toBe(1);
    health.answered();
    expect(health.failures).toBe(0);
    health.connectionAwaited();
    health.connectFailed();
    health.timedOut();
    health.answered();
    expect(health.failures).toBe(3);
    health.probeSucceeded();
    expect(health.failures).toBe(0);
  });

  it("enters hard TKO when a connection cannot be made, both from up and from soft TKO", () => {
    const first = start();
    first.health.connectFailed();
    expect(first.states).toEqual([HealthState.hard]);
    const second = start();
    for (let i = 0; i < CONFIG.timeoutsUntilTko; i++) second.health.timedOut();
    second.health.connectFailed();
    expect(second.states).toEqual([HealthState.soft, HealthState.hard]);
  });

  it("starts one probe, and another only when the probe has failed", () => {
    const { health, clock, probesMs } = start();
    health.connectFailed();
    clock.advance(60_000);
    expect(probesMs.length).toBe(1);
    health.probeFailed();
    clock.advance(60_000);
    expect(probesMs.length).toBe(2);
  });

  it("probes less and less often, but at least every 7.5 seconds", () => {
    const { health, clock, probesMs } = start(() => 0.999);
    health.connectFailed();
    for (let i = 0; i < 20; i++) {
      clock.advance(7_500);
      health.probeFailed();
    }
    clock.advance(7_500);
    expect(probesMs.length).toBe(21);
    expect(probesMs[0]!).toBeLessThan(400);
  });

  it("is up again as soon as a probe is answered, and starts over", () => {
    const { health, clock, states, probesMs } = start();
    health.connectFailed();
    clock.advance(1_000);
    health.probeSucceeded();
    expect(states).toEqual([HealthState.hard, HealthState.up]);
    clock.advance(60_000);
    expect(probesMs.length).toBe(1);
    health.timedOut();
    health.timedOut();
    expect(health.state).toBe(HealthState.up);
  });

  it("starts no probe without a backend", () => {
    const { health, clock, probesMs, member } = start();
    health.connectFailed();
    health.leave(member);
    clock.advance(60_000);
    expect(probesMs).toEqual([]);
  });

  it("lets another backend of the server probe when the first has left, even with its probe in flight", () => {
    const { health, clock, probesMs, member } = start();
    const others: number[] = [];
    health.join({ probe: () => void others.push(clock.nowMs()), changed: () => {} });
    health.connectFailed();
    clock.advance(60_000);
    expect([probesMs.length, others.length]).toEqual([1, 0]);
    health.leave(member);
    clock.advance(60_000);
    expect([probesMs.length, others.length]).toEqual([1, 1]);
  });

  it("does not enter TKO while too many servers of its pool are in TKO", () => {
    const clock = new ManualClock();
    const gate = new FailOpenGate({ upper: 2, lower: 1 });
    const [first, second, third] = [1, 2, 3].map(() => new Health(CONFIG, clock, () => 0, gate));
    for (const health of [first!, second!, third!]) health.connectFailed();
    expect([first!.state, second!.state, third!.state]).toEqual([HealthState.hard, HealthState.hard, HealthState.up]);
    first!.probeSucceeded();
    third!.connectFailed();
    expect(third!.state).toBe(HealthState.up);
    second!.probeSucceeded();
    third!.connectFailed();
    expect(third!.state).toBe(HealthState.hard);
  });

  it("never enters TKO when TKO is disabled", () => {
    const health = new Health({ ...CONFIG, timeoutsUntilTko: null }, new ManualClock(), () => 0);
    for (let i = 0; i < 10; i++) health.timedOut();
    health.connectFailed();
    expect(health.state).toBe(HealthState.up);
  });

  it("has at most one probe pending, none while up, and exactly one pending or in flight while down", () => {
    const step = fc.constantFrom("answered", "timedOut", "connectFailed", "probeAnswered", "advance");
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 60 }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (steps, random) => {
          const { health, clock, probesMs } = start(() => random);
          let answeredProbes = 0;
          for (const [i, name] of steps.entries()) {
            if (name === "answered") health.answered();
            else if (name === "timedOut") health.timedOut();
            else if (name === "connectFailed") health.connectFailed();
            else if (name === "advance") clock.advance(8_000);
            else if (probesMs.length > answeredProbes) {
              answeredProbes++;
              if (i % 2 === 0) health.probeFailed();
              else health.probeSucceeded();
            }
            expect(probesMs.length - answeredProbes).toBeLessThanOrEqual(1);
          }
          if (health.state === HealthState.up) answeredProbes = probesMs.length;
          const before = probesMs.length;
          clock.advance(8_000);
          const isDown = health.state !== HealthState.up;
          expect(probesMs.length - before).toBe(isDown && before === answeredProbes ? 1 : 0);
        },
      ),
    );
  });
});
