/**
 * A listening address that several processes accept from: bound here, never accepted from here, handed to each of them. While
 * no process accepts, clients wait in the system's queue; none is refused.
 *
 * Node makes such a handle for its cluster module only, under a name of its own (`net._createServerHandle`): this file is the
 * one that knows it. Two sockets with SO_REUSEPORT instead would lose the clients in the queue of the one that closes.
 */
import type { ChildProcess } from "node:child_process";
import { mkdir } from "node:fs/promises";
import net from "node:net";
import path from "node:path";
import { getSystemErrorName } from "node:util";
import { addressText, type ListenAddress } from "../config/config.ts";
import { PlatypusError } from "../errors.ts";
import { listenError, makeWay } from "../proxy/client/listener.ts";

interface Handle {
  close(): void;
  getsockname?(out: { port?: number }): number;
}

type CreateHandle = (address: string | null, port: number | null, type: number | null, fd?: number) => Handle | number;

const create = (net as unknown as { _createServerHandle?: CreateHandle })._createServerHandle;

/** A bound address. */
export class SharedSocket {
  /** With the real port where 0 was asked for. */
  readonly address: ListenAddress;
  /** As the configuration has it. */
  readonly asked: ListenAddress;
  private readonly handle: Handle;

  private constructor(asked: ListenAddress, address: ListenAddress, handle: Handle) {
    this.asked = asked;
    this.address = address;
    this.handle = handle;
  }

  /** Binds `address`. Rejects with a PlatypusError that says why it cannot be had. */
  static async open(address: ListenAddress): Promise<SharedSocket> {
    if (create === undefined) {
      throw new PlatypusError("LISTEN", "this Node cannot share sockets between processes; set workers = 1");
    }
    if (address.type === "unix") {
      await mkdir(path.dirname(address.path), { recursive: true });
      await makeWay(address.path);
    }
    const handle = await bind(address, create);
    const name: { port?: number } = {};
    handle.getsockname?.(name);
    const bound = address.type === "tcp" ? { ...address, port: name.port ?? address.port } : address;
    return new SharedSocket(address, bound, handle);
  }

  /** Hands it to a process, which is told which address it is. */
  sendTo(child: ChildProcess): void {
    const message = { type: "socket", address: addressText(this.asked) };
    // Ours stays open too: it holds the clients that wait while no worker is there.
    child.send(message, this.handle as unknown as net.Server, { keepOpen: true });
  }

  close(): void {
    this.handle.close();
  }
}

async function bind(address: ListenAddress, createHandle: CreateHandle): Promise<Handle> {
  const handle =
    address.type === "unix"
      ? createHandle(address.path, -1, -1)
      : address.type === "fd"
        ? createHandle(null, null, null, address.fd)
        : await bindTcp(address.host, address.port, createHandle);
  if (typeof handle !== "number") return handle;
  const code = getSystemErrorName(handle);
  throw listenError(address, Object.assign(new Error(code), { code }));
}

async function bindTcp(host: string, port: number, createHandle: CreateHandle): Promise<Handle | number> {
  const { lookup } = await import("node:dns/promises");
  const found = await lookup(host).catch(() => ({ address: host, family: net.isIPv6(host) ? 6 : 4 }));
  return createHandle(found.address, port, found.family);
}
