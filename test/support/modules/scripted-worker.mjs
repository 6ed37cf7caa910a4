// A worker that serves and stops as it is told, or hangs: as its arguments say.
const [start, rest] = process.argv.slice(2);
const beat = () => process.send({ type: "beat", load: { connections: 3, drainTimeoutMs: 5_000 } });
process.on("message", (message) => {
  if (message.type === "start" && start === "serves") {
    beat();
    process.send({ type: "ready" });
  }
  if (message.type === "replaced" && rest === "obeys") process.send({ type: "left" });
});
process.on("SIGTERM", () => {
  if (rest === "obeys") process.exit(0);
});
process.on("SIGHUP", () => {
  if (rest === "obeys") process.send({ type: "reloaded", isGood: true });
});
