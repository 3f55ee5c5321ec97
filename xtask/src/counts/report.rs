//! The comparison as text.

use std::fmt::Write as _;

use super::baseline::{Change, Compared, TOLERANCE};

/// Returns a table of all pieces.
pub(super) fn table(compared: &[Compared]) -> String {
    let names = compared.iter().map(|it| it.piece.len());
    let width = names.max().unwrap_or_default().max("piece".len());
    let mut table = format!("{:width$} {:>12} {:>12}  ratio", "piece", "baseline", "now");
    for Compared {
        piece,
        baseline,
        now,
        change,
    } in compared
    {
        let [before, after] = [baseline, now].map(|count| count.map_or("-".to_owned(), grouped));
        let ratio = ratio(*baseline, *now).map_or("-".to_owned(), |ratio| format!("{ratio:.3}"));
        let remark = match change {
            Change::None => "",
            Change::More => "  MORE than tolerated",
            Change::Less => "  less: record it with --update, so that it is not lost",
            Change::New => "  NEW",
            Change::Gone => "  GONE",
        };
        let _ = write!(
            table,
            "\n{piece:width$} {before:>12} {after:>12}  {ratio:>5}{remark}"
        );
    }
    table
}

/// Returns a sentence for each piece that fails the check.
pub(super) fn problems(compared: &[Compared]) -> Vec<String> {
    let problem = |it: &Compared| match it.change {
        Change::None | Change::Less => None,
        Change::More => Some(format!(
            "{} takes {:.1} percent more instructions ({:.0} are tolerated)",
            it.piece,
            (ratio(it.baseline, it.now).unwrap_or(1.0) - 1.0) * 100.0,
            TOLERANCE * 100.0
        )),
        Change::New => Some(format!("{} has no baseline", it.piece)),
        Change::Gone => Some(format!("{} has a baseline, but is not counted", it.piece)),
    };
    compared.iter().filter_map(problem).collect()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a count of 2^53 would take days"
)]
fn ratio(baseline: Option<u64>, now: Option<u64>) -> Option<f64> {
    let baseline = baseline.filter(|baseline| *baseline > 0)?;
    Some(now? as f64 / baseline as f64)
}

/// Returns a number with a comma between thousands.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_said() {
        let compared = |change, baseline, now| Compared {
            piece: "wagi.request".to_owned(),
            baseline,
            now,
            change,
        };
        let more = compared(Change::More, Some(10_000), Some(10_412));
        let less = compared(Change::Less, Some(10_000), Some(9_000));
        let new = compared(Change::New, None, Some(1));
        let compared = [more, less, new];
        assert_eq!(
            problems(&compared),
            [
                "wagi.request takes 4.1 percent more instructions (3 are tolerated)",
                "wagi.request has no baseline",
            ]
        );
        let table = table(&compared);
        assert!(
            table.contains("10,000       10,412  1.041  MORE"),
            "{table}"
        );
    }
}
