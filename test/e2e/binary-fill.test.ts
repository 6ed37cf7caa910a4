/** Misses of binary clients that a rule fills: the same values in every form of get, with flags 0 and a real cas. */
import { afterEach, describe, expect, it } from "vitest";
import { BinaryClient, words } from "../support/clients/binary-client.ts";
import { targetOf } from "../support/rigs/native-config.ts";
import { afterTest, startPlatypus } from "../support/rigs/started.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";

const RULE = `
[get.hello]
match = "hello/(.*)"
source = "greeting"
fill_timeout = "10s"
[source.greeting]
type = "echo"
template = "Hello, {1}!"
`;
const forms = { get: 0x00, getq: 0x09, getk: 0x0c, getkq: 0x0d, gat: 0x1d, gatq: 0x1e, gatk: 0x23, gatkq: 0x24 };

afterEach(async () => {});

/** A client of a Platypus over `count` memcacheds; 0: over its own store. */
async function clientOver(count: number): Promise<BinaryClient> {
  const servers = await Promise.all(Array.from({ length: count }, () => MemcachedProcess.start()));
  afterTest(() => Promise.all(servers.map((server) => server.stop())));
  const ports = servers.map(({ port }) => port);
  const platypus = await startPlatypus((count === 0 ? "" : targetOf(ports)) + RULE);
  const [address] = platypus.addresses;
  const client = await BinaryClient.connect(address?.type === "tcp" ? address.port : 0);
  afterTest(() => client.close());
  return client;
}

describe.each([0, 3])("binary gets over %i memcacheds", (count) => {
  it.skipIf(count > 0 && MemcachedProcess.isMissing)(
    "are filled in every form of get, among others that miss",
    async () => {
      const client = await clientOver(count);
      const frames = Object.entries(forms).map(([name, opcode], opaque) => {
        return { opcode, key: `hello/${name}`, opaque, ...(name.startsWith("gat") ? { extras: words(60) } : {}) };
      });
      const misses = frames.map((frame) => ({ ...frame, key: `none/${frame.opcode}`, opaque: 100 + frame.opaque }));
      const answers = await client.ask([...misses, ...frames, ...frames]);
      const isQuiet = (opaque: number) => Object.keys(forms)[opaque % 100]!.endsWith("q");
      const told = answers.filter(({ opaque }) => opaque < 100);
      expect(answers.filter(({ opaque }) => opaque >= 100).map(({ opaque, status }) => [opaque, status])).toEqual(
        misses.filter(({ opaque }) => !isQuiet(opaque)).map(({ opaque }) => [opaque, 1]),
      );
      const expected = Object.keys(forms).map((name, opaque) => {
        const key = name.includes("k") ? `hello/${name}` : "";
        return { opaque, status: 0, extras: "\0\0\0\0", key, value: `Hello, ${name}!` };
      });
      expect(told).toMatchObject([...expected, ...expected]);
      for (const { cas } of told) expect(cas).toBeGreaterThan(0n);
    },
  );
});
