import { describe, expect, it } from "vitest";
import { addressText } from "../../src/config/config.ts";
import { parseNative } from "../../src/config/native.ts";
import { shownConfig } from "../../src/observe/admin/shown-config.ts";
import { sourceTypes } from "../../src/sources/types.ts";

const read = (text: string, env: Record<string, string> = {}, overrides: Record<string, string> = {}) =>
  parseNative({ file: "/etc/p.toml", text, env, overrides, sourceTypes });

describe("users of a native configuration", () => {
  it("have passwords, prefixes and permissions", () => {
    const { access } = read(`
[user.web]
password = "a"
previous_password = "b"
prefix = "app1:"
[user."app.example.org"]
readonly = true
`);
    expect(access).toEqual({
      users: [
        { name: "web", passwords: ["a", "b"], prefixes: ["app1:"], isReadonly: false },
        { name: "app.example.org", passwords: [], prefixes: [], isReadonly: true },
      ],
      listeners: [],
    });
  });

  it("cause a warning without a password unless certificates log in", () => {
    const warnings = (more: string) => read(`[user.web]\n${more}`).warnings;
    expect(warnings("")).toEqual([expect.stringMatching(/^user\.web \(line 1\) cannot log in: it has no password/)]);
    expect(warnings('password = "a"')).toEqual([]);
  });

  it("may have external passwords, which are never shown", () => {
    const config = read('[user.web]\npassword = "${ENV:WEB}"\n[user.own]\npassword = "in the file"', {
      WEB: "from afar",
    });
    expect(config.access.users.map(({ passwords }) => passwords[0])).toEqual(["from afar", "in the file"]);
    expect(config.secrets).toContain("from afar");
    expect(JSON.stringify(shownConfig(config))).not.toMatch(/from afar|in the file/);
  });

  it.each([
    ['[user.web]\npassword = ""', "user.web.password: expected a password, got an empty one"],
    ['[user.web]\nprevious_password = "a"', "user.web.previous_password: stands without password"],
    ['[user.web]\nprefix = [""]', "user.web.prefix: expected prefixes of keys"],
    ['[user."a b"]\npassword = "a"', "user.a b: expected a name of at most 64 letters, digits, -, _, . and @"],
    ['[user.web]\npasword = "a"', 'user.web.pasword: unknown setting; did you mean "password"?'],
    ["[listen.a]\nreadonly = true", "listen.a.address: missing"],
    ['[listen.a]\naddress = "::"', "listen.a.address: expected host:port"],
    ['[listen.a]\naddress = "unix:/s"\nusers = ["web"]', "listen.a.users: there is no [user.web]"],
    ['[listen.a]\naddress = "unix:/s"\n[listen.b]\naddress = "unix:/s"', "is an address of [listen.a] as well"],
    ['[listen.a]\naddress = "unix:/s"\nclient_certificates = true', 'needs addresses such as "tls:'],
    ['[listen.a]\naddress = "unix:/s"\ntls_ca = "/none"', "has no use without client_certificates = true"],
  ])("are refused with a problem: %j", (text, message) => {
    expect(() => read(text)).toThrow(expect.objectContaining({ message: expect.stringContaining(message) }));
  });

  it("do not show a password that is not a string", () => {
    expect(() => read('[user.web]\npassword = ["hush"]')).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining("hush") }),
    );
  });
});

describe("listeners of a native configuration", () => {
  const listenOf = (text: string, overrides = {}) => read(text, {}, overrides).server.listen.map(addressText);

  it("add their addresses to those of [server]", () => {
    const own = '[listen.a]\naddress = ["127.0.0.1:1", "unix:/s"]';
    expect(listenOf(own)).toEqual(["127.0.0.1:1", "unix:/s"]);
    expect(listenOf(`[server]\nlisten = "127.0.0.1:2"\n${own}`)).toEqual(["127.0.0.1:2", "127.0.0.1:1", "unix:/s"]);
    expect(listenOf(`[server]\nlisten = "unix:/s"\n${own}`)).toEqual(["unix:/s", "127.0.0.1:1"]);
    expect(listenOf(own, { "server.listen": "127.0.0.1:3" })).toEqual(["127.0.0.1:3", "127.0.0.1:1", "unix:/s"]);
  });
});
