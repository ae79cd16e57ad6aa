-- The second step of the schema: what is stored of a server is everything that it offers, and who it is.
--
-- `schema.sql` is the first step and was shipped; a shipped step is never edited. The tables of today
-- are what all steps make, in order: `schema.sql`, then the files of this folder.
--
-- `catalog` keeps its key, and what it said of its columns holds, but for `listed_at`: when the server
-- was last heard to offer something new. A row of the first step has null in every new column.

-- its prompts, a JSON array; null as long as they are not known
ALTER TABLE catalog ADD COLUMN prompts          TEXT;
-- its resources, likewise
ALTER TABLE catalog ADD COLUMN resources        TEXT;
-- its resource templates, likewise
ALTER TABLE catalog ADD COLUMN templates        TEXT;
-- by which rules it was spoken to: legacy (`initialize`) or modern (`server/discover`); null if it never answered
ALTER TABLE catalog ADD COLUMN era              TEXT;
-- 1 if it was asked for the modern rules and does not know them; else null
ALTER TABLE catalog ADD COLUMN legacy_only      INTEGER;
-- the MCP revision that it spoke: 2025-11-25
ALTER TABLE catalog ADD COLUMN protocol_version TEXT;
-- what it can do, the JSON object that it sent
ALTER TABLE catalog ADD COLUMN capabilities     TEXT;
-- who it is, the JSON object that it sent
ALTER TABLE catalog ADD COLUMN server_info      TEXT;
-- what it tells a client's model about itself
ALTER TABLE catalog ADD COLUMN instructions     TEXT;
-- when its program was changed last, at the time of that answer: `era` counts only while this is the same;
-- null if the program was not found
ALTER TABLE catalog ADD COLUMN binary_time      TEXT;
