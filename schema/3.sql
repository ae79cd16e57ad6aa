-- The third step of the schema: what each tool was when it was first seen, or approved, so that a server cannot
-- change what a model reads of it without a word.
--
-- A tool that its server offers otherwise now is not stored here: that is what `catalog` says of it. It is another
-- one when the hashes differ, new when it has no row and others of its server have, gone when only its row is left.
CREATE TABLE tool_pins (
    server      TEXT NOT NULL, -- the configured server; whoever changes its command keeps its pins
    tool        TEXT NOT NULL, -- the tool's name as that server calls it
    hash        TEXT NOT NULL, -- SHA-256 of its name, title, description, schemas and annotations, whatever their order
    definition  TEXT NOT NULL, -- the JSON object that the server sent
    first_seen  TEXT NOT NULL, -- when it was pinned first
    approved_at TEXT,          -- when the user last approved it; null if it is as it was first seen
    let_go_at   TEXT,          -- when the user took note that it is gone; null else
    PRIMARY KEY (server, tool)
) STRICT, WITHOUT ROWID;
