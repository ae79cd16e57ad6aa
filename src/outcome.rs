//! How a call can end: one word, the same in the row, the log and the reply.

use std::fmt;

/// How a call ended. Exactly one belongs to every call; `None` in a row means that it still runs.
///
/// The words of [`Outcome::word`] stand in `tool_calls.outcome`, in the log field `outcome`, and in
/// `_meta["bridge/error"].kind` of a reply (faults.md, "Promises").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The server answered with a result.
    Ok,
    /// The server answered with a result that says `isError: true`.
    ToolError,
    /// The server answered with a JSON-RPC error.
    RpcError,
    /// A handler of the bridge panicked.
    Panic,
    /// The deadline passed before an answer.
    Timeout,
    /// The client took the request back.
    Cancelled,
    /// The request never reached a server.
    Unavailable,
    /// The request was sent, and server or bridge ended before the answer.
    OutcomeUnknown,
    /// The answer was larger than a client can read.
    TooLarge,
    /// The bridge refused the request itself: no such tool, bad params.
    Rejected,
}

impl Outcome {
    /// Every outcome, in the order of the documentation.
    pub const ALL: [Self; 10] = [
        Self::Ok,
        Self::ToolError,
        Self::RpcError,
        Self::Panic,
        Self::Timeout,
        Self::Cancelled,
        Self::Unavailable,
        Self::OutcomeUnknown,
        Self::TooLarge,
        Self::Rejected,
    ];

    /// The word for this outcome wherever it is written down.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ToolError => "tool_error",
            Self::RpcError => "rpc_error",
            Self::Panic => "panic",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Unavailable => "unavailable",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::TooLarge => "too_large",
            Self::Rejected => "rejected",
        }
    }

    /// The outcome that a word names.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.word() == word)
    }

    /// Whether reports count this outcome as an error. A cancel is the client's will, not a fault.
    #[must_use]
    pub const fn is_error(self) -> bool {
        !matches!(self, Self::Ok | Self::Cancelled)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The classified reason behind an outcome: `tool_calls.error_kind`, and `cause` in a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The server's command does not exist.
    NotFound,
    /// The server's command exists and may not be executed.
    NotExecutable,
    /// The server ended before its handshake was done.
    ExitedBeforeReady,
    /// The server ended, or closed its output, while it was in use.
    Crashed,
    /// The server lives and does not answer.
    Hung,
    /// The server did not become ready in `start_timeout_s`.
    TooSlow,
    /// The server's answer to the handshake was not what the protocol asks for.
    ProtocolGarbage,
    /// Too many calls of the server wait already, or one of them waited for too long.
    QueueFull,
    /// No server offers a tool of that name.
    UnknownTool,
    /// The configuration keeps the tool from clients.
    SwitchedOff,
    /// The tool is held back until its user approves it.
    Quarantined,
    /// The request's params are not of the method's form.
    BadParams,
    /// The server asks what the client cannot answer.
    MissingCapability,
    /// The client came back to a question that is not open any more, or for a result that is not kept.
    Expired,
    /// The server was ended on purpose: replaced, removed, disconnected, or started anew.
    ServerStopped,
    /// A person stopped the server, and it stays so until a person starts it.
    Held,
    /// The bridge itself was stopped while the call ran.
    BridgeStopped,
    /// The bridge itself died while the call ran; written by the recovery of a later start.
    BridgeCrashed,
}

impl Cause {
    /// The causes for which the bridge itself refuses a request.
    const REJECTIONS: [Self; 6] = [
        Self::UnknownTool,
        Self::SwitchedOff,
        Self::Quarantined,
        Self::BadParams,
        Self::MissingCapability,
        Self::Expired,
    ];

    /// The cause of a refusal that a word names.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::REJECTIONS.into_iter().find(|cause| cause.word() == word)
    }

    /// The word for this cause wherever it is written down.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NotExecutable => "not_executable",
            Self::ExitedBeforeReady => "exited_before_ready",
            Self::Crashed => "crashed",
            Self::Hung => "hung",
            Self::TooSlow => "too_slow",
            Self::ProtocolGarbage => "protocol_garbage",
            Self::QueueFull => "queue_full",
            Self::UnknownTool => "unknown_tool",
            Self::SwitchedOff => "switched_off",
            Self::Quarantined => "quarantined",
            Self::BadParams => "bad_params",
            Self::MissingCapability => "missing_capability",
            Self::Expired => "expired",
            Self::ServerStopped => "server_stopped",
            Self::Held => "held",
            Self::BridgeStopped => "bridge_stopped",
            Self::BridgeCrashed => "bridge_crashed",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_names_its_outcome_and_no_other() {
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::parse(outcome.word()), Some(outcome));
        }
        assert_eq!(Outcome::parse("fine"), None);
    }
}
