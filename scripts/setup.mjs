/**
 * Sets up what `npm start` and `npm test` need and says what it does: npm packages, and with `--tests` the Debian
 * packages that tests and bench run against. Runs on the machine's own Node (20 or newer), before anything is installed.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const wantsTests = process.argv.includes("--tests");

/** Debian package → a file that shows that it is there. */
const debianPackages = {
  memcached: "/usr/bin/memcached",
  nutcracker: "/usr/sbin/nutcracker",
  "libmemcached-tools": "/usr/bin/memccapable",
  "ruby-dalli": "/usr/share/rubygems-integration/all/gems/dalli-3.0.6/lib/dalli.rb",
  "ruby-activesupport": "/usr/share/rubygems-integration/all/gems/activesupport-6.1.7.10/lib/active_support.rb",
  "python3-pymemcache": "/usr/lib/python3/dist-packages/pymemcache",
  "python3-pylibmc": "/usr/lib/python3/dist-packages/pylibmc",
  "sasl2-bin": "/usr/sbin/saslpasswd2",
  "php-cli": "/usr/bin/php",
  "php-memcached": "/etc/php/8.2/mods-available/memcached.ini",
  "netcat-openbsd": "/usr/bin/nc.openbsd",
  chromium: "/usr/bin/chromium",
};

function say(text) {
  process.stdout.write(`setup: ${text}\n`);
}

function run(command, args, options = {}) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: "inherit", ...options });
  if (error !== undefined) throw new Error(`${command}: ${error.message}`);
  return status === 0;
}

/** Installs npm packages where they are missing or the lock file is another one than they were installed from. */
function installNpmPackages() {
  const stamp = path.join(root, "node_modules", ".platypus-lock");
  const lock = createHash("sha256")
    .update(readFileSync(path.join(root, "package-lock.json")))
    .digest("hex");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === lock) return;
  // Not `npm ci`: it refuses a lock file without the optional packages of other platforms, which not every registry has.
  say("installing npm packages (npm install) …");
  if (!run("npm", ["install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"])) {
    say("npm install failed; see above. Mend that, or install by hand, and try again.");
    process.exit(1);
  }
  writeFileSync(stamp, lock);
}

function installDebianPackages() {
  const missing = Object.entries(debianPackages).flatMap(([name, file]) => (existsSync(file) ? [] : [name]));
  if (missing.length === 0) return;
  const byHand = `install them by hand: apt-get install ${missing.join(" ")}`;
  if (!existsSync("/usr/bin/apt-get") || process.getuid?.() !== 0) {
    say(`tests need ${missing.join(", ")}, and this is no Debian with root; ${byHand}`);
    say("suites that need them are skipped by name");
    return;
  }
  say(`installing Debian packages for the tests: ${missing.join(", ")} …`);
  // Servers must not be started by being installed: this is how Debian is told.
  const policy = "/usr/sbin/policy-rc.d";
  const isOurs = !existsSync(policy);
  if (isOurs) writeFileSync(policy, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  try {
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    const install = ["install", "-y", "-qq", "--no-install-recommends", ...missing];
    const quiet = { env, stdio: ["ignore", "ignore", "inherit"] };
    if (!run("apt-get", ["update", "-qq"], quiet) || !run("apt-get", install, quiet)) say(`apt-get failed; ${byHand}`);
  } finally {
    if (isOurs) rmSync(policy, { force: true });
  }
}

installNpmPackages();
if (wantsTests) installDebianPackages();
