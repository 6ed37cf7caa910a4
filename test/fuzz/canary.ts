/**
 * Well-behaved clients, one in text and one in binary, with keys and values that no other client uses. Each reply is known in
 * advance. A different byte shows that a reply has reached the wrong request.
 */
import { BinaryClient, words } from "../support/clients/binary-client.ts";
import { TextClient } from "../support/clients/text-client.ts";
import { FuzzFailure, within } from "./deadline.ts";

/** The rule that canaries, and others, are filled by. */
export const FILL_RULE = `
[get.fill]
match = "fill/(.*)"
source = "echo"
fill_timeout = "20s"
[source.echo]
type = "echo"
template = "value of {1}"
`;

const GET = 0x00;
const SETQ = 0x11;
const GETKQ = 0x0d;
const DELETEQ = 0x14;

export class Canary {
  private readonly text: TextClient;
  private readonly binary: BinaryClient;
  private batches = 0;

  private constructor(text: TextClient, binary: BinaryClient) {
    this.text = text;
    this.binary = binary;
  }

  static async start(port: number): Promise<Canary> {
    return new Canary(await TextClient.connect(port), await BinaryClient.connect(port));
  }

  /** Asks a batch of everything in both protocols; throws a FuzzFailure when an answer is not the one that is due. */
  async sing(): Promise<void> {
    const batch = this.batches++;
    await Promise.all([
      within(this.singInText(batch), "a canary's text commands"),
      within(this.singInBinary(batch), "a canary's binary frames"),
    ]);
  }

  stop(): void {
    this.text.close();
    this.binary.close();
  }

  private async singInText(batch: number): Promise<void> {
    const [one, two] = [`canary:${batch}:1`, `canary:${batch}:2`];
    const value = `text ${batch} `.repeat(1 + (batch % 300));
    const fill = `fill/canary:${batch}`;
    const filled = `value of canary:${batch}`;
    const item = (key: string, data: string) => `VALUE ${key} 0 ${data.length}\r\n${data}\r\n`;
    const exchanges: [string, string][] = [
      [`set ${one} 0 0 ${value.length}\r\n${value}`, "STORED\r\n"],
      [`set ${two} 0 0 2 noreply\r\nno`, ""],
      [`get ${one}`, `${item(one, value)}END\r\n`],
      [`get ${two} ${fill} ${one}`, `${item(two, "no") + item(fill, filled) + item(one, value)}END\r\n`],
      [`mg ${one} v k O${batch}`, `VA ${value.length} k${one} O${batch}\r\n${value}\r\n`],
      [`mg canary:none v k q\r\nmg ${two} v k q`, `VA 2 k${two}\r\nno\r\n`],
      [`delete ${one}`, "DELETED\r\n"],
      [`delete ${one} noreply\r\nmd ${one}`, "NF\r\n"],
      [`get ${one}`, "END\r\n"],
      [`md ${two} q\r\nmn`, "MN\r\n"],
      ["mg canary:none k Olast", "EN kcanary:none Olast\r\n"],
    ];
    this.text.send(exchanges.map(([asked]) => `${asked}\r\n`).join(""));
    const expected = exchanges.map(([, answered]) => answered).join("");
    const answers = await this.text.until("Olast\r\n");
    if (answers !== expected)
      throw new FuzzFailure(`a canary was told\n${show(answers)}\nin place of\n${show(expected)}`);
  }

  private async singInBinary(batch: number): Promise<void> {
    const keys = [1, 2, 3].map((number) => `canary:binary:${batch}:${number}`);
    const fill = `fill/binary canary:${batch}`;
    const answers = await this.binary.ask([
      ...keys.map((key, opaque) => ({ opcode: SETQ, key, value: `v ${key}`, extras: words(opaque, 0), opaque })),
      ...keys.map((key, opaque) => ({ opcode: GETKQ, key, opaque })),
      { opcode: GETKQ, key: "canary:none", opaque: 3 },
      { opcode: GETKQ, key: fill, opaque: 4 },
      { opcode: GET, key: keys[0]!, opaque: 5 },
      ...keys.map((key) => ({ opcode: DELETEQ, key })),
    ]);
    const seen = answers.map(({ opaque, status, key, value }) => [opaque, status, key, value]);
    const expected = [
      ...keys.map((key, opaque) => [opaque, 0, key, `v ${key}`]),
      [4, 0, fill, `value of binary canary:${batch}`],
      [5, 0, "", `v ${keys[0]}`],
    ];
    const [got, due] = [JSON.stringify(seen), JSON.stringify(expected)];
    if (got !== due) throw new FuzzFailure(`a binary canary was told\n${got}\nin place of\n${due}`);
  }
}

function show(text: string): string {
  return JSON.stringify(text.length > 4_000 ? `${text.slice(0, 4_000)}…` : text);
}
