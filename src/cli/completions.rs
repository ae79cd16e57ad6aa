//! `bridge completions`.

use std::io::Write;

use clap::CommandFactory;
use clap_complete::Shell;

/// Prints the completions for a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  bridge completions bash > ~/.local/share/bash-completion/completions/bridge")]
pub struct Args {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Writes the script to `out`.
///
/// # Errors
/// When it cannot be written.
pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "bridge", &mut script);
    out.write_all(&script)?;
    Ok(())
}
