//! What the doctor has found: one thing that is well, worth knowing, or wrong, and what to do about it.

use serde_json::{Map, Value, json};

/// How bad it is; the worst comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// All is well.
    Well,
    /// Right, and may still surprise.
    Note,
    /// Works, or may work, and not as it should.
    Warning,
    /// Something does not work.
    Error,
}

impl Level {
    /// The word for it in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Well => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What was looked at, in words that stay: `config.mistake`. What stands before the dot is its [`Chapter`].
    pub check: &'static str,
    /// How bad it is.
    pub level: Level,
    /// Whom it concerns: a server, a file, a client. May be empty.
    pub subject: String,
    /// What was found.
    pub message: String,
    /// What to do.
    pub advice: Option<String>,
    /// What somebody else wrote about it, line by line.
    pub output: Vec<String>,
    /// The same in figures and words for programs.
    pub details: Map<String, Value>,
}

impl Finding {
    /// Something that is well.
    pub fn well(check: &'static str, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            check,
            level: Level::Well,
            subject: subject.into(),
            message: message.into(),
            advice: None,
            output: Vec::new(),
            details: Map::new(),
        }
    }

    /// Something that is not, with what to do.
    pub fn bad(
        check: &'static str,
        level: Level,
        subject: impl Into<String>,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { level, advice: Some(advice.into()), ..Self::well(check, subject, message) }
    }

    /// Something worth knowing.
    pub fn note(
        check: &'static str,
        subject: impl Into<String>,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::bad(check, Level::Note, subject, message, advice)
    }

    /// Something that is not as it should be.
    pub fn warning(
        check: &'static str,
        subject: impl Into<String>,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::bad(check, Level::Warning, subject, message, advice)
    }

    /// Something that does not work.
    pub fn error(
        check: &'static str,
        subject: impl Into<String>,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::bad(check, Level::Error, subject, message, advice)
    }

    /// The same with one more detail.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.details.insert(key.to_owned(), value.into());
        self
    }

    /// The same with what somebody wrote about it.
    pub fn quoting(self, output: Vec<String>) -> Self {
        Self { output, ..self }
    }

    /// The chapter in which it stands.
    pub fn chapter(&self) -> Chapter {
        let word = self.check.split('.').next().unwrap_or_default();
        Chapter::ALL.into_iter().find(|chapter| chapter.word() == word).unwrap_or(Chapter::Doctor)
    }

    /// The same for programs.
    pub fn to_json(&self) -> Value {
        let mut all = json!({
            "check": self.check,
            "level": self.level.word(),
            "subject": self.subject,
            "message": self.message,
            "advice": self.advice,
        });
        if let Some(all) = all.as_object_mut() {
            if !self.output.is_empty() {
                all.insert("output".into(), self.output.clone().into());
            }
            all.extend(self.details.clone());
        }
        all
    }
}

/// What is looked at together, in the order in which it is shown where nothing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Chapter {
    /// The configuration.
    Config,
    /// The data folder and the record.
    Data,
    /// The programs that servers are started with.
    Program,
    /// The servers themselves.
    Server,
    /// The names of what they offer.
    Name,
    /// The clients' files.
    Client,
    /// The bridges that run, and what dead ones left.
    Bridge,
    /// The doctor's own work.
    Doctor,
}

impl Chapter {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Config,
        Self::Data,
        Self::Program,
        Self::Server,
        Self::Name,
        Self::Client,
        Self::Bridge,
        Self::Doctor,
    ];

    /// What its checks begin with.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Data => "data",
            Self::Program => "program",
            Self::Server => "server",
            Self::Name => "name",
            Self::Client => "client",
            Self::Bridge => "bridge",
            Self::Doctor => "doctor",
        }
    }

    /// Its heading.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Config => "Configuration",
            Self::Data => "Data folder",
            Self::Program => "Programs",
            Self::Server => "Servers",
            Self::Name => "Names",
            Self::Client => "Clients",
            Self::Bridge => "Bridges that run",
            Self::Doctor => "Not looked at",
        }
    }
}
