//! The calls that end, one after another, while the record grows.

use std::collections::HashSet;

use crate::store::ids::CallId;
use crate::store::read::Reader;
use crate::store::read::answers::CallRow;
use crate::store::read::ended::Ended;

/// A call that began so long ago and has no open row has its whole row by now, milliseconds.
const LATE_MS: i64 = 5_000;

/// So many calls are told of one look; of more, the newest.
const ROWS_MAX: u32 = 50_000;

/// Where somebody stands who follows them.
#[derive(Debug)]
pub struct Following {
    /// Whatever began before had ended at the last look, or was open, Unix milliseconds.
    from_ms: i64,
    /// What was open at the last look, however old: a call may take its time, and a crash leaves its calls open.
    open: HashSet<CallId>,
    /// Of what began since, those that are told already.
    told: HashSet<i64>,
}

impl Following {
    /// From a time on, Unix milliseconds; the first look finds what ended in the seconds before, too.
    #[must_use]
    pub fn from(now_ms: i64) -> Self {
        Self { from_ms: now_ms - LATE_MS, open: HashSet::new(), told: HashSet::new() }
    }

    /// The calls of this kind that ended since the last look, the oldest first.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub fn next(&mut self, reader: &Reader, which: Ended<'_>, now_ms: i64) -> rusqlite::Result<Vec<CallRow>> {
        let from = CallId::first_at(self.from_ms);
        // Before the calls: what ends between the two is not among those that have ended, or is told at once.
        let mut open: HashSet<CallId> = reader.open_ids()?.into_iter().collect();
        let mut rows = reader.ended(&Ended { from, ..which }, ROWS_MAX)?;
        let mut old: Vec<CallId> = self.open.difference(&open).copied().filter(|id| *id < from).collect();
        old.sort_unstable();
        for id in old.into_iter().rev() {
            rows.extend(reader.ended_call(&which, id)?);
        }
        let ended: HashSet<i64> = rows.iter().map(|row| row.id).collect();
        open.retain(|id| !ended.contains(&id.number()));
        self.open = open;
        self.from_ms = now_ms - LATE_MS;
        let from = CallId::first_at(self.from_ms).number();
        let told = std::mem::replace(&mut self.told, ended.into_iter().filter(|id| *id >= from).collect());
        rows.retain(|row| !told.contains(&row.id));
        rows.reverse();
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome;
    use crate::store::ids::{CallIds, SessionId};
    use crate::store::lock::SessionLock;
    use crate::store::rows::{CallBegun, CallFinished};
    use crate::store::{Journal, Options, stamp};

    struct Room {
        dir: tempfile::TempDir,
        journal: Journal,
        ids: CallIds,
        session: SessionId,
        _lock: SessionLock,
    }

    impl Room {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let session = SessionId::new(stamp::now_ms());
            let lock = SessionLock::create(dir.path(), session).unwrap();
            let journal = Journal::open(dir.path(), Options::default());
            Self { dir, journal, ids: CallIds::new(), session, _lock: lock }
        }

        fn begun(&self, tool: &str, started_at_ms: i64) -> CallBegun {
            CallBegun {
                call: self.ids.next(started_at_ms),
                session: self.session,
                request_id: "7".into(),
                server: Some("s".into()),
                tool: tool.into(),
                started_at_ms,
                request_bytes: 1,
            }
        }

        async fn failed(&self, begun: CallBegun) {
            let (duration_us, outcome) = (1_000, Outcome::ToolError);
            let call = CallFinished { begun, duration_us, outcome, error_kind: None, response_bytes: 1 };
            self.journal.finish(vec![call]).await;
        }

        fn next(&self, following: &mut Following, now_ms: i64) -> Vec<String> {
            let reader = Reader::open(self.dir.path()).unwrap().unwrap();
            let which = Ended { from: CallId::first_at(0), failed: true, server: None, session: None };
            let rows = following.next(&reader, which, now_ms).unwrap();
            rows.into_iter().map(|row| row.tool).collect()
        }
    }

    #[tokio::test]
    async fn an_open_call_makes_no_old_one_new_and_its_own_end_is_told_once() {
        let room = Room::new();
        let now_ms = stamp::now_ms();
        let hour_ms = now_ms - stamp::HOUR_MS;
        let (left, slow) = (room.begun("left", hour_ms - 1), room.begun("slow", hour_ms));
        room.journal.begin(left);
        room.journal.begin(slow.clone());
        room.journal.flush().await;
        room.failed(room.begun("old", hour_ms + 1)).await;
        room.failed(room.begun("late", now_ms - 1_000)).await;
        let mut following = Following::from(now_ms);
        assert_eq!(room.next(&mut following, now_ms), ["late"]);
        assert!(room.next(&mut following, now_ms + 1_000).is_empty(), "nothing has ended since");
        room.failed(room.begun("new", now_ms + 1_500)).await;
        room.failed(slow).await;
        assert_eq!(room.next(&mut following, now_ms + 2_000), ["slow", "new"]);
        for passed_ms in [3_000, 6_000, 20_000] {
            assert!(room.next(&mut following, now_ms + passed_ms).is_empty());
        }
    }

    #[tokio::test]
    async fn a_call_that_takes_longer_than_the_looks_is_told_when_it_ends() {
        let room = Room::new();
        let now_ms = stamp::now_ms();
        room.failed(room.begun("first", now_ms - stamp::HOUR_MS)).await;
        let mut following = Following::from(now_ms);
        assert!(room.next(&mut following, now_ms).is_empty());
        let slow = room.begun("slow", now_ms + 100);
        room.journal.begin(slow.clone());
        room.journal.flush().await;
        for passed_ms in [1_000, 10_000, 60_000] {
            assert!(room.next(&mut following, now_ms + passed_ms).is_empty());
        }
        room.failed(slow).await;
        assert_eq!(room.next(&mut following, now_ms + 61_000), ["slow"]);
        assert!(room.next(&mut following, now_ms + 62_000).is_empty());
    }
}
