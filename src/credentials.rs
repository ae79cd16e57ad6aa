//! A reference to a secret, resolved late: `${env:NAME}` in the text of a configuration.
//!
//! Only `${env:NAME}` is replaced, at the moment a server is started. `$${env:NAME}` is that text
//! itself, and every other `$` stays what it is. A reference of another kind (`${input:key}`, as
//! some clients have it) is refused, for handing it on as text would start a server that fails
//! without a reason. What `Debug` and `Display` show never holds a literal part or a resolved value.

use std::fmt;

/// A text whose references are not resolved yet.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Template {
    written: String,
    parts: Vec<Part>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Part {
    Literal(String),
    Variable(String),
}

/// Why a text is not a template. Holds nothing of the text, which may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadTemplate {
    /// A reference without its end.
    #[error("a \"${{env:\" has no closing \"}}\", write ${{env:NAME}}, or $${{env: for the text itself")]
    Unclosed,
    /// A reference to something that cannot be a variable's name.
    #[error("a reference needs the name of a variable: ${{env:NAME}}")]
    BadName,
    /// A reference of another kind.
    #[error("only ${{env:NAME}} can be referred to, write $${{ for a plain ${{")]
    UnknownKind,
}

/// A variable that a template refers to is not set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable {name} is not set")]
pub struct MissingVariable {
    /// The variable's name.
    pub name: String,
}

impl Template {
    /// Takes a text as it stands in a configuration.
    ///
    /// # Errors
    /// When a reference has no end, no usable name, or is of an unknown kind.
    pub fn parse(text: &str) -> Result<Self, BadTemplate> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let Some((kind, body)) = reference(after) else {
                literal.push_str(before);
                literal.push_str("${");
                rest = after;
                continue;
            };
            if let Some(before) = before.strip_suffix('$') {
                literal.push_str(before);
                literal.push_str("${");
                rest = after;
                continue;
            }
            literal.push_str(before);
            if kind != "env" {
                return Err(BadTemplate::UnknownKind);
            }
            let (name, after) = body.split_once('}').ok_or(BadTemplate::Unclosed)?;
            if !is_variable(name) {
                return Err(BadTemplate::BadName);
            }
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(Part::Variable(name.to_owned()));
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self { written: text.to_owned(), parts })
    }

    /// The text as it was written, references unresolved. It may hold a secret that its owner wrote
    /// out: never for a log, a row or a reply.
    #[must_use]
    pub fn as_written(&self) -> &str {
        &self.written
    }

    /// The names of the variables that it refers to.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(name) => Some(name.as_str()),
            Part::Literal(_) => None,
        })
    }

    /// The text with every reference replaced. The result is a secret.
    ///
    /// # Errors
    /// When `lookup` knows no value for one of the names.
    pub fn resolve(&self, lookup: impl Fn(&str) -> Option<String>) -> Result<String, MissingVariable> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Variable(name) => {
                    let value = lookup(name).ok_or_else(|| MissingVariable { name: name.clone() })?;
                    text.push_str(&value);
                }
            }
        }
        Ok(text)
    }
}

/// The kind and the rest of a reference whose `${` was just read: a lower-case word and a colon, and
/// not one of the shell's own forms (`${name:-default}`, `${name:0:2}`).
fn reference(text: &str) -> Option<(&str, &str)> {
    let (kind, body) = text.split_once(':')?;
    let is_word = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_lowercase());
    let is_shell = kind != "env" && !body.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '}');
    (is_word && !is_shell).then_some((kind, body))
}

/// Whether a variable can have this name: Windows has `ProgramFiles(x86)`, so much is allowed.
fn is_variable(name: &str) -> bool {
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '=' | '$' | '{');
    !name.is_empty() && !name.contains(is_odd)
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Literal(_) => f.write_str("***"),
            Part::Variable(name) => write!(f, "${{env:{name}}}"),
        })
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let lookup = |name: &str| (name != "GONE").then(|| name.to_lowercase());
        assert_eq!(Template::parse(text).unwrap().resolve(lookup).unwrap(), expected);
    }

    #[track_caller]
    fn check_refused(text: &str, expected: BadTemplate) {
        assert_eq!(Template::parse(text), Err(expected));
    }

    #[test]
    fn a_reference_becomes_the_value_of_its_variable() {
        check("${env:TOKEN}", "token");
        check("Bearer ${env:TOKEN}, ${env:A}${env:ProgramFiles(x86)}!", "Bearer token, aprogramfiles(x86)!");
        check("", "");
    }

    #[test]
    fn every_other_dollar_stays() {
        for text in
            ["$", "$$", "$HOME", "${HOME}", "${X:-y}", "${x:-y}", "${x:0:2}", "a${", "$${HOME}", "${Env:X}"]
        {
            check(text, text);
        }
        check("$${env:TOKEN}", "${env:TOKEN}");
        check("$$${env:TOKEN}", "$${env:TOKEN}");
        check("$${input:key} ${env:TOKEN}", "${input:key} token");
    }

    #[test]
    fn a_reference_that_cannot_be_resolved_is_refused_at_once() {
        check_refused("${env:TOKEN", BadTemplate::Unclosed);
        check_refused("a ${env:", BadTemplate::Unclosed);
        check_refused("${env:}", BadTemplate::BadName);
        check_refused("${env:A=B}", BadTemplate::BadName);
        check_refused("${env:${env:A}}", BadTemplate::BadName);
        check_refused("${input:key}", BadTemplate::UnknownKind);
        check_refused("${foo:}", BadTemplate::UnknownKind);
        insta::assert_snapshot!(BadTemplate::Unclosed, @r#"a "${env:" has no closing "}", write ${env:NAME}, or $${env: for the text itself"#);
        insta::assert_snapshot!(BadTemplate::UnknownKind, @"only ${env:NAME} can be referred to, write $${ for a plain ${");
    }

    #[test]
    fn a_variable_that_is_not_set_is_named() {
        let missing = Template::parse("x${env:GONE}").unwrap().resolve(|_| None).unwrap_err();
        insta::assert_snapshot!(missing, @"the environment variable GONE is not set");
    }

    #[test]
    fn what_is_shown_holds_no_secret() {
        let template = Template::parse("s3cret-${env:TOKEN}").unwrap();
        assert_eq!(format!("{template} {template:?}"), "***${env:TOKEN} \"***${env:TOKEN}\"");
    }
}
