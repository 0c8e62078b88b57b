//! CSV that a spreadsheet shows and does not run.

use super::Record;

/// The header line.
pub(super) const COLUMNS: [&str; 13] = [
    "time",
    "outcome",
    "action",
    "actorKind",
    "actor",
    "actorName",
    "objectKind",
    "object",
    "project",
    "address",
    "requestId",
    "position",
    "detail",
];

/// One record as cells.
pub(super) fn cells(record: &Record) -> [String; 13] {
    let row = &record.row;
    let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
    [
        row.at.to_string(),
        row.outcome.clone(),
        row.action.clone(),
        row.actor_kind.clone(),
        or_empty(&row.actor_id),
        or_empty(&record.actor_name),
        row.object_kind.clone(),
        or_empty(&row.object_id),
        or_empty(&record.project_name),
        or_empty(&row.address),
        row.request_id.clone(),
        row.position.map(|position| position.to_string()).unwrap_or_default(),
        row.detail.clone(),
    ]
    .map(harmless)
}

/// A cell that begins like a formula gets an apostrophe in front: spreadsheets
/// show the rest as text. Uids such as `0000000000e5` stay text all the same,
/// because they are never written as numbers.
fn harmless(cell: String) -> String {
    let risky =
        cell.trim_start().starts_with(['=', '+', '-', '@']) || cell.starts_with(['\t', '\r']);
    if risky { format!("'{cell}") } else { cell }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_can_start_a_formula() {
        for cell in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =cmd()"] {
            assert!(harmless(cell.to_owned()).starts_with('\''), "{cell:?}");
        }
        assert_eq!(harmless("cluster.import".to_owned()), "cluster.import");
    }
}
