//! The roofline of an adapter, and where its kernels lie.

use plotters::prelude::*;

use super::{Area, DrawingError, FONT, around};
use crate::bench::{KernelRecord, Roofs};

/// One adapter: its roofs, and the kernels' records.
pub struct Roofline<'a> {
    pub title: String,
    pub roofs: Roofs,
    pub records: &'a [KernelRecord],
}

/// A point of the chart: operations a byte, GFLOP/s.
fn point(record: &KernelRecord) -> Option<(f64, f64)> {
    record.intensity.zip(record.gflops).filter(|(intensity, gflops)| *intensity > 0.0 && *gflops > 0.0)
}

impl Roofline<'_> {
    pub(super) fn draw(&self, area: &Area<'_>) -> Result<(), DrawingError<'static>> {
        let points: Vec<(&str, (f64, f64))> =
            self.records.iter().filter_map(|record| Some((record.kernel.as_str(), point(record)?))).collect();
        let roof = |intensity: f64| self.roofs.attainable(intensity) / 1e9;
        let ridge = self.roofs.flops / self.roofs.read;
        let x = around(points.iter().map(|(_, p)| p.0).chain([ridge / 4.0, ridge * 4.0]));
        let y = around(points.iter().map(|(_, p)| p.1).chain([roof(x.start), roof(x.end)]));

        let mut context = ChartBuilder::on(area)
            .caption(&self.title, (FONT, 20))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(70)
            .build_cartesian_2d(x.clone().log_scale(), y.log_scale())?;
        context.configure_mesh().x_desc("operations a byte").y_desc("GFLOP/s").draw()?;

        let line = [x.start, ridge.clamp(x.start, x.end), x.end].map(|intensity| (intensity, roof(intensity)));
        let label = format!(
            "measured: {:.1} GFLOP/s (f32 FMA), {:.1} GB/s (read)",
            self.roofs.flops / 1e9,
            self.roofs.read / 1e9
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
}
