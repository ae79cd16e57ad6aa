//! TOML to the common form.

use toml_edit::{Document, Item, TableLike};

use crate::config::tree::{Fault, Node, Value, member};

/// The whole text as one table.
pub(super) fn tree(text: &str) -> Result<Node, Fault> {
    // The error's own text quotes the line, which may hold a secret: only its message is used.
    let document = Document::parse(text).map_err(|error| Fault {
        at: error.span().map_or(0, |span| span.start),
        what: format!("not valid TOML: {}", error.message()),
    })?;
    Ok(Node { at: 0, path: String::new(), value: table(document.as_table(), "", 0) })
}

fn table(table: &dyn TableLike, path: &str, at: usize) -> Value {
    let members = table.iter().map(|(key, item)| {
        let at = table.key(key).and_then(toml_edit::Key::span).map_or(at, |span| span.start);
        let path = member(path, key);
        (key.to_owned(), Node { at, value: value(item, &path, at), path })
    });
    Value::Table(members.collect())
}

fn value(item: &Item, path: &str, at: usize) -> Value {
    if let Some(found) = item.as_table_like() {
        return table(found, path, at);
    }
    let Some(found) = item.as_value() else {
        return Value::Other("a list of tables");
    };
    match found {
        toml_edit::Value::String(text) => Value::Text(text.value().clone()),
        toml_edit::Value::Integer(number) => Value::Integer(*number.value()),
        toml_edit::Value::Boolean(truth) => Value::Bool(*truth.value()),
        toml_edit::Value::Float(_) => Value::Other("a number with a fraction"),
        toml_edit::Value::Datetime(_) => Value::Other("a date or time"),
        toml_edit::Value::InlineTable(found) => table(found, path, at),
        toml_edit::Value::Array(items) => {
            let items = items.iter().enumerate().map(|(index, item)| {
                let at = item.span().map_or(at, |span| span.start);
                let path = format!("{path}[{index}]");
                Node { at, value: value(&Item::Value(item.clone()), &path, at), path }
            });
            Value::List(items.collect())
        }
    }
}
