//! Figures as fields, one word each: what JSON and a spreadsheet show of them.

use serde_json::{Value, json};

use crate::store::totals::{Histogram, LIMITS_US, Totals};

/// The fields of one row, in their order.
pub type Fields = Vec<(&'static str, Value)>;

/// The same as a JSON object.
#[must_use]
pub fn object(fields: Fields) -> Value {
    Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// The fields of calls that were added up.
#[must_use]
pub fn sums(totals: &Totals) -> Fields {
    let percentile = |percent| json!(totals.histogram.percentile_us(percent).map(in_ms));
    vec![
        ("calls", json!(totals.calls)),
        ("errors", json!(totals.errors)),
        ("cancelled", json!(totals.cancelled)),
        ("errorRate", json!(error_rate(totals))),
        ("p50Ms", percentile(50)),
        ("p95Ms", percentile(95)),
        ("requestBytes", json!(totals.request_bytes)),
        ("responseBytes", json!(totals.response_bytes)),
        ("lastUsed", json!(crate::store::stamp::text(totals.last_used_ms))),
    ]
}

/// How many calls took how long: one row for each column of the histogram; the last has no limit.
#[must_use]
pub fn buckets(histogram: &Histogram) -> Vec<Fields> {
    let limits = LIMITS_US.iter().map(|&us| json!(in_ms(us))).chain([Value::Null]);
    limits
        .zip(histogram.columns())
        .map(|(upto, calls)| vec![("uptoMs", upto), ("calls", json!(calls))])
        .collect()
}

/// The share of the calls that count as errors; 0 without calls.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a rate that loses digits is of very many")]
pub fn error_rate(totals: &Totals) -> f64 {
    if totals.calls == 0 { 0.0 } else { totals.errors as f64 / totals.calls as f64 }
}

/// Microseconds as milliseconds.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a duration that loses digits lasts for centuries")]
pub fn in_ms(us: u64) -> f64 {
    us as f64 / 1000.0
}
