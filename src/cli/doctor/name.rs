//! The names under which clients see what servers offer: which meet, which are cut, which are too many.

use serde::Deserialize;

use crate::catalog::{Catalog, Clash, Offer};
use crate::cli::doctor::clients::Entered;
use crate::cli::doctor::finding::Finding;
use crate::cli::words;
use crate::list::List;
use crate::names::{self, SEPARATOR, SHOWN_NAME_CHARS_MAX, ServerName};

/// So many names are written out.
const NAMED_MAX: usize = 3;

/// What is to be said of the offers, to clients that have the bridge under these names.
pub fn look(offers: &[Offer], entered: &[Entered]) -> Vec<Finding> {
    let catalog = Catalog::merge(offers);
    let servers = offers.iter().filter(|offer| offer.server.is_some()).count();
    let tools = catalog.len(List::Tools);
    let mut findings: Vec<Finding> = catalog.clashes.iter().map(clash).collect();
    findings.extend(offers.iter().filter_map(cut));
    findings.extend(offers.iter().filter_map(idle));
    findings.extend(entered.iter().filter_map(|entered| too_many(tools, entered)));
    findings.extend(entered.iter().filter_map(|entered| too_long(offers, entered)));
    if findings.is_empty() && servers > 0 {
        let message = format!("{} tools, no name meets another, and none is cut", words::count(tools as u64));
        findings.push(Finding::well("name.tools", "", message));
    }
    findings.into_iter().map(|found| found.with("tools", tools)).collect()
}

fn clash(clash: &Clash) -> Finding {
    let server = clash.server.as_str();
    let finding = match &clash.shown {
        Some(shown) => {
            let message =
                format!("{} would be {} as another server's, and is {shown}", clash.name, clash.wanted);
            Finding::note("name.clash", server, message, "rename one of the two servers in the configuration")
        }
        None => {
            let message = format!("{} is another server's too, which is the one that is read", clash.name);
            let advice = "put the server first in the configuration whose resource is meant";
            Finding::note("name.uri", server, message, advice)
        }
    };
    finding
        .with("list", clash.list.word())
        .with("name", clash.name.as_str())
        .with("shown", clash.shown.clone())
}

/// The tools of a server, as it calls them.
fn tools(offer: &Offer) -> Vec<String> {
    #[derive(Deserialize)]
    struct Tool {
        name: String,
    }
    let tools = offer.items.get(List::Tools).iter();
    tools.filter_map(|tool| serde_json::from_str::<Tool>(tool).ok()).map(|tool| tool.name).collect()
}

/// Those that are shown, under the names that its entry gives them.
fn named(offer: &Offer) -> Vec<String> {
    let rules = &offer.shape.rules;
    let shown = tools(offer).into_iter().filter(|tool| rules.show(tool));
    shown.map(|tool| rules.name_of(&tool).to_owned()).collect()
}

/// What an entry says of tools that its server does not have.
fn idle(offer: &Offer) -> Option<Finding> {
    let server = offer.server.as_ref()?;
    let tools = tools(offer);
    let names: Vec<&str> = tools.iter().map(String::as_str).collect();
    let idle = Some(offer.shape.rules.idle(&names)).filter(|idle| !idle.is_empty() && !names.is_empty())?;
    let advice = "correct that in its entry, or remove it there";
    Some(Finding::note("name.idle", server.as_str(), idle.join("; "), advice))
}

/// Names that do not fit, and get a hash at their end.
fn cut(offer: &Offer) -> Option<Finding> {
    let server = offer.server.as_ref()?;
    let whole = |tool: &str| server.slug().len() + SEPARATOR.len() + tool.chars().count();
    let cut: Vec<String> =
        tools(offer).into_iter().filter(|tool| whole(tool) > SHOWN_NAME_CHARS_MAX).collect();
    let over = cut.iter().map(|tool| whole(tool) - SHOWN_NAME_CHARS_MAX).max()?;
    let message = match cut.len() {
        1 => format!("a tool's name is cut to {SHOWN_NAME_CHARS_MAX} characters: {}", some(&cut)),
        many => {
            format!("the names of {many} tools are cut to {SHOWN_NAME_CHARS_MAX} characters: {}", some(&cut))
        }
    };
    let advice = format!("a name for the server that is {over} shorter keeps them whole");
    let shown: Vec<String> = cut.iter().map(|tool| names::shown(server, tool)).collect();
    Some(Finding::note("name.cut", server.as_str(), message, advice).with("shown", shown))
}

fn some(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMED_MAX);
    let more = (more > 0).then(|| format!("and {more} more"));
    names.iter().take(NAMED_MAX).cloned().chain(more).collect::<Vec<_>>().join(", ")
}

fn too_many(tools: usize, entered: &Entered) -> Option<Finding> {
    let most = entered.client.tools_max()?;
    let title = entered.client.title();
    let message = format!("takes {most} tools, and there are {}", words::count(tools as u64));
    let advice = "show less of them: enabled = false, or allow and deny, in a server's entry";
    (tools > most).then(|| Finding::warning("name.many", title, message, advice).with("most", most))
}

/// A client counts the name of the bridge's entry in.
fn too_long(offers: &[Offer], entered: &Entered) -> Option<Finding> {
    let limit = entered.client.names();
    let most = limit.chars_max;
    let shown = |server: &Option<ServerName>, tool: &str| {
        server.as_ref().map_or_else(|| tool.to_owned(), |server| names::shown(server, tool))
    };
    let all =
        offers.iter().flat_map(|offer| named(offer).into_iter().map(|tool| shown(&offer.server, &tool)));
    let is_over = |name: &String| limit.chars(&entered.entry, name) > most;
    let over: Vec<String> = all.filter(is_over).collect();
    let message = format!(
        "hides {}: with that of its entry {} the name has more than {most} characters: {}",
        if over.len() == 1 { "a tool".to_owned() } else { format!("{} tools", over.len()) },
        entered.entry,
        some(&over)
    );
    let advice = format!("call the entry \"{}\" there, or shorter", crate::clients::ENTRY);
    (!over.is_empty()).then(|| Finding::warning("name.long", entered.client.title(), message, advice))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Shape;
    use crate::clients::Client;
    use crate::list::Each;

    fn offer(server: &str, tools: impl IntoIterator<Item = String>, uris: &[&str]) -> Offer {
        let tool = |name: String| format!(r#"{{"name":"{name}","inputSchema":{{}}}}"#).into();
        let resource = |uri: &&str| format!(r#"{{"uri":"{uri}","name":"r"}}"#).into();
        let items = Each {
            tools: tools.into_iter().map(tool).collect(),
            resources: uris.iter().map(resource).collect(),
            ..Each::default()
        };
        Offer { server: Some(ServerName::parse(server).unwrap()), items, shape: Shape::default() }
    }

    fn entered(client: Client, entry: &str) -> Entered {
        Entered { client, entry: entry.into() }
    }

    fn found(offers: &[Offer], clients: &[Entered]) -> String {
        let lines = look(offers, clients).into_iter().map(|found| {
            let advice = found.advice.map(|advice| format!(" -> {advice}")).unwrap_or_default();
            format!("{} {} {}: {}{advice}", found.level.word(), found.check, found.subject, found.message)
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn names_that_fit_are_quiet() {
        let offers = [offer("a", ["x".into(), "y".into()], &["file:///a"]), offer("b", ["x".into()], &[])];
        let clients = Client::ALL.map(|client| entered(client, "bridge"));
        assert_eq!(
            found(&offers, &clients),
            "ok name.tools : 3 tools, no name meets another, and none is cut"
        );
        let longest = [offer("server", ["t".repeat(42)], &[])];
        assert!(found(&longest, &clients).starts_with("ok "));
        assert_eq!(found(&[], &clients), "");
    }

    #[test]
    fn names_that_meet_or_are_cut_are_said() {
        let long = |n: usize| format!("a_tool_whose_name_goes_on_and_on_for_rather_long_{n}");
        let offers = [
            offer("a", ["b__c".into(), "x".into()], &["file:///a"]),
            offer("a__b", ["c".into()], &["file:///a"]),
            offer("long", (0..5).map(long), &[]),
        ];
        insta::assert_snapshot!(found(&offers, &[]), @r"
        note name.clash a__b: c would be a__b__c as another server's, and is a__b__c_n65lcx -> rename one of the two servers in the configuration
        note name.uri a__b: file:///a is another server's too, which is the one that is read -> put the server first in the configuration whose resource is meant
        note name.cut long: the names of 5 tools are cut to 50 characters: a_tool_whose_name_goes_on_and_on_for_rather_long_0, a_tool_whose_name_goes_on_and_on_for_rather_long_1, a_tool_whose_name_goes_on_and_on_for_rather_long_2, and 2 more -> a name for the server that is 6 shorter keeps them whole
        ");
    }

    #[test]
    fn more_than_a_client_takes_is_said() {
        let offers = [offer("a", (0..120).map(|n| format!("tool{n}")), &[])];
        let clients = [entered(Client::Vscode, "bridge"), entered(Client::Windsurf, "bridge")];
        insta::assert_snapshot!(found(&offers, &clients), @"warning name.many Windsurf: takes 100 tools, and there are 120 -> show less of them: enabled = false, or allow and deny, in a server's entry");
    }

    #[test]
    fn an_entry_with_a_long_name_hides_tools() {
        let offers = [offer("server", ["t".repeat(42)], &[])];
        let clients = [entered(Client::Cursor, "my-own-bridge"), entered(Client::ClaudeCode, "my-bridge")];
        insta::assert_snapshot!(found(&offers, &clients), @r#"
        warning name.long Cursor: hides a tool: with that of its entry my-own-bridge the name has more than 60 characters: server__tttttttttttttttttttttttttttttttttttttttttt -> call the entry "bridge" there, or shorter
        warning name.long Claude Code: hides a tool: with that of its entry my-bridge the name has more than 64 characters: server__tttttttttttttttttttttttttttttttttttttttttt -> call the entry "bridge" there, or shorter
        "#);
    }
}
