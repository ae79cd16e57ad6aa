//! A server that serves several clients lists the tasks of all of them: each client is shown its own, and those that
//! nobody has.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::downstream::connection::Answer;
use crate::wire::{Cut, Envelope, object, result_of, span_of, splice};

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    tasks: &'a RawValue,
}

#[derive(Deserialize)]
struct Task {
    #[serde(rename = "taskId")]
    id: String,
}

/// A page without the tasks that are others'.
pub(super) fn without(answer: Answer, is_theirs: impl Fn(&str) -> bool) -> Answer {
    let Some(line) = cut(&answer.line, is_theirs) else { return answer };
    let id = Envelope::parse(&line).ok().and_then(|envelope| span_of(&line, envelope.id?.get()));
    Answer { id: id.unwrap_or_default(), line, ..answer }
}

/// The line without them; `None` when it stays as it is.
fn cut(line: &Bytes, is_theirs: impl Fn(&str) -> bool) -> Option<Bytes> {
    let page: Page<'_> = object(result_of(line)?)?;
    let all: Vec<&RawValue> = serde_json::from_str(page.tasks.get()).ok()?;
    let is_shown = |task: &&&RawValue| !object::<Task>(task).is_some_and(|task| is_theirs(&task.id));
    let shown: Vec<&str> = all.iter().filter(is_shown).map(|task| task.get()).collect();
    if shown.len() == all.len() {
        return None;
    }
    let text = format!("[{}]", shown.join(","));
    let span = span_of(line, page.tasks.get())?;
    let mut line = splice(line, &[Cut { span, text: text.as_bytes() }]).pieces().concat();
    // The line's end.
    line.pop();
    Some(line.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(tasks: &str, expected: Option<&str>) {
        let line = |tasks: &str| Bytes::from(format!(r#"{{"id":1,"result":{{"tasks":{tasks},"a":1}}}}"#));
        assert_eq!(cut(&line(tasks), |id| id == "b"), expected.map(line));
    }

    #[test]
    fn others_tasks_are_cut_out_and_every_other_byte_stays() {
        check(
            r#"[{"taskId":"a"}, { "taskId" : "b","x":1},{"taskId":"c" }]"#,
            Some(r#"[{"taskId":"a"},{"taskId":"c" }]"#),
        );
        check(r#"[{"taskId":"b"}]"#, Some("[]"));
        check(r#"[{"taskId":"a"} , 7]"#, None);
    }
}
