import type { Placement } from "../../../src/proxy/hash/placement.ts";

/** Where a placement puts a key that lies between other bytes. */
export function located(placement: Placement, key: Buffer): number {
  const chunk = Buffer.concat([Buffer.from("get "), key, Buffer.from("|#|{x} \r\n")]);
  return placement.locate(chunk, 4, 4 + key.length);
}
