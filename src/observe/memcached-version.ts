/** The version that clients see until a server has reported its version. */
const MEMCACHED_VERSION = "1.6.45";

/** The lowest reported version of the servers: x.y.z. */
export function memcachedVersion(backends: Iterable<{ readonly version: string | null }>): string {
  const versions = [...backends].flatMap(({ version }) => version ?? []);
  const numbers = (version: string) => version.split(".").map((part) => Number.parseInt(part, 10) || 0);
  versions.sort((a, b) => {
    const [left, right] = [numbers(a), numbers(b)];
    const at = left.findIndex((number, i) => number !== (right[i] ?? 0));
    return at < 0 ? 0 : left[at]! - (right[at] ?? 0);
  });
  return versions[0] ?? MEMCACHED_VERSION;
}

/** The first version whose parser reads numbers strictly, and skips the data of a storage line that it refuses. */
const FIRST_STRICT_PATCH = 40;

/** True if at least one server has reported memcached 1.6.40 or later. */
export function isStrictMemcached(backends: Iterable<{ readonly version: string | null }>): boolean {
  for (const { version } of backends) {
    const [major, minor, patch] = (version ?? "").split(".").map((part) => Number.parseInt(part, 10) || 0);
    if (major === 1 && minor === 6 && patch! >= FIRST_STRICT_PATCH) return true;
  }
  return false;
}
