//! Whether something grew.
//!
//! Only rest points count, when a round has let go everything: then what is held must be what was held after any other
//! round. The first quarter of them is for warming up: tables of the system's and the residents' find their size, the
//! allocator gets its arenas. Of the rest, the last quarter is held against the second one, so that half of the run lies
//! between their middles.
//!
//! - *Threads, handles*: no rest point of the last quarter has more than the most of the second. A thing that is left
//!   behind now and then is one more for each later rest point, so it cannot hide in a spread.
//! - *Held bytes*: the medians differ by at most 8 KiB. The medians forgive what a single round does, and nothing that
//!   adds up: in 100 million calls it is one byte for each 6,000 of them.
//! - *Resident memory*: the medians differ by at most a tenth and 2 MiB. It is the allocator's and the system's as well,
//!   which go on finding their size; so this is a coarse net, for what the allocator is not asked for: stacks, mapped files.

use crate::sample::Sample;
use std::fmt;

/// Fewer rest points cannot be told from chance.
pub(crate) const FEWEST: usize = 16;

/// One of the things that must not grow.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finding {
    pub(crate) what: &'static str,
    pub(crate) before: f64,
    pub(crate) after: f64,
    pub(crate) allowed: f64,
}

impl Finding {
    pub(crate) fn is_flat(&self) -> bool {
        self.after <= self.before + self.allowed
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, before, after, allowed } = self;
        let verdict = if self.is_flat() { "flat" } else { "GROWS" };
        let more = after - before;
        write!(f, "{what:<16} {before:>14.0} {after:>14.0} {more:>+10.0} (allowed {allowed:.0}): {verdict}")
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) { (values[middle - 1] + values[middle]) / 2.0 } else { values[middle] }
}

fn most(values: Vec<f64>) -> f64 {
    values.into_iter().fold(f64::MIN, f64::max)
}

/// Of each thing, whether it grew; none if there are too few rest points to say so.
pub(crate) fn judge(samples: &[Sample]) -> Option<Vec<Finding>> {
    let rests: Vec<_> = samples.iter().filter(|sample| sample.at_rest).collect();
    if rests.len() < FEWEST {
        return None;
    }
    let quarter = rests.len() / 4;
    let (second, last) = (&rests[quarter..2 * quarter], &rests[rests.len() - quarter..]);
    let find = |what, of: fn(&Sample) -> f64, figure: fn(Vec<f64>) -> f64, allowed: fn(f64) -> f64| {
        let figure = |part: &[&Sample]| figure(part.iter().map(|sample| of(sample)).collect());
        let (before, after) = (figure(second), figure(last));
        Finding { what, before, after, allowed: allowed(before) }
    };
    Some(vec![
        find("held bytes", |sample| sample.held as f64, median, |_| 8_192.0),
        find("resident bytes", |sample| sample.resident as f64, median, |before| before / 10.0 + 2_097_152.0),
        find("threads", |sample| sample.threads as f64, most, |_| 0.0),
        find("handles", |sample| sample.handles as f64, most, |_| 0.0),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run of 100 rounds that is flat but for what the function does to it.
    fn run(changes: impl Fn(usize, &mut Sample)) -> Vec<&'static str> {
        let samples: Vec<_> = (0..100)
            .map(|n| {
                let noise = (n * 7 % 11) as i64;
                let resident = 40_000_000 + 10_000 * noise as u64;
                let mut sample = Sample {
                    at_rest: true,
                    held: 90_000 + 64 * noise,
                    resident,
                    threads: 7,
                    handles: 4,
                    ..Sample::default()
                };
                changes(n, &mut sample);
                sample
            })
            .collect();
        let findings = judge(&samples).expect("enough rest points");
        findings.iter().filter(|finding| !finding.is_flat()).map(|finding| finding.what).collect()
    }

    #[test]
    fn what_only_wavers_is_flat() {
        assert!(run(|_, _| {}).is_empty());
    }

    #[test]
    fn warming_up_is_no_growth() {
        let warms = |n: usize, sample: &mut Sample| {
            if n < 25 {
                sample.held -= 6_000 * (25 - n as i64);
                sample.resident -= 1_000_000 * (25 - n as u64);
                sample.threads -= 2;
            }
        };
        assert!(run(warms).is_empty());
    }

    #[test]
    fn one_bad_round_is_no_growth_of_memory() {
        assert!(
            run(|n, sample| if n == 80 {
                sample.held += 1_000_000
            })
            .is_empty()
        );
    }

    #[test]
    fn two_hundred_bytes_a_round_are_found() {
        assert_eq!(run(|n, sample| sample.held += 200 * n as i64), ["held bytes"]);
    }

    #[test]
    fn a_step_in_the_middle_is_found() {
        assert_eq!(
            run(|n, sample| if n > 60 {
                sample.held += 9_000
            }),
            ["held bytes"]
        );
    }

    #[test]
    fn stacks_and_maps_that_stay_are_found() {
        assert_eq!(run(|n, sample| sample.resident += 200_000 * n as u64), ["resident bytes"]);
    }

    #[test]
    fn one_thread_that_stays_is_found() {
        assert_eq!(
            run(|n, sample| if n > 90 {
                sample.threads += 1
            }),
            ["threads"]
        );
    }

    #[test]
    fn one_handle_that_stays_is_found() {
        assert_eq!(run(|n, sample| sample.handles += n / 40), ["handles"]);
    }

    #[test]
    fn what_is_held_in_the_middle_of_a_round_does_not_count() {
        assert!(
            run(|n, sample| if n % 5 == 0 {
                (sample.at_rest, sample.held) = (false, 1 << 40)
            })
            .is_empty()
        );
    }

    #[test]
    fn few_rounds_say_nothing() {
        assert_eq!(judge(&[Sample { at_rest: true, ..Sample::default() }; FEWEST - 1]), None);
    }
}
