//! `fake-server`: a scripted MCP server over stdio, for tests and benchmarks.
//!
//! ```text
//! fake-server [--script FILE] [-e LINE]…        the script may also stand in the variable FAKE_SCRIPT
//! ```
//!
//! The words of a script are listed at the top of `script.rs`. It speaks the protocol of the `initialize` era and agrees to any
//! version, unless the script says otherwise; ids, arguments and progress tokens go back byte for byte. Without a script it offers `echo`.

mod ask;
mod os;
mod out;
mod play;
mod script;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::ExitCode;
use std::sync::Arc;

use play::Server;
use script::{Event, Script};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let _gone = writeln!(io::stderr(), "fake-server: {why}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), String> {
    let script = Script::parse(&script_text()?).map_err(|mistake| mistake.to_string())?;
    let server = Server::new(script).map_err(|error| error.to_string())?;
    server.happen(&Event::Start);
    serve(&server, io::stdin().lock()).map_err(|error| format!("reading stdin: {error}"))?;
    server.happen(&Event::Eof);
    if server.outlives_input() {
        os::park();
    }
    // Threads that still wait end with the process, as in a real server.
    Ok(())
}

/// Reads to the end of input. Answers are written when no further line is waiting.
fn serve(server: &Arc<Server>, input: impl Read) -> io::Result<()> {
    let mut input = BufReader::with_capacity(64 * 1024, input);
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        server.receive(line.strip_suffix(b"\n").unwrap_or(&line));
        line.clear();
        if memchr::memchr(b'\n', input.buffer()).is_none() {
            server.flush();
        }
    }
    Ok(())
}

/// The variable's lines, then the file's, then those of the command line.
fn script_text() -> Result<String, String> {
    let mut text = std::env::var("FAKE_SCRIPT").unwrap_or_default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let part = match argument.as_str() {
            "--deaf" => os::be_deaf(),
            "-e" => arguments.next().ok_or("-e wants a line")?,
            "--script" => {
                let path = arguments.next().ok_or("--script wants a file")?;
                std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?
            }
            other => return Err(format!("no option `{other}`")),
        };
        text.push('\n');
        text.push_str(&part);
    }
    Ok(text)
}
