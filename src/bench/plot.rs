//! The roofline of each adapter as one SVG file.

use std::ops::Range;
use std::path::Path;

use plotters::prelude::*;

use super::{KernelRecord, Roofs};

/// Pixels of one adapter's chart.
const SIZE: (u32, u32) = (960, 600);
const FONT: &str = "sans-serif";

/// One adapter: its roofs, and the kernels' records.
pub struct Chart<'a> {
    pub title: String,
    pub roofs: Roofs,
    pub records: &'a [KernelRecord],
}

/// The file could not be made. What was there before is still there.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    #[error("the plot could not be drawn: {0}; leave --plot out")]
    Drawing(String),
    #[error("the plot cannot be written to {path}: {source}; choose another file")]
    Writing { path: String, source: std::io::Error },
}

/// Writes a file with a chart for each adapter, one below the other. The file is replaced as a whole.
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

type DrawingError<'a> = DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>;

fn draw(charts: &[Chart<'_>]) -> Result<String, DrawingError<'static>> {
    let mut text = String::new();
    {
        let count = charts.len().max(1);
        let whole = SVGBackend::with_string(&mut text, (SIZE.0, SIZE.1 * count as u32)).into_drawing_area();
        whole.fill(&WHITE)?;
        for (area, chart) in whole.split_evenly((count, 1)).iter().zip(charts) {
            draw_chart(area, chart)?;
        }
        whole.present()?;
    }
    Ok(text)
}

/// A point of the chart: operations a byte, GFLOP/s.
fn point(record: &KernelRecord) -> Option<(f64, f64)> {
    record.intensity.zip(record.gflops).filter(|(intensity, gflops)| *intensity > 0.0 && *gflops > 0.0)
}

fn draw_chart<'a>(
    area: &DrawingArea<SVGBackend<'a>, plotters::coord::Shift>,
    chart: &Chart<'_>,
) -> Result<(), DrawingError<'static>> {
    let points: Vec<(&str, (f64, f64))> =
        chart.records.iter().filter_map(|record| Some((record.kernel.as_str(), point(record)?))).collect();
    let roof = |intensity: f64| chart.roofs.attainable(intensity) / 1e9;
    let ridge = chart.roofs.flops / chart.roofs.read;
    let x = around(points.iter().map(|(_, p)| p.0).chain([ridge / 4.0, ridge * 4.0]));
    let y = around(points.iter().map(|(_, p)| p.1).chain([roof(x.start), roof(x.end)]));

    let mut context = ChartBuilder::on(area)
        .caption(&chart.title, (FONT, 20))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(70)
        .build_cartesian_2d(x.clone().log_scale(), y.log_scale())?;
    context.configure_mesh().x_desc("operations a byte").y_desc("GFLOP/s").draw()?;

    let line = [x.start, ridge.clamp(x.start, x.end), x.end].map(|intensity| (intensity, roof(intensity)));
    let label = format!(
        "measured: {:.1} GFLOP/s (f32 FMA), {:.1} GB/s (read)",
        chart.roofs.flops / 1e9,
        chart.roofs.read / 1e9
    );
    let legend = |(x, y): (i32, i32)| PathElement::new([(x, y), (x + 18, y)], BLACK.stroke_width(2));
    context.draw_series(LineSeries::new(line, BLACK.stroke_width(2)))?.label(label).legend(legend);

    let mut kernels: Vec<&str> = points.iter().map(|(kernel, _)| *kernel).collect();
    kernels.sort_unstable();
    kernels.dedup();
    for (number, kernel) in kernels.into_iter().enumerate() {
        let color = Palette99::pick(number).to_rgba();
        let of_kernel = points.iter().filter(|(name, _)| *name == kernel);
        let circles = of_kernel.map(|(_, at)| Circle::new(*at, 4, color.filled()));
        let legend = move |(x, y): (i32, i32)| Circle::new((x + 9, y), 4, color.filled());
        context.draw_series(circles)?.label(kernel).legend(legend);
    }
    context
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()
}

/// From a little below the least value to a little above the largest, on a logarithmic axis.
fn around(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (least, most) = values.fold((f64::INFINITY, 0f64), |(least, most), value| (least.min(value), most.max(value)));
    least / 1.5..most * 1.5
}
