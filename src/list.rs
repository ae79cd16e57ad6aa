//! The four lists of MCP: everything that a server can offer stands in one of them.

/// One of the lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum List {
    /// What a model may call.
    Tools,
    /// What a person may choose to say.
    Prompts,
    /// What can be read, each under its URI.
    Resources,
    /// What can be read under URIs of a form.
    Templates,
}

impl List {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 4] = [Self::Tools, Self::Prompts, Self::Resources, Self::Templates];

    /// The notifications that say that lists have changed.
    pub const CHANGED: [&'static str; 3] = [
        "notifications/tools/list_changed",
        "notifications/prompts/list_changed",
        "notifications/resources/list_changed",
    ];

    /// The request that asks for it.
    #[must_use]
    pub const fn method(self) -> &'static str {
        match self {
            Self::Tools => "tools/list",
            Self::Prompts => "prompts/list",
            Self::Resources => "resources/list",
            Self::Templates => "resources/templates/list",
        }
    }

    /// The list that a request asks for.
    #[must_use]
    pub fn of_method(method: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|list| list.method() == method)
    }

    /// The member of the result that holds it.
    #[must_use]
    pub const fn member(self) -> &'static str {
        match self {
            Self::Templates => "resourceTemplates",
            other => other.word(),
        }
    }

    /// The capability that promises it.
    #[must_use]
    pub const fn feature(self) -> &'static str {
        match self {
            Self::Templates => "resources",
            other => other.word(),
        }
    }

    /// The word for it in record, status and log.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "templates",
        }
    }

    /// The lists that a notification says have changed; none for every other notification.
    #[must_use]
    pub fn changed_by(notification: &str) -> &'static [Self] {
        match notification {
            "notifications/tools/list_changed" => &[Self::Tools],
            "notifications/prompts/list_changed" => &[Self::Prompts],
            "notifications/resources/list_changed" => &[Self::Resources, Self::Templates],
            _ => &[],
        }
    }
}

/// Something for each of the lists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Each<T> {
    /// That of the tools.
    pub tools: T,
    /// That of the prompts.
    pub prompts: T,
    /// That of the resources.
    pub resources: T,
    /// That of the resource templates.
    pub templates: T,
}

impl<T> Each<T> {
    /// Makes each.
    pub fn of(mut make: impl FnMut(List) -> T) -> Self {
        Self {
            tools: make(List::Tools),
            prompts: make(List::Prompts),
            resources: make(List::Resources),
            templates: make(List::Templates),
        }
    }

    /// That of a list.
    pub const fn get(&self, list: List) -> &T {
        match list {
            List::Tools => &self.tools,
            List::Prompts => &self.prompts,
            List::Resources => &self.resources,
            List::Templates => &self.templates,
        }
    }

    /// That of a list, to change it.
    pub const fn get_mut(&mut self, list: List) -> &mut T {
        match list {
            List::Tools => &mut self.tools,
            List::Prompts => &mut self.prompts,
            List::Resources => &mut self.resources,
            List::Templates => &mut self.templates,
        }
    }
}
