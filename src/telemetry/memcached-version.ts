/** What clients are told to be talking to while no server has said what it is. */
const MEMCACHED_VERSION = "1.6.45";

/** The lowest version among the servers that have said theirs: x.y.z. */
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
