/**
 * The current rules and pool, and their meaning for a flight that began under an earlier configuration
 * (docs/architecture.md, "Reloads: fills and refreshes"). One object is shared by all parts of the filler; `replace`
 * changes it.
 */
import type { Flight } from "./flight.ts";
import type { PoolPort } from "./pool/pool-port.ts";
import { isSameOrigin, type Rules } from "./rules.ts";

export class Current {
  rules: Rules;
  port: PoolPort;

  constructor(rules: Rules, port: PoolPort) {
    this.rules = rules;
    this.port = port;
  }

  replace(rules: Rules, port: PoolPort): void {
    this.rules = rules;
    this.port = port;
  }

  /**
   * Gives the flight the current rule. A reload may have come while the flight waited for its turn or its lease:
   * nothing has been fetched with the old rule, whose source may be closed by now. Returns false if no rule fills the
   * key any more.
   */
  renewRule(flight: Flight): boolean {
    if (flight.rules === this.rules) return true;
    const match = this.rules.match(flight.key);
    if (match === null || match.rule.config.mode !== "on") return false;
    flight.rules = this.rules;
    flight.rule = match.rule;
    flight.captures = match.captures;
    return true;
  }

  /**
   * False if a reload has changed the source or the destination of the key's values: then nothing of this flight is
   * remembered.
   */
  isOrigin(flight: Flight): boolean {
    if (flight.port !== this.port) return false;
    if (flight.rules === this.rules) return true;
    const now = this.rules.match(flight.key)?.rule;
    return now !== undefined && isSameOrigin(flight.rule, now);
  }
}
