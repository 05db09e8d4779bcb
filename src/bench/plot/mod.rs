//! Charts as one SVG file.

mod lines;
mod roofline;

use std::ops::Range;
use std::path::Path;

use plotters::prelude::*;

pub use lines::{Lines, Scale, Series};
pub use roofline::Roofline;

/// Pixels of one chart.
const SIZE: (u32, u32) = (960, 600);
const FONT: &str = "sans-serif";

/// One of the charts of a file.
pub enum Chart<'a> {
    Roofline(Roofline<'a>),
    Lines(Lines),
}

/// The file could not be made. What was there before is still there.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    #[error("the plot could not be drawn: {0}; leave --plot out")]
    Drawing(String),
    #[error("the plot cannot be written to {path}: {source}; choose another file")]
    Writing { path: String, source: std::io::Error },
}

/// Writes a file with the charts, one below the other. The file is replaced as a whole.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, charts: &[Chart<'_>]) -> Result<(), PlotError> {
    let text = draw(charts).map_err(|e| PlotError::Drawing(e.to_string()))?;
    let mut partial = path.as_os_str().to_owned();
    partial.push(".part");
    let written = std::fs::write(&partial, text).and_then(|()| std::fs::rename(&partial, path));
    written.map_err(|source| {
        // Of no use to anyone; if it cannot be removed either, the error below says enough.
        let _ = std::fs::remove_file(&partial);
        PlotError::Writing { path: path.display().to_string(), source }
    })
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type DrawingError<'a> = DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>;

fn draw(charts: &[Chart<'_>]) -> Result<String, DrawingError<'static>> {
    let mut text = String::new();
    {
        let count = charts.len().max(1);
        let whole = SVGBackend::with_string(&mut text, (SIZE.0, SIZE.1 * count as u32)).into_drawing_area();
        whole.fill(&WHITE)?;
        for (area, chart) in whole.split_evenly((count, 1)).iter().zip(charts) {
            match chart {
                Chart::Roofline(roofline) => roofline.draw(area)?,
                Chart::Lines(lines) => lines.draw(area)?,
            }
        }
        whole.present()?;
    }
    Ok(text)
}

/// From a little below the least value to a little above the largest, on a logarithmic axis.
fn around(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (least, most) = values.fold((f64::INFINITY, 0f64), |(least, most), value| (least.min(value), most.max(value)));
    least / 1.5..most * 1.5
}
