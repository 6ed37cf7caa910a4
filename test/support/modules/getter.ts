/** What a user's module can do, by the key. */
import type { GetterRequest, GetterResult } from "../../../src/getter.ts";

export default async function getter({ key, captures, tag, signal }: GetterRequest): Promise<GetterResult> {
  switch (captures[1]) {
    case "bytes":
      return new Uint8Array([0, 255]);
    case "ttl":
      return { value: "v", ttl: "2s", tag: "one" };
    case "unchanged":
      return tag === "one" ? { unchanged: true } : { value: "v", tag: "one" };
    case "none":
      return undefined;
    case "throws":
      throw new Error("the database is away");
    case "number":
      return 5 as never;
    case "hangs":
      return await new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      });
    default:
      return `${key} of ${captures.id}`;
  }
}
