//! Packages that are taken in their newest version at each start.

use std::path::Path;

use crate::cli::doctor::finding::Finding;
use crate::config::server::Server;
use crate::credentials::Template;

/// Options of `docker run` whose value is an argument of its own.
const DOCKER_VALUES: [&str; 40] = [
    "-e",
    "--env",
    "-v",
    "--volume",
    "--mount",
    "-p",
    "--publish",
    "--name",
    "--network",
    "--net",
    "-w",
    "--workdir",
    "-u",
    "--user",
    "--env-file",
    "--entrypoint",
    "-l",
    "--label",
    "--platform",
    "--add-host",
    "-m",
    "--memory",
    "--cpus",
    "--gpus",
    "--pull",
    "-h",
    "--hostname",
    "--log-driver",
    "--log-opt",
    "--security-opt",
    "--cap-add",
    "--cap-drop",
    "--device",
    "--tmpfs",
    "--ulimit",
    "--dns",
    "--restart",
    "--shm-size",
    "--group-add",
    "--ipc",
];

/// The same of `uvx`, but for `--from`, which names the package.
const UVX_VALUES: [&str; 8] = [
    "-p",
    "--python",
    "--with",
    "--with-editable",
    "--index",
    "--index-url",
    "--extra-index-url",
    "--with-requirements",
];

/// The same of `pipx run`, but for `--spec`.
const PIPX_VALUES: [&str; 4] = ["--python", "--index-url", "-i", "--pip-args"];

/// A package without a version.
#[derive(Debug, PartialEq, Eq)]
struct Unpinned {
    /// Who fetches it.
    runner: String,
    /// The package as it is written.
    package: String,
    /// The package without what says that the newest is meant.
    name: String,
    /// What stands before a version.
    sign: &'static str,
}

/// A note for a server whose package is not pinned; `version` is what the server said of itself.
pub fn look(server: &Server, version: Option<&str>) -> Option<Finding> {
    let args: Vec<&str> = server.args.iter().map(Template::as_written).collect();
    let Unpinned { runner, package, name, sign } = unpinned(&server.command, &args)?;
    let message = format!(
        "{runner} takes the newest {package} there is: a start may take long, and it may change overnight"
    );
    let version = version.filter(|version| is_plausible(version));
    let advice = match version {
        Some(version) => {
            format!("write {name}{sign}{version}, if that is its version: it says so of itself")
        }
        None => format!("write {name}{sign}VERSION, with a version that you trust"),
    };
    Some(Finding::note("server.pin", server.name.as_str(), message, advice).with("package", package))
}

/// A version that a package may have.
fn is_plausible(version: &str) -> bool {
    version.starts_with(|c: char| c.is_ascii_digit())
        && version.contains('.')
        && version.len() <= 30
        && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-+".contains(&byte))
}

fn unpinned(command: &str, args: &[&str]) -> Option<Unpinned> {
    let runner = Path::new(command).file_stem()?.to_str()?;
    let (package, sign) = match runner {
        "npx" | "bunx" => (of_npm(args)?, "@"),
        "npm" => (of_npm(args.strip_prefix(&["exec"])?)?, "@"),
        "pnpm" | "yarn" => (of_npm(args.strip_prefix(&["dlx"])?)?, "@"),
        "uvx" => of_uvx(args)?,
        "uv" => of_uvx(args.strip_prefix(&["tool", "run"])?)?,
        "pipx" => (first(args.strip_prefix(&["run"])?, &["--spec"], &PIPX_VALUES)?, "=="),
        "docker" | "podman" => (first(args.strip_prefix(&["run"])?, &[], &DOCKER_VALUES)?, ":"),
        _ => return None,
    };
    // Addresses and folders say themselves what they are, and may hold secrets.
    let is_local = package.starts_with(['.', '/', '~', '$']) || package.contains("${");
    let name = without_version(package, sign)?;
    (!is_local && !package.contains("://")).then(|| Unpinned {
        runner: runner.to_owned(),
        package: package.to_owned(),
        name: name.to_owned(),
        sign,
    })
}

fn of_npm<'a>(args: &[&'a str]) -> Option<&'a str> {
    first(args, &["-p", "--package"], &[])
}

fn of_uvx<'a>(args: &[&'a str]) -> Option<(&'a str, &'static str)> {
    let package = first(args, &["--from"], &UVX_VALUES)?;
    // Only the command itself may be written with an @.
    let is_from = args.iter().any(|arg| arg.starts_with("--from"));
    Some((package, if is_from { "==" } else { "@" }))
}

/// The value of one of the first options, else the first argument that is none, nor the value of one.
fn first<'a>(args: &[&'a str], named: &[&str], with_value: &[&str]) -> Option<&'a str> {
    let mut args = args.iter().copied();
    let mut found = None;
    while let Some(arg) = args.next() {
        let (option, value) =
            arg.split_once('=').map_or((arg, None), |(option, value)| (option, Some(value)));
        if named.contains(&option) {
            return value.or_else(|| args.next());
        }
        if with_value.contains(&arg) {
            args.next();
        } else if !arg.starts_with('-') {
            found = Some(arg);
            break;
        }
    }
    found
}

/// The name of a package that has no version, or the newest; `None` where it has another one.
fn without_version<'a>(package: &'a str, sign: &str) -> Option<&'a str> {
    if package.contains("==") || package.contains("@sha256:") || package.starts_with("git+") {
        return None;
    }
    let mark = if sign == ":" { ':' } else { '@' };
    // The scope of a package, and the port of a registry, have the same sign.
    let after = if mark == ':' { package.rfind('/').map_or(0, |at| at + 1) } else { 1 };
    let Some(at) = package.get(after..)?.rfind(mark).map(|at| at + after) else { return Some(package) };
    let (name, version) = (package.get(..at)?, package.get(at + 1..)?);
    matches!(version, "latest" | "next" | "main" | "").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is not pinned in a line, and how it would be.
    fn pin(line: &str) -> Option<String> {
        let words: Vec<&str> = line.split(' ').collect();
        let (command, args) = words.split_first().unwrap();
        unpinned(command, args).map(|found| format!("{}{}1", found.name, found.sign))
    }

    #[test]
    fn packages_without_a_version_are_found() {
        for (line, pinned) in [
            ("npx -y @modelcontextprotocol/server-github", "@modelcontextprotocol/server-github@1"),
            ("npx -y pkg@latest --flag", "pkg@1"),
            ("/opt/node/bin/npx.cmd pkg", "pkg@1"),
            ("npx -y -p @a/b c", "@a/b@1"),
            ("npx --package=@a/b@latest c", "@a/b@1"),
            ("npm exec pkg", "pkg@1"),
            ("pnpm dlx pkg", "pkg@1"),
            ("uvx mcp-server-time --local-timezone Europe/Berlin", "mcp-server-time@1"),
            ("uvx --python 3.12 --from pkg tool", "pkg==1"),
            ("uv tool run tool@latest", "tool@1"),
            ("pipx run tool", "tool==1"),
            (
                "docker run -i --rm -e TOKEN ghcr.io/github/github-mcp-server",
                "ghcr.io/github/github-mcp-server:1",
            ),
            ("docker run --env=A -v /a:/b registry:5000/image:latest stdio", "registry:5000/image:1"),
        ] {
            assert_eq!(pin(line).as_deref(), Some(pinned), "{line}");
        }
    }

    #[test]
    fn what_is_pinned_local_or_no_package_is_left_alone() {
        for line in [
            "npx -y @a/b@1.2.3",
            "npx ./server.js",
            "npx -y ${env:PACKAGE}",
            "npx https://x:secret@example.com/a.tgz",
            "npx",
            "npm start",
            "uvx tool==1.2",
            "uvx tool@1.2",
            "uvx --from git+https://github.com/a/b tool",
            "pipx run --spec tool==1 tool",
            "docker run image:1.2",
            "docker run image@sha256:abc",
            "docker ps",
            "node server.js",
        ] {
            assert_eq!(pin(line), None, "{line}");
        }
    }

    #[test]
    fn only_a_version_that_may_be_one_is_proposed() {
        assert!(["1.2.3", "2026.1.14", "0.1.0-rc.1"].into_iter().all(is_plausible));
        assert!(["dev", "1", "", "v1.2", "1.2 (main)"].into_iter().all(|version| !is_plausible(version)));
    }
}
