/**
 * A listening address that several processes share. This process binds it but never accepts on it, and sends it to each
 * worker. While no worker accepts, clients wait in the system's queue; none is refused.
 *
 * Node only creates such a handle for its cluster module, with an internal function (`net._createServerHandle`). Only
 * this file uses it. Two sockets with SO_REUSEPORT would lose the queued clients of the socket that closes.
 */
import type { ChildProcess } from "node:child_process";
import net from "node:net";
import path from "node:path";
import { getSystemErrorName } from "node:util";
import { addressText, type ListenAddress } from "../config/config.ts";
import { PlatypusError } from "../errors.ts";
import { makeFolder } from "../make-folder.ts";
import { listenError, makeWay } from "../proxy/client/listener.ts";

interface Handle {
  close(): void;
  getsockname?(out: { port?: number }): number;
}

type CreateHandle = (address: string | null, port: number | null, type: number | null, fd?: number) => Handle | number;

const create = (net as unknown as { _createServerHandle?: CreateHandle })._createServerHandle;

/** A bound address. */
export class SharedSocket {
  /** With the real port instead of 0. */
  readonly address: ListenAddress;
  private readonly name: string;
  private readonly handle: Handle;

  private constructor(name: string, address: ListenAddress, handle: Handle) {
    this.name = name;
    this.address = address;
    this.handle = handle;
  }

  /**
   * Binds `address`. Rejects with a PlatypusError if it is unavailable. Workers know it by `name`: the address as in
   * the configuration.
   */
  static async open(address: ListenAddress, name = addressText(address)): Promise<SharedSocket> {
    if (create === undefined) {
      throw new PlatypusError("LISTEN", "this Node cannot share sockets between processes; set workers = 1");
    }
    if (address.type === "unix") {
      await makeFolder(path.dirname(address.path));
      await makeWay(address.path);
    }
    const handle = await bind(address, create);
    const socketName: { port?: number } = {};
    const failure = handle.getsockname?.(socketName) ?? 0;
    // libuv reports an address in use only now. A worker would listen on another port.
    if (failure !== 0 && address.type === "tcp") {
      handle.close();
      throw bindError(address, failure);
    }
    const bound = address.type === "tcp" ? { ...address, port: socketName.port ?? address.port } : address;
    return new SharedSocket(name, bound, handle);
  }

  /** Sends the socket and its name to a process. */
  sendTo(child: ChildProcess): void {
    const message = { type: "socket", address: this.name };
    // This process keeps the socket open too: clients wait in its queue while no worker runs.
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
  throw bindError(address, handle);
}

function bindError(address: ListenAddress, failure: number): PlatypusError {
  const code = getSystemErrorName(failure);
  return listenError(address, Object.assign(new Error(code), { code }));
}

async function bindTcp(host: string, port: number, createHandle: CreateHandle): Promise<Handle | number> {
  const { lookup } = await import("node:dns/promises");
  const found = await lookup(host).catch(() => ({ address: host, family: net.isIPv6(host) ? 6 : 4 }));
  return createHandle(found.address, port, found.family);
}
