/**
 * A DNS server on a UDP port of this machine. It answers A, AAAA and SRV queries from a table, or does not answer.
 *
 * Source: RFC 1035, RFC 2782.
 */
import dgram from "node:dgram";
import { once } from "node:events";

const A = 1;
const AAAA = 28;
const SRV = 33;
const RESPONSE = 0x8180;
const SERVFAIL = 2;
const NXDOMAIN = 3;

interface SrvRecord {
  readonly name: string;
  readonly port: number;
  readonly weight?: number;
  readonly priority?: number;
}

interface Records {
  readonly a?: readonly string[];
  readonly aaaa?: readonly string[];
  readonly srv?: readonly SrvRecord[];
}

export class DnsServer {
  /** By lower-case name. A name that is absent does not exist. */
  readonly records = new Map<string, Records>();
  /** Names that are answered with SERVFAIL, and names whose queries are not answered. */
  readonly failing = new Set<string>();
  readonly silent = new Set<string>();
  /** The queried names and types so far, such as `A host.test`. */
  readonly queries: string[] = [];
  private readonly socket: dgram.Socket;

  private constructor(socket: dgram.Socket) {
    this.socket = socket;
    socket.on("message", (query, { port, address }) => {
      const reply = this.replyTo(query);
      if (reply !== null) socket.send(reply, port, address);
    });
  }

  static async start(): Promise<DnsServer> {
    const socket = dgram.createSocket("udp4");
    socket.bind(0, "127.0.0.1");
    await once(socket, "listening");
    return new DnsServer(socket);
  }

  /** `IP:port`, for `discover_dns`. */
  get address(): string {
    return `127.0.0.1:${this.socket.address().port}`;
  }

  async stop(): Promise<void> {
    this.socket.close();
    await once(this.socket, "close");
  }

  private replyTo(query: Buffer): Buffer | null {
    const [name, end] = readName(query, 12);
    const type = query.readUInt16BE(end);
    this.queries.push(`${type === A ? "A" : type === AAAA ? "AAAA" : type === SRV ? "SRV" : type} ${name}`);
    if (this.silent.has(name)) return null;
    const found = this.records.get(name);
    const code = this.failing.has(name) ? SERVFAIL : found === undefined ? NXDOMAIN : 0;
    const data = code !== 0 ? [] : dataOf(type, found!);
    const head = Buffer.alloc(12);
    query.copy(head, 0, 0, 2);
    head.writeUInt16BE(RESPONSE | code, 2);
    head.writeUInt16BE(1, 4);
    head.writeUInt16BE(data.length, 6);
    const answers = data.flatMap((own) => {
      const fields = Buffer.alloc(12);
      fields.writeUInt16BE(0xc00c, 0);
      fields.writeUInt16BE(type, 2);
      fields.writeUInt16BE(1, 4);
      fields.writeUInt32BE(0, 6);
      fields.writeUInt16BE(own.length, 10);
      return [fields, own];
    });
    return Buffer.concat([head, query.subarray(12, end + 4), ...answers]);
  }
}

function dataOf(type: number, { a = [], aaaa = [], srv = [] }: Records): Buffer[] {
  if (type === A) return a.map((address) => Buffer.from(address.split(".").map(Number)));
  if (type === AAAA) return aaaa.map(sixteenBytes);
  if (type !== SRV) return [];
  return srv.map(({ name, port, weight = 0, priority = 0 }) => {
    const numbers = Buffer.alloc(6);
    numbers.writeUInt16BE(priority, 0);
    numbers.writeUInt16BE(weight, 2);
    numbers.writeUInt16BE(port, 4);
    return Buffer.concat([numbers, nameBytes(name)]);
  });
}

function sixteenBytes(address: string): Buffer {
  const [left = "", right = ""] = address.split("::");
  const words = (part: string) => (part === "" ? [] : part.split(":").map((word) => Number.parseInt(word, 16)));
  const [start, end] = [words(left), words(right)];
  const all = [...start, ...new Array(8 - start.length - end.length).fill(0), ...end];
  return Buffer.from(all.flatMap((word) => [word >> 8, word & 0xff]));
}

function nameBytes(name: string): Buffer {
  const labels = name.replace(/\.$/, "").split(".");
  return Buffer.concat([
    ...labels.flatMap((label) => [Buffer.from([label.length]), Buffer.from(label, "latin1")]),
    Buffer.from([0]),
  ]);
}

function readName(packet: Buffer, start: number): [name: string, end: number] {
  const labels: string[] = [];
  let at = start;
  for (let length = packet[at]!; length > 0; length = packet[at]!) {
    labels.push(packet.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  return [labels.join(".").toLowerCase(), at + 1];
}
