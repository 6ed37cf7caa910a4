/**
 * Sockets that systemd has opened for this process (sd_listen_fds(3)): file descriptors from 3. They replace `[server]
 * listen`. A socket with the name (`FileDescriptorName=`) `admin` belongs to the admin server, one with the name of a
 * pool with `listen` to that pool. A socket with the name of a `[listen.NAME]` replaces its addresses and keeps its
 * options.
 */
import type { ListenerConfig } from "../config/access-config.ts";
import { addressText, type Config, type ListenAddress, type PoolConfig } from "../config/config.ts";
import { UsageError } from "../errors.ts";

const FIRST_FD = 3;
const ADMIN_NAME = "admin";

/** A descriptor and its name in the socket unit; the default is the unit's name. */
export interface GivenSocket {
  readonly fd: number;
  readonly name: string;
}

/**
 * Removes $LISTEN_FDS, $LISTEN_PID and $LISTEN_FDNAMES from `env`, so that child processes do not use the sockets.
 * Empty if no socket was given, or if the sockets belong to another process.
 */
export function takeSockets(env: NodeJS.ProcessEnv): readonly GivenSocket[] {
  const { LISTEN_FDS: count, LISTEN_PID: pid, LISTEN_FDNAMES: names = "" } = env;
  for (const name of ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"]) delete env[name];
  if (count === undefined || Number(pid) !== process.pid) return [];
  const length = Number(count);
  if (!Number.isInteger(length) || length < 0) return [];
  const all = names.split(":");
  return Array.from({ length }, (_, i) => ({ fd: FIRST_FD + i, name: all[i] ?? "" }));
}

/**
 * `config` with the given sockets in place of its addresses. Throws a UsageError for a socket in place of a `tls:`
 * address, which would be served without TLS, and for a socket without an owner, which would not be served.
 */
export function listenOn(sockets: readonly GivenSocket[], config: Config): Config {
  if (sockets.length === 0) return config;
  const { access, server } = config;
  const admin = sockets.find(({ name }) => name === ADMIN_NAME);
  const pools = config.pools.map((pool) => poolOn(sockets, pool));
  const isPools = ({ name }: GivenSocket) => config.pools.some((pool) => pool.listen.length > 0 && pool.name === name);
  const listeners = access.listeners.map((listener) => listenerOn(sockets, listener));
  const isListeners = ({ name }: GivenSocket) => listeners.some((listener) => listener.name === name);
  const rest = sockets.filter((socket) => socket !== admin && !isPools(socket) && !isListeners(socket));
  const isOf = (address: ListenAddress, all: readonly ListenerConfig[]) =>
    all.some(({ addresses }) => addresses.some((each) => addressText(each) === addressText(address)));
  const left = access.listeners.filter((listener, i) => listener === listeners[i]);
  const ofListener = server.listen.find((address) => isOf(address, left));
  if (rest.length > 0 && ofListener !== undefined) {
    const names = left.map(({ name }) => name).join(", ");
    throw new UsageError(
      `a socket of systemd cannot take the place of ${addressText(ofListener)}, which has options: set its FileDescriptorName= to the name of its [listen.NAME] (${names})`,
    );
  }
  const given = listeners.filter((listener) => !left.includes(listener)).flatMap(({ addresses }) => addresses);
  const own = server.listen.filter((address) => !isOf(address, access.listeners) || isOf(address, left));
  if (rest.length > 0 && server.listen.length === 0 && given.length === 0) {
    const names = config.pools.map(({ name }) => name).join(", ");
    throw new UsageError(
      `a socket of systemd belongs to no address: set its FileDescriptorName= to a pool's name (${names}) or to admin`,
    );
  }
  if (rest.length > 0) refuseTls(own);
  return {
    ...config,
    pools,
    access: { ...access, listeners },
    server: {
      ...server,
      listen: [...(rest.length === 0 ? own : rest.map(addressOf)), ...given],
      admin: admin === undefined ? server.admin : { address: addressOf(admin), isDefault: false },
    },
  };
}

/** `listener` itself if no socket has its name. */
function listenerOn(sockets: readonly GivenSocket[], listener: ListenerConfig): ListenerConfig {
  const own = sockets.filter(({ name }) => name === listener.name);
  if (own.length === 0) return listener;
  refuseTls(listener.addresses);
  return { ...listener, addresses: own.map(addressOf) };
}

function poolOn(sockets: readonly GivenSocket[], pool: PoolConfig): PoolConfig {
  const own = sockets.filter(({ name }) => name === pool.name);
  if (own.length === 0 || pool.listen.length === 0) return pool;
  refuseTls(pool.listen);
  return { ...pool, listen: own.map(addressOf) };
}

function refuseTls(addresses: readonly ListenAddress[]): void {
  if (!addresses.some((address) => address.type === "tcp" && address.isTls)) return;
  throw new UsageError(
    "a socket of systemd cannot take the place of a tls: address; leave out the .socket unit, or tls:",
  );
}

function addressOf({ fd }: GivenSocket): ListenAddress {
  return { type: "fd", fd };
}
