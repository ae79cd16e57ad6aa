//! Whether a URI can come of a URI template (RFC 6570), as far as it takes to find its server.

/// Expressions that a template may have to be matched at all.
const EXPRESSIONS_MAX: usize = 32;

/// The longest URI that is matched, in bytes. Time grows with its length and the number of expressions.
const URI_BYTES_MAX: usize = 8 * 1024;

/// A template, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// This very text.
    Literal(Box<str>),
    /// Any text, also none, without a slash: `{x}`, `{.x}`.
    Segment,
    /// Any text, also none: `{+x}`, `{/x*}`, `{?x,y}`, …
    Anything,
}

impl Template {
    /// Takes a template apart; a brace that nothing closes is a literal.
    pub fn parse(text: &str) -> Self {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, expression, after)) = first_expression(rest) {
            parts.extend((!before.is_empty()).then(|| Part::Literal(before.into())));
            parts.push(match expression.starts_with(['+', '#', '/', '?', '&', ';']) {
                true => Part::Anything,
                false => Part::Segment,
            });
            rest = after;
        }
        parts.extend((!rest.is_empty()).then(|| Part::Literal(rest.into())));
        Self(parts)
    }

    /// Whether the URI has the template's literal parts in their order, and fitting text between them.
    pub fn matches(&self, uri: &str) -> bool {
        self.walk(uri).0
    }

    /// Whether it matches, and how many places and bytes were looked at for it: for each part, few times as
    /// many as the URI has bytes.
    fn walk(&self, uri: &str) -> (bool, usize) {
        let expressions = self.0.iter().filter(|part| !matches!(part, Part::Literal(_))).count();
        if uri.len() > URI_BYTES_MAX || expressions > EXPRESSIONS_MAX {
            return (false, 0);
        }
        let uri = uri.as_bytes();
        let mut steps = 0;
        // The places up to which the parts so far can reach.
        let mut reached = vec![0];
        for part in &self.0 {
            steps += reached.len();
            reached = part.reach(uri, &reached, &mut steps);
            steps += reached.len();
            if reached.is_empty() {
                return (false, steps);
            }
        }
        (reached.last() == Some(&uri.len()), steps)
    }
}

impl Part {
    /// Where the part can end when it begins at one of these places; both are sorted, without doubles.
    /// What is looked at beside them is added to the steps.
    fn reach(&self, uri: &[u8], from: &[usize], steps: &mut usize) -> Vec<usize> {
        let rest = |&at: &usize| uri.get(at..).unwrap_or_default();
        match self {
            Self::Literal(text) => {
                let fits = from.iter().filter(|at| rest(at).starts_with(text.as_bytes()));
                fits.map(|at| at + text.len()).collect()
            }
            Self::Anything => from.first().map(|&first| (first..=uri.len()).collect()).unwrap_or_default(),
            Self::Segment => {
                let mut reached: Vec<usize> = Vec::new();
                for at in from {
                    // All that begin before the same slash end before it: it is looked for once.
                    if reached.last().is_none_or(|end| end < at) {
                        let bytes = rest(at).iter().take_while(|byte| **byte != b'/').count();
                        *steps += bytes;
                        reached.extend(*at..=at + bytes);
                    }
                }
                reached
            }
        }
    }
}

/// What stands before the first expression, in it, and behind it.
fn first_expression(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('{')?;
    let (expression, after) = rest.split_once('}')?;
    Some((before, expression, after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(template: &str, uri: &str, expected: bool) {
        assert_eq!(Template::parse(template).matches(uri), expected, "{template} {uri}");
    }

    #[test]
    fn a_uri_matches_the_template_that_it_can_come_of() {
        check("file:///{path}", "file:///a.txt", true);
        check("file:///{path}", "file:///a/b.txt", false);
        check("file:///{+path}", "file:///a/b.txt", true);
        check("db{/table*}", "db/a/b", true);
        check("db://{table}/rows/{id}", "db://t/rows/7", true);
        check("db://{table}/rows/{id}", "db://t/u/rows/7", false);
        check("db://{table}/rows/{id}", "db://t/rows", false);
        check("search{?q,n}", "search?q=a/b&n=1", true);
        check("search{?q,n}", "search", true);
        check("no/expression", "no/expression", true);
        check("no/expression", "no/expressions", false);
        check("open{brace", "open{brace", true);
        check("{a}x{b}x", "xxxx", true);
        check("{a}", "", true);
    }

    #[test]
    fn a_hostile_template_or_uri_matches_nothing_and_takes_no_time() {
        check(&"{+a}".repeat(100_000), "x", false);
        check("{+a}", &"x".repeat(100_000), false);
        check(&"{+a}x".repeat(EXPRESSIONS_MAX), &"x".repeat(URI_BYTES_MAX), true);
    }

    #[test]
    fn the_steps_of_a_match_grow_with_the_uri_and_not_with_its_square() {
        let plain = "x".repeat(URI_BYTES_MAX);
        let slashes = "x/".repeat(URI_BYTES_MAX / 2);
        let runs = format!("{}/", "x".repeat(255)).repeat(URI_BYTES_MAX / 256);
        for number in 0..20 {
            for (expression, uri) in ["{x}", "{+x}", "{x}x", "{x}/{+x}"]
                .into_iter()
                .flat_map(|expression| [&plain, &slashes, &runs].map(|uri| (expression, uri)))
            {
                // The last sixteen of them want an end that the URI does not have.
                let end = if number < 4 { String::new() } else { format!("!{number}") };
                let template = Template::parse(&format!("{}{end}", expression.repeat(EXPRESSIONS_MAX / 2)));
                let (matches, steps) = template.walk(uri);
                assert!(!matches || number < 4, "{expression}");
                let most = 3 * (template.0.len() + 1) * (URI_BYTES_MAX + 1);
                assert!(steps <= most, "{expression}: {steps} > {most}");
            }
        }
        let all = Template::parse(&"{x}".repeat(EXPRESSIONS_MAX));
        assert_eq!((all.walk(&plain).0, all.walk(&slashes).0), (true, false));
    }

    /// The same said without thrift.
    fn slow(parts: &[Part], uri: &str) -> bool {
        let Some((part, rest)) = parts.split_first() else { return uri.is_empty() };
        let mut ends = (0..=uri.len()).filter(|at| uri.is_char_boundary(*at));
        match part {
            Part::Literal(text) => uri.strip_prefix(&**text).is_some_and(|uri| slow(rest, uri)),
            Part::Anything => ends.any(|at| slow(rest, &uri[at..])),
            Part::Segment => ends.any(|at| !uri[..at].contains('/') && slow(rest, &uri[at..])),
        }
    }

    proptest! {
        #[test]
        fn every_expansion_matches(
            parts in prop::collection::vec(("[a-z/:]{0,3}", any::<bool>(), "[a-zü]{0,3}", "[a-z/ü]{0,4}"), 0..6),
        ) {
            let (mut template, mut uri) = (String::new(), String::new());
            for (literal, spans, plain, wide) in parts {
                template.push_str(&literal);
                template.push_str(if spans { "{+x}" } else { "{x}" });
                uri.push_str(&literal);
                uri.push_str(if spans { &wide } else { &plain });
            }
            prop_assert!(Template::parse(&template).matches(&uri), "{} {}", template, uri);
        }

        #[test]
        fn what_matches_is_what_the_rule_says(
            template in "([ab/]|\\{x\\}|\\{\\+x\\}|[{}]){0,8}",
            uri in "[ab/{}]{0,8}",
        ) {
            let template = Template::parse(&template);
            prop_assert_eq!(template.matches(&uri), slow(&template.0, &uri));
        }
    }
}
