/** What clients were seen to send, told to a real memcached and to Platypus over it: the recorded answers of both. */
import { readdirSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Platypus } from "../../src/server/platypus.ts";
import { TextClient } from "../support/clients/text-client.ts";
import { nativeConfig, targetOf } from "../support/rigs/native-config.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";

const FOLDER = new URL("../vectors/transcripts/", import.meta.url);

/** Lines in turns: what is sent at once, and what is answered to it. */
interface Exchange {
  sent: string;
  answered: string;
}

function exchangesOf(file: string): Exchange[] {
  const exchanges: Exchange[] = [{ sent: "", answered: "" }];
  for (const line of readFileSync(new URL(file, FOLDER), "utf8").split("\n")) {
    const text = `${line.slice(2)}\r\n`;
    if (line.startsWith("> ")) {
      if (exchanges.at(-1)!.answered !== "") exchanges.push({ sent: "", answered: "" });
      exchanges.at(-1)!.sent += text;
    } else if (line.startsWith("< ")) {
      exchanges.at(-1)!.answered += text;
    }
  }
  return exchanges;
}

describe.skipIf(MemcachedProcess.isMissing)("a transcript holds", () => {
  const servers: MemcachedProcess[] = [];
  let platypus: Platypus;

  beforeAll(async () => {
    servers.push(...(await Promise.all([1, 2, 3, 4].map(() => MemcachedProcess.start()))));
    const ports = servers.slice(1).map(({ port }) => port);
    platypus = await Platypus.start(nativeConfig(`[server]\nflush_all = true\n${targetOf(ports)}`));
  });

  afterAll(async () => {
    await platypus.close();
    await Promise.all(servers.map((server) => server.stop()));
  });

  for (const file of readdirSync(FOLDER)) {
    for (const over of ["memcached", "Platypus"]) {
      it(`${file}, ${over}`, async () => {
        const [address] = platypus.addresses;
        const ofPlatypus = address?.type === "tcp" ? address.port : 0;
        const client = await TextClient.connect(over === "memcached" ? servers[0]!.port : ofPlatypus);
        let cas = "";
        for (const { sent, answered } of exchangesOf(file)) {
          // A mark behind the answer, so that what is too much shows.
          client.send(`${sent.replace(" C#", ` C${cas}`)}mn\r\n`);
          const count = answered.split("MN\r\n").length;
          let got = "";
          for (let i = 0; i < count; i++) got += await client.until("MN\r\n");
          cas = / c(\d+)/.exec(got)?.[1] ?? cas;
          const text = got
            .replace(/ c\d+/g, " c#")
            .replace(/^VERSION .*/, "VERSION *")
            .replace(/^(?:STAT \S+ .*\r\n)+/, "STAT *\r\n");
          expect({ sent, text }).toEqual({ sent, text: `${answered}MN\r\n` });
        }
        client.close();
      });
    }
  }
});
