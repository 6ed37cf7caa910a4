/** The queues of a Platypus without other clients, as `stats` shows them. */
import { TextClient } from "../support/clients/text-client.ts";
import { FuzzFailure, within } from "./deadline.ts";

/**
 * Resolves when `connections` clients are connected, the one asking among them, and nothing is under way; a queue that
 * does not come back to that throws a FuzzFailure.
 */
export async function idle(port: number, connections = 1): Promise<void> {
  const client = await TextClient.connect(port);
  let rest = "";
  let isOver = false;
  const askUntilIdle = async () => {
    do {
      const lines = (await client.ask("stats", "END\r\n")) + (await client.ask("stats platypus", "END\r\n"));
      const numbers = [...lines.matchAll(/^STAT (\S*(?:curr_connections|outstanding|in_flight)) (\d+)\r$/gm)];
      const due = (name: string) => (name === "curr_connections" ? connections : 0);
      rest = numbers.flatMap(([line, name, count]) => (Number(count) === due(name!) ? [] : line)).join("");
    } while (rest !== "" && !isOver);
  };
  try {
    await within(askUntilIdle(), "the queues");
  } catch (error) {
    throw new FuzzFailure(`${String(error)}; still there: ${rest}`);
  } finally {
    isOver = true;
    client.close();
  }
}
