//! What a table of kernel measurements shows.

use super::KernelRecord;
use super::output::{Column, Tabular};
use crate::units::{duration, three_digits};

impl Tabular for KernelRecord {
    const COLUMNS: &'static [Column] = &[
        Column::text("case"),
        Column::text("kernel/variant"),
        Column::number("device median"),
        Column::number("min"),
        Column::number("p95"),
        Column::number("wall median"),
        Column::number("spread"),
        Column::number("GFLOP/s"),
        Column::number("GB/s"),
        Column::number("FLOP/B"),
        Column::number("of its bound"),
        Column::text("bound"),
        Column::number("of its loop"),
        Column::number("NMSE"),
    ];

    fn cells(&self) -> Vec<String> {
        let time = |nanoseconds: Option<f64>| nanoseconds.map_or_else(|| "-".to_owned(), duration);
        let figure = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), three_digits);
        let percent = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |percent| format!("{percent:.1} %"));
        // Where the device has no clock, the wall's figures stand in for its own.
        let (min, p95) = (self.device_min_ns.or(self.wall_min_ns), self.device_p95_ns.or(self.wall_p95_ns));
        let (mean, deviation) =
            (self.device_mean_ns.or(self.wall_mean_ns), self.device_stddev_ns.or(self.wall_stddev_ns));
        let spread = mean.zip(deviation).filter(|(mean, _)| *mean > 0.0).map(|(mean, s)| 100.0 * s / mean);
        let nmse = match (&self.fault, self.nmse) {
            (Some(_), _) => "WRONG".to_owned(),
            (None, Some(0.0)) => "0".to_owned(),
            (None, Some(nmse)) => format!("{nmse:.1e}"),
            (None, None) => "-".to_owned(),
        };
        vec![
            self.name.clone(),
            format!("{}/{}", self.kernel, self.variant),
            time(self.device_median_ns),
            time(min),
            time(p95),
            time(self.wall_median_ns),
            spread.map_or_else(|| "-".to_owned(), |percent| format!("{percent:.0} %")),
            figure(self.gflops),
            figure(self.gbps),
            figure(self.intensity),
            percent(self.percent_of_bound),
            self.bound.unwrap_or("-").to_owned(),
            percent(self.percent_of_inner_loop),
            nmse,
        ]
    }
}
