/**
 * Builds build/platypus-proxy_VERSION_ARCH.deb: the executable file, the systemd unit, a configuration to begin with, a man page
 * and completion for the shells. Needs dpkg-deb. `node packaging/build-deb.mjs FOLDER` uses FOLDER instead of build.
 */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const root = fileURLToPath(new URL("..", import.meta.url));
const [folder = "build"] = process.argv.slice(2);
const out = path.resolve(root, folder);
const binary = path.join(out, "platypus");
const tree = path.join(out, "deb");
const { version, description } = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8"));
const say = (text) => process.stdout.write(`build:deb: ${text}\n`);

if (!existsSync("/usr/bin/dpkg-deb")) {
  process.stderr.write("build:deb: dpkg-deb is missing; it is part of Debian's package dpkg\n");
  process.exit(1);
}
if (!existsSync(binary))
  execFileSync(process.execPath, [path.join(root, "packaging/build-binary.mjs"), out], { stdio: "inherit" });

const run = (...args) => execFileSync(binary, args, { encoding: "utf8" });
const put = (name, content, mode = 0o644) => {
  const file = path.join(tree, name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, content, { mode });
};

rmSync(tree, { recursive: true, force: true });
mkdirSync(path.join(tree, "usr/bin"), { recursive: true });
cpSync(binary, path.join(tree, "usr/bin/platypus"));
const unit = readFileSync(path.join(root, "deploy/systemd/platypus.service"), "utf8");
put(
  "lib/systemd/system/platypus.service",
  unit.replace(/^ExecStart=.* --config/m, "ExecStart=/usr/bin/platypus --config"),
);
put("etc/platypus/platypus.toml", run("init", "--for", "pool", "--print", "/etc/platypus/platypus.toml"));
put(
  "usr/share/man/man1/platypus.1.gz",
  gzipSync(execFileSync(process.execPath, [path.join(root, "packaging/man.ts")])),
);
put("usr/share/bash-completion/completions/platypus", run("completion", "bash"));
put("usr/share/zsh/vendor-completions/_platypus", run("completion", "zsh"));
put("usr/share/doc/platypus-proxy/copyright", readFileSync(path.join(root, "LICENSE")));
put("usr/share/doc/platypus-proxy/changelog.gz", gzipSync(readFileSync(path.join(root, "CHANGELOG.md"))));
for (const file of ["config/platypus.toml", "config/platypus.schema.json"]) {
  put(`usr/share/doc/platypus-proxy/${path.basename(file)}`, readFileSync(path.join(root, file)));
}

const architecture = execFileSync("/usr/bin/dpkg", ["--print-architecture"], { encoding: "utf8" }).trim();
const size = execFileSync("/usr/bin/du", ["-sk", tree], { encoding: "utf8" }).split("\t")[0];
put(
  "DEBIAN/control",
  `Package: platypus-proxy
Version: ${version}
Architecture: ${architecture}
Maintainer: The Platypus authors <platypus@localhost>
Installed-Size: ${size}
Depends: libc6 (>= 2.28), libstdc++6, libgcc-s1
Suggests: memcached
Section: net
Priority: optional
Description: memcached proxy that fills its own misses
 ${description}.
`,
);
put("DEBIAN/conffiles", "/etc/platypus/platypus.toml\n");
const reload = `if [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi`;
put("DEBIAN/postinst", `#!/bin/sh\nset -e\n${reload}\n`, 0o755);
put(
  "DEBIAN/prerm",
  `#!/bin/sh\nset -e\nif [ "$1" = remove ] && [ -d /run/systemd/system ]; then systemctl stop platypus.service || true; fi\n`,
  0o755,
);
put("DEBIAN/postrm", `#!/bin/sh\nset -e\n${reload}\n`, 0o755);

const deb = path.join(out, `platypus-proxy_${version}_${architecture}.deb`);
execFileSync("/usr/bin/dpkg-deb", ["--root-owner-group", "-Zgzip", "-z4", "--build", tree, deb], {
  stdio: ["ignore", "ignore", "inherit"],
});
rmSync(tree, { recursive: true });
say(path.relative(process.cwd(), deb));
