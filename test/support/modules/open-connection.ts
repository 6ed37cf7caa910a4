/** A user's module that keeps something open, as connections of a database are. */
setInterval(() => {}, 60_000);

export default function getter(): string {
  return "v";
}
