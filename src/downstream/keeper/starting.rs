//! A process is started, and its pipes get somebody at their ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::sharing::Scope;
use crate::downstream::connection::Connection;
use crate::downstream::connection::outflow::write_out;
use crate::downstream::connection::owned::Owned;
use crate::downstream::keeper::hearing::{for_keeper, read_in};
use crate::downstream::keeper::lists::Relists;
use crate::downstream::keeper::wishes::Wishes;
use crate::downstream::keeper::{Keeper, Running};
use crate::downstream::process::{self, Launch, NotStarted, Pipes};
use crate::downstream::stderr::{CappedLog, Tail, drain};
use crate::environment::Folder;
use crate::lines::Lines;
use crate::outcome::Cause;
use crate::pipes;

impl Keeper {
    /// Starts the process, and the tasks at its pipes.
    pub(super) fn start(&self) -> Result<Running, NotStarted> {
        let started = Instant::now();
        let launch = self.launch()?;
        let (process, Pipes { stdin, stdout, stderr }) = process::start(&launch)?;
        let spawned = started.elapsed();
        self.phase("spawned", process.pid, spawned);
        let relists = Arc::new(Relists::default());
        let relay = for_keeper(Arc::clone(&self.around.relay), Arc::clone(&relists));
        let wake = Some(Arc::clone(&self.around.wake));
        let connection = Owned(Connection::new(self.server.name.shared(), self.ownership.now(), relay, wake));
        if let Some(client) = self.status.borrow().client {
            connection.is_shown(client);
        }
        let tail = Tail::default();
        let tuning = self.around.tuning.borrow().clone();
        let log = CappedLog::new(self.around.log_file.clone(), tuning.log_bytes_max);
        let drain = tokio::spawn(drain(stderr, tail.clone(), log));
        let writer = {
            let connection = Arc::clone(&connection);
            self.around.lines.spawn(async move {
                let written = match pipes::to_server(stdin) {
                    Ok(sink) => write_out(&connection, sink).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = written {
                    tracing::debug!(%error, "server does not read any more");
                }
            })
        };
        let line_bytes_max = tuning.line_bytes_max;
        let reader = {
            let (connection, tail) = (Arc::clone(&connection), tail.clone());
            self.around.lines.spawn(async move {
                let read = match pipes::from_server(stdout) {
                    Ok(source) => read_in(&connection, Lines::new(source, line_bytes_max), &tail).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = read {
                    tracing::warn!(%error, "server output cannot be read");
                }
            })
        };
        let wishes = Wishes::new(Arc::clone(&self.interest));
        Ok(Running {
            process,
            connection,
            reader,
            writer,
            drain,
            tail,
            relists,
            wishes,
            tuning,
            started,
            spawned,
        })
    }

    /// Resolves every reference, as late as can be; the values are nowhere kept.
    fn launch(&self) -> Result<Launch, NotStarted> {
        let missing = |error: crate::credentials::MissingVariable| NotStarted {
            cause: Cause::NotFound,
            what: error.to_string(),
        };
        let environment = &self.around.environment;
        let lookup = |name: &str| environment.get(name);
        let args = self.server.args.iter().map(|arg| arg.resolve(lookup)).collect::<Result<_, _>>();
        let env = self.server.env.iter().map(|(name, value)| Ok((name.clone(), value.resolve(lookup)?)));
        Ok(Launch {
            command: self.server.command.clone(),
            inherited: environment.clone(),
            args: args.map_err(missing)?,
            env: env.collect::<Result<_, _>>().map_err(missing)?,
            cwd: self.server.cwd.clone().or_else(|| Some(self.folder()?.to_path_buf())),
        })
    }

    /// Where it runs if nobody says it: where its client was started, if it is one client's alone.
    fn folder(&self) -> Folder {
        let its = match self.server.scope {
            Scope::Session | Scope::Thread | Scope::Call => self.status.borrow().client,
            Scope::Shared | Scope::User => None,
        };
        its.and_then(|client| self.around.faces.folder(client)).or_else(|| self.around.folder.clone())
    }

    /// A start has come so far.
    pub(super) fn phase(&self, phase: &'static str, pid: u32, elapsed: Duration) {
        let (server, elapsed_ms) = (&self.server.name, elapsed.as_millis());
        let (session, thread) = self.tenant.logged();
        tracing::debug!(%server, session, thread, pid, phase, elapsed_ms, "server start");
    }
}
